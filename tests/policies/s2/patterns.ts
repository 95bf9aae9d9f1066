/** S2 patterns with random parameters, and as their twin takes them. */

import fc from "fast-check";
import type { S2MaskOptions } from "../../../reference/mod.ts";
import type { S2Heads, S2Options } from "../../../src/policies/mod.ts";

/** Options as the twin takes them, with the defaults as they are written down. */
export function s2MaskOptions(
  options: S2Options,
  { queryHeads, kvHeads = queryHeads }: S2Heads,
): S2MaskOptions {
  const { block = 64, localBlocks, stride, causal = true } = options;
  const { positions, headStep, phase, offset = 0, denseHeads = 0 } = options;
  const [left, right] = typeof localBlocks === "number"
    ? [localBlocks, localBlocks]
    : [localBlocks.left, localBlocks.right];
  return {
    queryHeads,
    kvHeads,
    block,
    left,
    right,
    stride,
    causal,
    relative: positions === undefined ? !causal : positions === "relative",
    headStep: headStep ??
      (stride < 2 * queryHeads ? 1 : Math.floor(stride / queryHeads)),
    offset: phase === "vllm" ? offset + 1 : offset,
    denseHeads,
  };
}

/** A pattern and heads that it fits. */
export interface S2Case {
  readonly options: S2Options;
  readonly heads: Required<S2Heads>;
}

const counts = fc.integer({ min: 1, max: 4 });

/** Any pattern that can be asked for. */
export const s2Cases: fc.Arbitrary<S2Case> = fc.record({
  block: fc.integer({ min: 1, max: 5 }),
  left: counts,
  right: counts,
  stride: fc.integer({ min: 1, max: 6 }),
  causal: fc.boolean(),
  relative: fc.boolean(),
  headStep: fc.option(fc.integer({ min: 0, max: 9 }), { nil: undefined }),
  vllm: fc.boolean(),
  offset: fc.integer({ min: -9, max: 9 }),
  kvHeads: counts,
  group: fc.integer({ min: 1, max: 2 }),
  dense: fc.nat(4),
}).map((drawn): S2Case => {
  const { block, left, right, stride, causal, relative, kvHeads } = drawn;
  const { headStep, vllm, offset } = drawn;
  return {
    heads: { kvHeads, queryHeads: kvHeads * drawn.group },
    options: {
      block,
      stride,
      causal,
      localBlocks: causal ? left : { left, right },
      positions: relative ? "relative" : "absolute",
      // More dense heads than not would leave little to look at.
      denseHeads: Math.max(0, Math.min(drawn.dense - 2, kvHeads)),
      ...(!relative && {
        ...(headStep !== undefined && { headStep }),
        ...(vllm && { phase: "vllm" }),
        offset,
      }),
    },
  };
});
