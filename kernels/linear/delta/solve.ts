/**
 * What the tokens of a chunk write by the delta rules, apart from the state that
 * enters: the unit lower triangular system
 *
 * ```text
 * u_t + b_t sum over s < t of L_ts u_s = b_t x_t    L_ts = sum over d of k_td k_sd exp(G_td - G_sd)
 * ```
 *
 * by forward substitution (Gated Delta Networks, Yang et al. 2025, section 3.3).
 * With values for x it gives what is written after an empty state, with
 * `k_t exp(G_t)` what is erased of one: `u = U_v - U_k h_in`.
 *
 * One invocation goes along the tokens of a chunk for 4 columns, 4 tokens at a
 * time: earlier ones as a product, their own one by one.
 *
 * @module
 */

import type { DType } from "../../../src/core/dtype.ts";
import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads } from "../chunks.ts";
import { givenGates } from "../operands/given_gates.ts";
import { scoreBlocks, tokenBlocks } from "../operands/operands.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { gateWeights } from "../operands/weights.ts";
import { scratchRows } from "../operands/written.ts";

/** Invocations of a workgroup. */
export const SOLVE_LANES = 64;

/**
 * What the source of the system's solution depends on.
 *
 * @category Kernels
 */
export interface DeltaSolveSpec extends Omit<LinearSpec, "tile"> {
  /** What stands on its right: values, or keys since the chunk's start. */
  readonly of: "value" | "key";
  /** The storage type of strengths. */
  readonly beta: DType;
  /**
   * Whether it is the transposed system, as gradients have it, with `rest` for
   * values and keys to the chunk's end; `false` by default.
   */
  readonly reverse?: boolean;
}

/**
 * The kernel that solves the systems of chunks.
 *
 * @example What it binds
 * ```ts
 * import { deltaSolveKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = deltaSolveKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "head",
 *   of: "key",
 *   beta: "f32",
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "scores",
 *   "beta",
 *   "key",
 *   "gates",
 *   "solved",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function deltaSolveKernel(spec: DeltaSolveSpec): KernelSource {
  const { of, beta, gate, reverse = false } = spec;
  const values = of === "value";
  const gated = !values && gate !== "none";
  const vecs = values ? "value_vecs" : "head_vecs";
  return kernelOf({
    label: linearLabel("delta_solve", spec) + `.${of}` +
      (reverse ? ".reverse" : ""),
    fragments: [
      chunks,
      heads,
      scoreBlocks,
      givenGates("beta", beta),
      values && reverse
        ? scratchRows({ name: "rest", vecs, access: "read" })
        : values
        ? tokenBlocks({
          name: "value",
          format: spec.valueFormat,
          dim: "value_dim",
        })
        : tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      ...gated ? [gateWeights(gate, reverse ? "to_end" : "from_start")] : [],
      scratchRows({ name: "solved", vecs, access: "read_write" }),
    ],
    main: invocationEntry(
      SOLVE_LANES,
      wgsl(SOLVE, {
        vecs,
        quad: 4,
        reverse,
        // The sums of a token's earlier ones within its block, or its later ones.
        inner: (reverse ? [2, 1, 0] : [1, 2, 3]).map((r) =>
          `x_${r} -= beta_${r} * (${
            [0, 1, 2, 3].filter((k) => reverse ? k > r : k < r)
              .map((k) =>
                reverse
                  ? `own[${k}][${r}] * x_${k}`
                  : `own[${r}][${k}] * x_${k}`
              ).join(" + ")
          });`
        ).join("\n"),
        right: values
          ? `${reverse ? "rest" : "value"}_block(chunk, state_head, row, vec)`
          : gated
          ? `weighted(key_block(chunk, key_head_of(state_head), row, vec), ${
            reverse ? "to_end" : "from_start"
          }(chunk, state_head, row, vec))`
          : "key_block(chunk, key_head_of(state_head), row, vec)",
      }),
    ),
  });
}

const SOLVE = `
let vec = index % params.$vecs;
let state_head = index / params.$vecs % params.state_heads;
let chunk_index = index / (params.$vecs * params.state_heads);
if (chunk_index >= params.chunk_count) {
  return;
}
let chunk = chunk_of(chunk_index);
for (var first = 0u; first < chunk.count; first += 4u) {
  @if reverse
  let row = (chunk.count - 1u) / 4u * 4u - first;
  @else
  let row = first;
  @end
  @each r in quad
  let beta_$r = f32(beta[beta_at(chunk, min(row + $r, chunk.count - 1u), state_head)]);
  @end
  let right = $right;
  @each r in quad
  var x_$r = right[$r];
  @end
  @if reverse
  for (var after = row + 4u; after < chunk.count; after += 4u) {
    let scores = transpose(score_block(chunk, state_head, after, row / 4u));
    let earlier = solved_block(chunk, state_head, after, vec);
  @else
  for (var before = 0u; before < row; before += 4u) {
    let scores = score_block(chunk, state_head, row, before / 4u);
    let earlier = solved_block(chunk, state_head, before, vec);
  @end
    @each k in quad
    @each r in quad
    x_$r = fma(vec4f(-scores[$r][$k]), earlier[$k], x_$r);
    @end
    @end
  }
  let own = score_block(chunk, state_head, row, row / 4u);
  @each r in quad
  x_$r *= beta_$r;
  @end
  $inner
  @each r in quad
  if (row + $r < chunk.count) {
    solved[solved_at(chunk, row + $r, state_head) + vec] = x_$r;
  }
  @end
}
`;
