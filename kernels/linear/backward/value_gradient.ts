/**
 * Gradients of values: what the gradient of the state that leaves a chunk gives,
 * and what the chunk's own outputs do,
 *
 * ```text
 * dv_s = D^T (exp(G_end - G_s) k_s) + sum over t >= s of A_ts do_t
 * ```
 *
 * with the scores A.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { wgsl } from "../../wgsl.ts";
import {
  scoreBlocks,
  stateBlocks,
  storedTokens,
  tokenBlocks,
} from "../operands/operands.ts";
import { sumOf } from "../../product.ts";
import { chunkProductKernel } from "../product.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { gateWeights } from "../operands/weights.ts";
import { readers } from "./spec.ts";

/**
 * The kernel of values' gradients; rows are tokens, columns the value's,
 * `states` the gradients of those that leave chunks.
 *
 * @example What it binds
 * ```ts
 * import { rowFormat, valueGradientKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = valueGradientKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "none",
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "key",
 *   "states",
 *   "scores",
 *   "output_gradient",
 *   "value_gradient",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function valueGradientKernel(spec: LinearSpec): KernelSource {
  const gated = spec.gate !== "none";
  const key = "key_block(chunk, key_head_of(head), row, depth / 4u)";
  return chunkProductKernel({
    tile: spec.tile,
    label: linearLabel("backward.value", spec),
    fragments: [
      tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      stateBlocks("read"),
      scoreBlocks,
      tokenBlocks({
        name: "output_gradient",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      storedTokens({
        name: "value_gradient",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      readers,
      ...spec.gate === "none" ? [] : [gateWeights(spec.gate, "to_end")],
    ],
    rows: "chunk.count",
    columns: "4u * params.state_vecs",
    begin: wgsl(READERS, {
      sum: sumOf({
        first: "row",
        depth: "chunk.count",
        left: "score_block(chunk, reader, depth, row / 4u)",
        right: "output_gradient_block(chunk, reader, depth, column / 4u)",
      }, spec.tile),
    }),
    terms: [{
      depth: "params.state_rows",
      left: gated
        ? `transpose(weighted(${key}, to_end(chunk, head, row, depth / 4u)))`
        : `transpose(${key})`,
      right: "state_block(chunk_index, head, depth, column / 4u)",
    }],
    epilogue: wgsl(STORE, { quad: 4 }),
  });
}

const READERS = `
for (var reader = first_reader(head); reader < first_reader(head + 1u); reader++) {
  $sum
}
`;

const STORE = `
@each r in quad
if (row + $r < chunk.count) {
  store_value_gradient(value_gradient_at(chunk, row + $r, head), column / 4u, sum_$r);
}
@end
`;
