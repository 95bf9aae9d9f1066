/**
 * Rows of the delta rules' gradients: with `A` the scores, `L` those of keys with
 * the keys before them, `w_t = b_t du_t` the gradients of values,
 *
 * ```text
 * rest_s = sum over t >= s of A_ts do_t
 * du_s   = rest_s + D^T (exp(G_end - G_s) k_s) - sum over t > s of L_ts w_t
 * r_t    = v_t - h_in^T (exp(G_t) k_t) - sum over s < t of L_ts u_s
 * ```
 *
 * so that nothing has to be divided by a strength, which may be 0.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { sumOf } from "../../product.ts";
import { wgsl } from "../../wgsl.ts";
import { scoreBlocks, stateBlocks, tokenBlocks } from "../operands/operands.ts";
import { chunkProductKernel } from "../product.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { gateWeights } from "../operands/weights.ts";
import { scratchRows } from "../operands/written.ts";
import { readers } from "./spec.ts";

/**
 * The kernel of what outputs give back to what is written.
 *
 * @example What it binds
 * ```ts
 * import { restKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = restKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "none",
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "scores",
 *   "output_gradient",
 *   "rest",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function restKernel(spec: LinearSpec): KernelSource {
  return chunkProductKernel({
    label: linearLabel("backward.rest", spec),
    tile: spec.tile,
    fragments: [
      scoreBlocks,
      tokenBlocks({
        name: "output_gradient",
        format: spec.outputFormat,
        dim: "value_dim",
      }),
      scratchRows({ name: "rest", vecs: "value_vecs", access: "read_write" }),
      readers,
    ],
    rows: "chunk.count",
    columns: "4u * params.value_vecs",
    begin: wgsl(READERS, {
      sum: sumOf({
        first: "row",
        depth: "chunk.count",
        left: "score_block(chunk, reader, depth, row / 4u)",
        right: "output_gradient_block(chunk, reader, depth, column / 4u)",
      }, spec.tile),
    }),
    terms: [],
    epilogue: wgsl(STORE, {
      quad: 4,
      name: "rest",
      at: "rest_at",
      based: false,
    }),
  });
}

/**
 * The kernel of gradients of what is written, over `rest`; or of what values
 * have that their state does not.
 *
 * @example What it binds
 * ```ts
 * import { deltaRowsKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = deltaRowsKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "none",
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
 *   of: "residual",
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "key",
 *   "states",
 *   "scores",
 *   "written",
 *   "value",
 *   "residual",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function deltaRowsKernel(spec: DeltaRowsSpec): KernelSource {
  const { gate, of } = spec;
  const residual = of === "residual";
  const weights = residual ? "from_start" : "to_end";
  const key = "key_block(chunk, key_head_of(head), row, depth / 4u)";
  return chunkProductKernel({
    label: linearLabel(`backward.${of}`, spec),
    tile: spec.tile,
    fragments: [
      tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      stateBlocks("read"),
      scoreBlocks,
      scratchRows({ name: "written", vecs: "value_vecs", access: "read" }),
      ...residual
        ? [
          tokenBlocks({
            name: "value",
            format: spec.valueFormat,
            dim: "value_dim",
          }),
        ]
        : [],
      scratchRows({ name: of, vecs: "value_vecs", access: "read_write" }),
      ...gate === "none" ? [] : [gateWeights(gate, weights)],
    ],
    rows: "chunk.count",
    columns: "4u * params.value_vecs",
    terms: [
      {
        depth: "params.state_rows",
        left: `${residual ? "-1.0 * " : ""}transpose(${
          gate === "none"
            ? key
            : `weighted(${key}, ${weights}(chunk, head, row, depth / 4u))`
        })`,
        right: "state_block(chunk_index, head, depth, column / 4u)",
      },
      residual
        ? {
          depth: "min(chunk.count, row_end)",
          left: "-1.0 * transpose(score_block(chunk, head, row, depth / 4u))",
          right: "written_block(chunk, head, depth, column / 4u)",
        }
        : {
          first: "row",
          depth: "chunk.count",
          left: "-1.0 * score_block(chunk, head, depth, row / 4u)",
          right: "written_block(chunk, head, depth, column / 4u)",
        },
    ],
    epilogue: wgsl(STORE, {
      quad: 4,
      name: of,
      at: `${of}_at`,
      based: true,
      base: `${
        residual ? "value" : "rest"
      }_block(chunk, head, row, column / 4u)`,
    }),
  });
}

/**
 * What the source of rows of the delta rules' gradients depends on.
 *
 * @category Kernels
 */
export interface DeltaRowsSpec extends LinearSpec {
  /** What they are. */
  readonly of: "rest" | "residual";
}

const READERS = `
for (var reader = first_reader(head); reader < first_reader(head + 1u); reader++) {
  $sum
}
`;

const STORE = `
@if based
let base = $base;
@end
@each r in quad
if (row + $r < chunk.count) {
  @if based
  $name[$at(chunk, row + $r, head) + column / 4u] = base[$r] + sum_$r;
  @else
  $name[$at(chunk, row + $r, head) + column / 4u] = sum_$r;
  @end
}
@end
`;
