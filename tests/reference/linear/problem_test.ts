import { assertEquals, assertThrows } from "@std/assert";
import {
  type LinearAttentionProblem,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { linearGeometryOf } from "../../../reference/linear/problem.ts";
import {
  type LinearCase,
  linearCases,
  linearProblemOf,
  linearRuleOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { range } from "../cases.ts";

const SHAPE: LinearCase = {
  ...PLAIN_LINEAR,
  sequences: [3, 3],
  queryHeads: 4,
  keyHeads: 1,
  valueHeads: 2,
  headDim: 3,
  valueHeadDim: 2,
  decay: "channel",
  beta: "head",
  initialState: true,
};

Deno.test("linearGeometryOf() gives query heads of a multiple to states in order", () => {
  const { outputHeads, readersOf, queryAt } = linearGeometryOf(
    linearProblemOf({ ...SHAPE, queryHeads: 4, valueHeads: 2 }),
  );
  assertEquals(outputHeads, 4);
  assertEquals([readersOf(0), readersOf(1)], [[0, 1], [2, 3]]);
  assertEquals(range(4).map((h) => queryAt(1, h)), [12, 15, 18, 21]);
});

Deno.test("linearGeometryOf() gives query heads of a divisor to as many states", () => {
  const { outputHeads, readersOf, queryAt, keyAt } = linearGeometryOf(
    linearProblemOf({ ...SHAPE, queryHeads: 2, keyHeads: 2, valueHeads: 4 }),
  );
  assertEquals(outputHeads, 4);
  assertEquals(range(4).map(readersOf), [[0], [1], [2], [3]]);
  assertEquals(range(4).map((h) => queryAt(0, h)), [0, 0, 3, 3]);
  assertEquals(range(4).map((s) => keyAt(1, s)), [6, 6, 9, 9]);
});

Deno.test("linearGeometryOf() finds the gate of each shape", () => {
  const gates = (decay: LinearCase["decay"]) =>
    linearGeometryOf(linearProblemOf({ ...SHAPE, decay: decay! })).gateAt;
  assertEquals(gates("channel")(2, 1, 2), 2 * 6 + 3 + 2);
  assertEquals(gates("head")(2, 1, 2), 2 * 2 + 1);
  assertEquals(gates("constant_channel")(2, 1, 2), 3 + 2);
  assertEquals(gates("constant_head")(2, 1, 2), 1);
});

Deno.test("linearGeometryOf() finds beta of each shape", () => {
  const betas = (beta: LinearCase["beta"]) =>
    linearGeometryOf(linearProblemOf({ ...SHAPE, beta: beta! })).betaAt;
  assertEquals(betas("head")(2, 1), 5);
  assertEquals(betas("one")(2, 1), 2);
});

property(
  "linearGeometryOf() infers the rule",
  [linearCases()],
  (c) => {
    const { rule: _, ...problem } = linearProblemOf(c);
    assertEquals(linearGeometryOf(problem).rule, linearRuleOf(c));
  },
);

Deno.test("linearGeometryOf() takes no tokens and no sequences", () => {
  for (const sequences of [[], [0], [0, 0]]) {
    for (const layout of ["dense", "ragged"] as const) {
      const c: LinearCase = { ...SHAPE, sequences, layout };
      const problem = linearProblemOf(c);
      const { output, state } = recurrentLinearAttention(problem);
      assertEquals(output.length, 0);
      assertEquals([...state], Array.from(problem.initialState!));
    }
  }
});

Deno.test("linearGeometryOf() says what is wrong with a problem", () => {
  const problem = linearProblemOf(SHAPE);
  const gates = (x: number) => {
    const decay = new Float64Array(36);
    decay[7] = x;
    return { decay };
  };
  const type: [Partial<LinearAttentionProblem>, string][] = [
    [{ query: [1] }, "query must have 72 elements [6, 4, 3]"],
    [{ key: [1] }, "key must have 18 elements [6, 1, 3]"],
    [{ value: [1] }, "value must have 24 elements [6, 2, 2]"],
    [{ decay: [-1] }, "decay must have 36 elements [6, 2, 3]"],
    [{ decayShape: "head" }, "decay must have 12 elements [6, 2]"],
    [{ decayShape: "constant_head" }, "decay must have 2 elements [2]"],
    [{ decayShape: undefined }, "decayShape must say what decay is given for"],
    [{ beta: [1] }, "beta must have 12 elements [6, 2]"],
    [{ initialState: [1] }, "initialState must have 24 elements [2, 2, 3, 2]"],
    [{ cuSeqlens: [0, 3, 6] }, "batch must not stand beside cuSeqlens"],
    [{ batch: undefined }, "batch must be an integer"],
    [{ rule: "gated" }, 'rule must be "gated_delta" with decay and with beta'],
    [
      { rule: "delta", decay: undefined, beta: undefined },
      'rule must be "linear" without decay and without beta',
    ],
  ];
  for (const [change, message] of type) {
    const wrong = () => linearGeometryOf({ ...problem, ...change });
    assertThrows(wrong, TypeError, message);
  }
  const outOfRange: [Partial<LinearAttentionProblem>, string][] = [
    [{ keyHeads: 3 }, "keyHeads must divide valueHeads (2)"],
    [{ queryHeads: 3 }, "queryHeads must be a multiple or a divisor of"],
    [{ headDim: 0 }, "headDim must be an integer >= 1"],
    [{ valueHeadDim: 0 }, "valueHeadDim must be an integer >= 1"],
    [{ scale: NaN }, "scale must be finite"],
    [gates(1e-9), "decay[7] must be a finite log gate, at most 0"],
    [gates(NaN), "decay[7] must be a finite log gate, at most 0"],
    [gates(-Infinity), "decay[7] must be a finite log gate, at most 0"],
  ];
  for (const [change, message] of outOfRange) {
    const wrong = () => linearGeometryOf({ ...problem, ...change });
    assertThrows(wrong, RangeError, message);
  }
});
