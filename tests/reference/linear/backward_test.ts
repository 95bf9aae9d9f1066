import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  chunkedLinearAttentionBackward,
  linearAttentionBackward,
  type LinearBackwardProblem,
  type LinearGradients,
  naiveLinearAttentionBackward,
  recurrentLinearAttention,
} from "../../../reference/mod.ts";
import { linearGeometryOf } from "../../../reference/linear/problem.ts";
import { roundAll } from "../../../reference/naive.ts";
import {
  type LinearCase,
  linearCases,
  linearProblemOf,
  linearUpstreamOf,
  PLAIN_LINEAR,
} from "../../support/linear_cases.ts";
import { property } from "../../support/property.ts";
import { separate, slice } from "./cases.ts";
import { rowsOf } from "../cases.ts";

const GRADIENTS = {
  query: "queryGradient",
  key: "keyGradient",
  value: "valueGradient",
  decay: "decayGradient",
  beta: "betaGradient",
  initialState: "initialStateGradient",
} as const;

const TENSORS = [
  "query",
  "key",
  "value",
  "decay",
  "beta",
  "initialState",
] as const;

const small = {
  sequences: fc.array(fc.integer({ min: 0, max: 5 }), {
    minLength: 1,
    maxLength: 2,
  }),
  headDim: fc.integer({ min: 1, max: 3 }),
  valueHeadDim: fc.integer({ min: 1, max: 3 }),
  distribution: fc.constantFrom("unit", "normal", "equal"),
} as const;

/** A case with what comes back, and always with a state to start from. */
function backwardOf(c: LinearCase): LinearBackwardProblem {
  const upstream = linearUpstreamOf(c);
  return { ...linearProblemOf({ ...c, initialState: true }), ...upstream };
}

/** `sum dO o + sum dh h`. */
function lossOf(problem: LinearBackwardProblem): number {
  const { output, state } = recurrentLinearAttention(problem);
  let loss = 0;
  output.forEach((x, n) => loss += x * problem.outputGradient[n]);
  state.forEach((x, n) => loss += x * (problem.stateGradient?.[n] ?? 0));
  return loss;
}

/** A tensor's gradient by central differences, of fourth order. */
function differences(
  problem: LinearBackwardProblem,
  name: (typeof TENSORS)[number],
): Float64Array {
  const array = Float64Array.from(problem[name] ?? []);
  const moved = { ...problem, [name]: array };
  return array.map((x, n) => {
    const h = 2 ** -10;
    const at = (step: number) => {
      array[n] = x + step;
      const loss = lossOf(moved);
      array[n] = x;
      return loss;
    };
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  });
}

function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { name, relative, size = 1 }: {
    name: string;
    relative: number;
    size?: number;
  },
): void {
  assertEquals(actual.length, expected.length, name);
  let largest = size;
  for (let n = 0; n < expected.length; n++) {
    largest = Math.max(largest, Math.abs(expected[n]));
  }
  for (let n = 0; n < expected.length; n++) {
    assert(
      Math.abs(actual[n] - expected[n]) <= relative * largest,
      `${name}[${n}] is ${actual[n]}, not ${expected[n]}`,
    );
  }
}

function assertGradients(
  actual: LinearGradients<Float64Array | Float32Array>,
  expected: LinearGradients<Float64Array>,
  relative: number,
): void {
  // What cancels in one tensor is as large as what does not in another.
  let size = 1;
  for (const name of Object.values(GRADIENTS)) {
    expected[name].forEach((x) => size = Math.max(size, Math.abs(x)));
  }
  for (const name of Object.values(GRADIENTS)) {
    assertClose(actual[name], expected[name], { name, relative, size });
  }
}

property(
  "linearAttentionBackward() is the slope of the recurrence, by finite differences",
  [linearCases(small)],
  (c) => {
    const given = backwardOf(c);
    // Steps of gates stay below 0.
    const decay = given.decay &&
      Float64Array.from(given.decay, (g) => g - 2 ** -8);
    const problem = { ...given, decay };
    const gradients = linearAttentionBackward(problem);
    // Steps of 2^-10 leave h^4 / 30 of a fifth derivative, and rounding of
    // 2^-52 / 2^-10.
    for (const tensor of TENSORS) {
      const name = GRADIENTS[tensor];
      const expected = differences(problem, tensor);
      assertClose(gradients[name], expected, {
        name,
        relative: 1e-9,
        size: 1 + Math.abs(lossOf(problem)),
      });
    }
  },
  { runs: 40 },
);

property(
  "chunkedLinearAttentionBackward() is the recurrence's for every chunk",
  [linearCases({ ...small, distribution: fc.constantFrom("unit", "normal") })],
  (c) => {
    const problem = backwardOf(c);
    const expected = linearAttentionBackward(problem);
    for (let chunk = 1; chunk <= 6; chunk++) {
      const actual = chunkedLinearAttentionBackward(problem, { chunk });
      assertGradients(actual, expected, 1e-11);
    }
  },
);

