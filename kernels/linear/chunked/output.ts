/**
 * Outputs of chunks: what the state that enters gives, and what the chunk's own
 * tokens do,
 *
 * ```text
 * o_t = scale (q_t exp(G_t)) h_in + sum over s <= t of A_ts v_s
 * ```
 *
 * with features of queries in place of `scale q` where there is a feature map;
 * divided, where that is asked for, by the same sums of ones in place of values
 * and `eps`.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { wgsl } from "../../wgsl.ts";
import { featureBlocks } from "../operands/features.ts";
import {
  scoreBlocks,
  stateBlocks,
  stateSums,
  storedTokens,
  tokenBlocks,
} from "../operands/operands.ts";
import { chunkProductKernel } from "../product.ts";
import { gateWeights } from "../operands/weights.ts";
import { writtenBlocks } from "../operands/written.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";

/**
 * The kernel of outputs; rows are queries, columns the value's.
 *
 * @example What it binds
 * ```ts
 * import { chunkOutputKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = chunkOutputKernel({
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
 *   "states",
 *   "scores",
 *   "value",
 *   "output",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function chunkOutputKernel(spec: LinearSpec): KernelSource {
  const gated = spec.gate !== "none";
  const { normalize = false } = spec;
  const features = spec.featureMap === "taylor";
  const queryRows = {
    name: "query",
    format: spec.queryFormat,
    dim: "head_dim",
  } as const;
  const query = features
    ? "query_features(chunk, query_head_of(head), row, depth)"
    : "query_block(chunk, query_head_of(head), row, depth / 4u)";
  // Features have the scale in them.
  const factor = features ? "" : "params.scale * ";
  return chunkProductKernel({
    label: linearLabel("output", spec),
    tile: spec.tile,
    fragments: [
      features ? featureBlocks(queryRows) : tokenBlocks(queryRows),
      stateBlocks("read"),
      scoreBlocks,
      writtenBlocks(spec),
      storedTokens({
        name: "output",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      ...spec.gate === "none" ? [] : [gateWeights(spec.gate, "from_start")],
      { uniforms: { value_vecs: "u32" } },
      ...features ? [] : [{ uniforms: { scale: "f32" } as const }],
      ...normalize ? [stateSums, { uniforms: { eps: "f32" } as const }] : [],
    ],
    rows: "chunk.count",
    columns: "4u * params.value_vecs",
    begin: "let state_head = state_head_of(head);",
    terms: [
      {
        depth: "params.state_rows",
        left: gated
          ? `${factor}transpose(weighted(${query}, from_start(chunk, state_head, row, depth / 4u)))`
          : `${factor}transpose(${query})`,
        right: "state_block(chunk_index, state_head, depth, column / 4u)",
        ...normalize &&
          { more: "state_sums(chunk_index, state_head, depth)" },
      },
      {
        depth: "min(chunk.count, row_end)",
        left: "transpose(score_block(chunk, head, row, depth / 4u))",
        right: "written_block(chunk, state_head, depth, column / 4u)",
        ...normalize && { more: "vec4f(1.0)" },
      },
    ],
    epilogue: wgsl(STORE, { quad: 4, normalize }),
  });
}

const STORE = `
@each r in quad
if (row + $r < chunk.count) {
  @if normalize
  store_output(output_at(chunk, row + $r, head), column / 4u, sum_$r / (more[$r] + params.eps));
  @else
  store_output(output_at(chunk, row + $r, head), column / 4u, sum_$r);
  @end
}
@end
`;
