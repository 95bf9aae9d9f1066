import { assert, assertEquals } from "@std/assert";
import {
  HEAD_DIM,
  HEADS,
  inputsOf,
  type PeerCase,
  peerCases,
} from "../../bench/peers/cases.ts";
import { expect, judge } from "../../bench/peers/check.ts";
import { attention, attentionBackward } from "../../reference/mod.ts";

const SMALL: PeerCase = {
  name: "small",
  pass: "forward",
  dtype: "f32",
  queries: 5,
  keys: 5,
  causal: true,
};

/** What the whole of `SMALL` gives, in float64. */
function problem() {
  return {
    ...inputsOf(SMALL),
    batch: 1,
    queryLength: SMALL.queries,
    keyLength: SMALL.keys,
    queryHeads: HEADS,
    kvHeads: HEADS,
    headDim: HEAD_DIM,
    mask: (_b: number, _h: number, i: number, j: number) => j <= i,
  };
}

Deno.test("peerCases() have names of their own, and gradients of each mask", () => {
  const cases = peerCases();
  assertEquals(new Set(cases.map(({ name }) => name)).size, cases.length);
  for (const pass of ["gradients", "backward"] as const) {
    const masks = cases.filter((each) => each.pass === pass);
    assertEquals(masks.map(({ causal }) => causal), [false, true], pass);
  }
});

Deno.test("judge() takes the oracle's output, and no other", () => {
  const expected = expect(SMALL, inputsOf(SMALL));
  const { output } = attention(problem());
  assertEquals(judge([output], expected), { errors: [0], right: true });
  const last = output.with(-1, output.at(-1)! + 1e-3);
  assert(!judge([last], expected).right);
  assert(!judge([output.with(0, NaN)], expected).right);
});

Deno.test("judge() takes the oracle's gradients, each against its own bound", () => {
  const backward = { ...SMALL, pass: "backward" } as const;
  const expected = expect(backward, inputsOf(backward));
  const { queryGradient, keyGradient, valueGradient } = attentionBackward(
    problem(),
  );
  const exact = [queryGradient, keyGradient, valueGradient];
  assertEquals(judge(exact, expected), { errors: [0, 0, 0], right: true });
  for (const r of exact.keys()) {
    // The last element is of the last head, which is sampled.
    const wrong = exact.with(r, exact[r].with(-1, exact[r].at(-1)! + 1e-3));
    const { errors, right } = judge(wrong, expected);
    assert(!right && errors[r] > expected[r].bound, `result ${r}`);
    assertEquals(errors.filter((error) => error === 0).length, 2);
  }
  assertEquals(
    judge([keyGradient, queryGradient, valueGradient], expected).right,
    false,
  );
});