property(
  "linearAttentionBackward() hands gradients over with the state",
  [linearCases(), fc.nat()],
  (c, n) => {
    const problem = backwardOf({ ...c, sequences: [c.sequences[0]] });
    const { tokens } = linearGeometryOf(problem);
    const at = n % (tokens + 1);
    const cut = (
      first: number,
      end: number,
      initialState: ArrayLike<number>,
    ) => slice(problem, { first, end, initialState });
    const width = problem.outputGradient.length / tokens || 0;
    const outputs = (first: number, end: number) =>
      rowsOf(problem.outputGradient, { first, end, width });
    const start = cut(0, at, problem.initialState!);
    const { state } = recurrentLinearAttention(start);
    const after = linearAttentionBackward({
      ...cut(at, tokens, state),
      outputGradient: outputs(at, tokens),
      stateGradient: problem.stateGradient,
    });
    const before = linearAttentionBackward({
      ...start,
      outputGradient: outputs(0, at),
      stateGradient: after.initialStateGradient,
    });
    const constant = c.decay?.startsWith("constant");
    const both = (name: keyof LinearGradients<Float64Array>) =>
      name === "decayGradient" && constant
        ? before[name].map((x, i) => x + after[name][i])
        : Float64Array.from([...before[name], ...after[name]]);
    assertGradients(
      {
        queryGradient: both("queryGradient"),
        keyGradient: both("keyGradient"),
        valueGradient: both("valueGradient"),
        decayGradient: both("decayGradient"),
        betaGradient: both("betaGradient"),
        initialStateGradient: before.initialStateGradient,
      },
      linearAttentionBackward(problem),
      1e-13,
    );
  },
);

property(
  "linearAttentionBackward() starts anew with each sequence",
  [linearCases({ decay: fc.constantFrom("channel", "head") })],
  (c) => {
    const problem = backwardOf(c);
    const { sequences, tokens } = linearGeometryOf(problem);
    const width = problem.outputGradient.length / tokens || 0;
    const states = problem.stateGradient!.length / sequences.length;
    const parts = separate(problem).map((part, n) =>
      linearAttentionBackward({
        ...part,
        outputGradient: rowsOf(problem.outputGradient, {
          ...sequences[n],
          width,
        }),
        stateGradient: rowsOf(problem.stateGradient!, {
          first: n,
          end: n + 1,
          width: states,
        }),
      })
    );
    const whole = linearAttentionBackward(problem);
    for (const name of Object.values(GRADIENTS)) {
      assertEquals([...whole[name]], parts.flatMap((part) => [...part[name]]));
    }
  },
);

property(
  "linearAttentionBackward() has GLA's sum of q dq - k dk for the gates",
  [linearCases({
    rule: fc.constant("gated"),
    decay: fc.constant("channel"),
    sequences: fc.constant([9]),
    distribution: fc.constantFrom("unit", "normal", "equal"),
  })],
  (c) => {
    const one = { queryHeads: 1, keyHeads: 1, valueHeads: 1 };
    const problem = backwardOf({ ...c, ...one });
    const { query, key, stateGradient, headDim } = problem;
    const gradients = linearAttentionBackward(problem);
    const { state } = recurrentLinearAttention(problem);
    const { queryGradient, keyGradient, decayGradient } = gradients;
    for (let t = 0; t < headDim; t++) {
      let sum = 0;
      for (let e = 0; e < c.valueHeadDim; e++) {
        const at = t * c.valueHeadDim + e;
        sum += state[at] * stateGradient![at];
      }
      for (let token = 8; token >= 0; token--) {
        const at = token * headDim + t;
        sum += query[at] * queryGradient[at] - key[at] * keyGradient[at];
        assert(Math.abs(decayGradient[at] - sum) <= 1e-11);
      }
    }
  },
);

property(
  "linearAttentionBackward() is linear in what comes back",
  [linearCases({ distribution: fc.constant("unit") })],
  (c) => {
    const one = backwardOf(c);
    const other = linearUpstreamOf({ ...c, seed: c.seed + 1 });
    const sum = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Float64Array.from(a, (x, n) => 2 * x + b[n]);
    const both = linearAttentionBackward({
      ...one,
      outputGradient: sum(one.outputGradient, other.outputGradient),
      stateGradient: sum(one.stateGradient!, other.stateGradient),
    });
    const [a, b] = [one, { ...one, ...other }].map(linearAttentionBackward);
    for (const name of Object.values(GRADIENTS)) {
      const expected = sum(a[name], b[name]);
      assertClose(both[name], expected, { name, relative: 1e-12, size: 10 });
    }
  },
);

property(
  "naiveLinearAttentionBackward() is the backward, but for rounding",
  [linearCases({ distribution: fc.constantFrom("unit", "normal") })],
  (c) => {
    const problem = backwardOf(c);
    const naive = naiveLinearAttentionBackward({
      ...problem,
      precision: "f32",
    });
    assertGradients(naive, linearAttentionBackward(problem), 1e-4);
    const half = naiveLinearAttentionBackward({ ...problem, precision: "f16" });
    const rounded = naiveLinearAttentionBackward({
      ...problem,
      query: roundAll("f16", problem.query),
      key: roundAll("f16", problem.key),
      value: roundAll("f16", problem.value),
      outputGradient: roundAll("f16", problem.outputGradient),
      precision: "f32",
    });
    const { queryGradient, decayGradient, initialStateGradient } = rounded;
    assertEquals(half.queryGradient, roundAll("f16", queryGradient));
    assertEquals(half.decayGradient, decayGradient);
    assertEquals(half.initialStateGradient, initialStateGradient);
  },
);

Deno.test("linearAttentionBackward() says what is wrong with what comes back", () => {
  const problem = backwardOf({ ...PLAIN_LINEAR, sequences: [3] });
  for (
    const [change, message] of [
      [{ outputGradient: [1] }, "outputGradient must have 96 elements"],
      [{ stateGradient: [1] }, "stateGradient must have 256 elements"],
    ] as const
  ) {
    const wrong = () => linearAttentionBackward({ ...problem, ...change });
    assertThrows(wrong, TypeError, message);
  }
});
