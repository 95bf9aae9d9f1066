/**
 * What the outputs of each chunk add to the gradient of the state that enters
 * it:
 *
 * ```text
 * scale sum over its tokens t of (exp(G_t) q_t) do_t^T
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { wgsl } from "../../wgsl.ts";
import { chunkStates, tokenBlocks } from "../operands/operands.ts";
import { sumOf } from "../../product.ts";
import { chunkProductKernel } from "../product.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { gateWeights } from "../operands/weights.ts";
import { readers } from "./spec.ts";

/**
 * The kernel of chunks' contributions to gradients of states; rows are the
 * state's.
 *
 * @example What it binds
 * ```ts
 * import { rowFormat, stateGradientKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = stateGradientKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "none",
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "query",
 *   "output_gradient",
 *   "states",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function stateGradientKernel(spec: LinearSpec): KernelSource {
  const query = "query_block(chunk, query_head, depth, row / 4u)";
  const gated = spec.gate !== "none";
  return chunkProductKernel({
    tile: spec.tile,
    label: linearLabel("backward.state", spec),
    fragments: [
      tokenBlocks({ name: "query", format: spec.queryFormat, dim: "head_dim" }),
      tokenBlocks({
        name: "output_gradient",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      chunkStates("read_write"),
      readers,
      ...spec.gate === "none" ? [] : [gateWeights(spec.gate, "from_start")],
      { uniforms: { scale: "f32" } },
    ],
    rows: "params.state_rows",
    columns: "4u * params.state_vecs",
    begin: wgsl(SUM, {
      sum: sumOf({
        depth: "chunk.count",
        left: gated
          ? `weighted(${query}, from_start(chunk, head, depth, row / 4u))`
          : query,
        right: "output_gradient_block(chunk, reader, depth, column / 4u)",
      }, spec.tile),
    }),
    terms: [],
    epilogue: wgsl(STORE, { quad: 4 }),
  });
}

const SUM = `
for (var reader = first_reader(head); reader < first_reader(head + 1u); reader++) {
  let query_head = query_head_of(reader);
  $sum
}
`;

const STORE = `
@each r in quad
if (row + $r < params.state_rows) {
  states[state_at(chunk_index, head, row + $r) + column / 4u] = params.scale * sum_$r;
}
@end
`;
