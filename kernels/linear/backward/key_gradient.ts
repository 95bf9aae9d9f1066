/**
 * Gradients of keys: what the gradient of the state that leaves a chunk gives,
 * and what the chunk's later queries do,
 *
 * ```text
 * dk_s = exp(G_end - G_s) D u_s + sum over t >= s of W_ts exp(G_t - G_s) q_t
 * ```
 *
 * with the gradients of scores `W_ts`, of which `query_gradient.ts` tells. With
 * gates of channels the reference is the token n at which the next sub-chunk
 * begins: `exp(G_n - G_s) (exp(G_t - G_n) q_t)`.
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
import { linearLabel } from "../spec.ts";
import { gateWeights } from "../operands/weights.ts";
import { writtenBlocks } from "../operands/written.ts";
import type { RecallSpec } from "./query_gradient.ts";
import { gradientTerms, gradientTile, readers } from "./spec.ts";

/**
 * The kernel of keys' gradients; rows are tokens, columns channels, `states` the
 * gradients of those that leave chunks.
 *
 * @example What it binds
 * ```ts
 * import { keyGradientKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = keyGradientKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gradientFormat: rows,
 *   gate: "none",
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "value",
 *   "states",
 *   "scores",
 *   "query",
 *   "key_gradient",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function keyGradientKernel(spec: RecallSpec): KernelSource {
  const { gate, delta = false, recall = false } = spec;
  const channels = gate === "channel";
  const tile = gradientTile(spec);
  return chunkProductKernel({
    tile,
    label: linearLabel(recall ? "backward.recalled" : "backward.key", spec),
    fragments: [
      ...recall ? [] : [writtenBlocks(spec), stateBlocks("read")],
      scoreBlocks,
      tokenBlocks({ name: "query", format: spec.queryFormat, dim: "head_dim" }),
      ...recall ? [] : [
        storedTokens({
          name: "key_gradient",
          format: spec.gradientFormat,
          dim: "head_dim",
        }),
      ],
      readers,
      ...gate === "none" ? [] : [gateWeights(gate, "to_end")],
      ...gate === "none" && !delta
        ? []
        : [gradientTerms("key_terms", "read_write")],
      ...gate === "channel"
        ? [
          gateWeights(gate, "from_reference"),
          gateWeights(gate, "to_reference"),
        ]
        : [],
      {
        uniforms: {
          head_vecs: "u32",
          ...channels && { sub_chunk: "u32" },
        },
      },
    ],
    rows: "chunk.count",
    columns: "4u * params.head_vecs",
    begin: wgsl(SUM, {
      quad: 4,
      channels,
      gated: gate !== "none",
      kept: delta || gate !== "none",
      recall,
      recalled: delta && !recall,
      leaving: sumOf({
        depth: "4u * params.state_vecs",
        left: "transpose(written_block(chunk, state_head, row, depth / 4u))",
        right:
          "transpose(state_block(chunk_index, state_head, column, depth / 4u))",
      }, tile),
      later: sumOf(
        channels
          ? {
            first: "reference",
            depth: "chunk.count",
            left: SCORES,
            right:
              `weighted(${QUERIES}, from_reference(chunk, state_head, depth, vec, reference))`,
          }
          : {
            first: "row + 4u",
            depth: "chunk.count",
            left: SCORES,
            right: QUERIES,
          },
        tile,
      ),
    }),
    terms: [],
    epilogue: recall ? "" : wgsl(STORE, { quad: 4 }),
  });
}

const SCORES = "score_block(chunk, reader, depth, row / 4u)";
const QUERIES = "query_block(chunk, query_head, depth, vec)";

const SUM = `
if (first_column > last_column) {
  return;
}
let column = column_0;
let vec = column / 4u;
@if not recall
@each r in quad
var total_$r = vec4f(0.0);
@end
@end
let end = (head + 1u) * params.state_heads / params.key_heads;
for (var state_head = head * params.state_heads / params.key_heads; state_head < end; state_head++) {
  @each r in quad
  sum_$r_0 = vec4f(0.0);
  @end
  @if not recall
  $leaving
  @if gated
  let left = to_end(chunk, state_head, row, vec);
  @each r in quad
  sum_$r_0 *= left[$r];
  if (row + $r < chunk.count) {
    key_terms[key_terms_at(chunk.row + row + $r, state_head, 1u) + vec] = sum_$r_0;
  }
  @end
  @end
  @end
  @each r in quad
  @if not recall
  total_$r += sum_$r_0;
  @end
  var others_$r = vec4f(0.0);
  @if recalled
  if (row + $r < chunk.count) {
    let terms = key_terms_at(chunk.row + row + $r, state_head, 0u) + vec;
    others_$r = key_terms[terms];
    total_$r += key_terms[terms + 2u * params.head_vecs];
  }
  @end
  @end
  for (var reader = first_reader(state_head); reader < first_reader(state_head + 1u); reader++) {
    let query_head = query_head_of(reader);
    @each r in quad
    sum_$r_0 = vec4f(0.0);
    @end
    @if channels
    let reference = (row / params.sub_chunk + 1u) * params.sub_chunk;
    if (reference < chunk.count) {
      $later
      let passed = to_reference(chunk, state_head, row, vec, reference);
      @each r in quad
      sum_$r_0 *= passed[$r];
      @end
    }
    let last = chunk.count - 1u;
    @each r in quad
    let gate_$r = gate_of(chunk.row + min(row + $r, last), state_head, vec);
    @end
    for (var depth = row; depth < min(reference, chunk.count); depth += 4u) {
      let weights = score_block(chunk, reader, depth, row / 4u);
      let query = query_block(chunk, query_head, depth, vec);
      @each k in quad
      {
        let own = gate_of(chunk.row + min(depth + $k, last), state_head, vec);
        @each r in quad
        sum_$r_0 = fma(vec4f(select(0.0, weights[$k][$r], depth + $k > row + $r)),
          query[$k] * exp(min(own - gate_$r, vec4f(0.0))), sum_$r_0);
        @end
      }
      @end
    }
    @else
    $later
    @end
    let own_weights = score_block(chunk, reader, row, row / 4u);
    let own_query = query_block(chunk, query_head, row, vec);
    @each r in quad
    @if not channels
    @each k in quad
    sum_$r_0 = fma(vec4f(select(0.0, own_weights[$k][$r], $k > $r)), own_query[$k], sum_$r_0);
    @end
    @end
    others_$r += sum_$r_0;
    @if not recall
    total_$r = fma(vec4f(own_weights[$r][$r]), own_query[$r], total_$r);
    @end
    @end
  }
  @each r in quad
  @if not recall
  total_$r += others_$r;
  @end
  @if kept
  if (row + $r < chunk.count) {
    key_terms[key_terms_at(chunk.row + row + $r, state_head, 0u) + vec] = others_$r;
  }
  @end
  @end
}
`;

const STORE = `
@each r in quad
if (row + $r < chunk.count) {
  store_key_gradient(key_gradient_at(chunk, row + $r, head), vec, total_$r);
}
@end
`;
