/**
 * What each chunk adds to the state:
 *
 * ```text
 * sum over its tokens s of (exp(G_end - G_s) k_s) v_s^T
 * ```
 *
 * with features of keys in place of keys where there is a feature map, and the
 * sum of these as one more column where outputs are divided by the sum of their
 * weights.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { wgsl } from "../../wgsl.ts";
import { featureBlocks } from "../operands/features.ts";
import {
  chunkStates,
  tokenBlocks,
  valueColumns,
} from "../operands/operands.ts";
import { chunkProductKernel } from "../product.ts";
import { gateWeights } from "../operands/weights.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";

/**
 * The kernel of chunks' contributions; rows are the state's.
 *
 * @example What it binds
 * ```ts
 * import { chunkStateKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = chunkStateKernel({
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
 *   "value",
 *   "states",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function chunkStateKernel(spec: LinearSpec): KernelSource {
  const gated = spec.gate !== "none";
  const features = spec.featureMap === "taylor";
  const keyRows = {
    name: "key",
    format: spec.keyFormat,
    dim: "head_dim",
  } as const;
  const key = features
    ? "key_features(chunk, key_head_of(head), depth, row)"
    : "key_block(chunk, key_head_of(head), depth, row / 4u)";
  const value = spec.normalize ? "value_columns" : "value_block";
  return chunkProductKernel({
    label: linearLabel("chunk_state", spec),
    tile: spec.tile,
    fragments: [
      features ? featureBlocks(keyRows) : tokenBlocks(keyRows),
      tokenBlocks({
        name: "value",
        format: spec.valueFormat,
        dim: "value_dim",
      }),
      ...spec.normalize ? [valueColumns] : [],
      chunkStates("read_write"),
      ...spec.gate === "none" ? [] : [gateWeights(spec.gate, "to_end")],
    ],
    rows: "params.state_rows",
    columns: "4u * params.state_vecs",
    terms: [{
      depth: "chunk.count",
      left: gated
        ? `weighted(${key}, to_end(chunk, head, depth, row / 4u))`
        : key,
      right: `${value}(chunk, head, depth, column / 4u)`,
    }],
    epilogue: wgsl(STORE, { quad: 4 }),
  });
}

const STORE = `
@each r in quad
if (row + $r < params.state_rows) {
  states[state_at(chunk_index, head, row + $r) + column / 4u] = sum_$r;
}
@end
`;
