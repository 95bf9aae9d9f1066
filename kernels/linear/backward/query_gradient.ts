/**
 * Gradients of queries: what the state that enters a chunk gives, and what the
 * chunk's own tokens do,
 *
 * ```text
 * dq_t = scale exp(G_t) h_in do_t + sum over s <= t of W_ts exp(G_t - G_s) k_s
 * ```
 *
 * with the gradients of scores `W_ts = scale <do_t, u_s>`, into which a gate of
 * a whole state has gone already. With gates of channels a row whose sub-chunk
 * begins at token n meets earlier ones as `exp(G_t - G_n) (exp(G_n - G_s) k_s)`,
 * as scores do, and the state as `exp(G_t - G_n) (exp(G_n) h_in)`.
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
import { scratchRows } from "../operands/written.ts";
import {
  gradientTerms,
  gradientTile,
  type LinearBackwardSpec,
} from "./spec.ts";

/**
 * The kernel of queries' gradients; rows are tokens, columns channels.
 *
 * @example What it binds
 * ```ts
 * import { queryGradientKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = queryGradientKernel({
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
 *   "output_gradient",
 *   "states",
 *   "scores",
 *   "key",
 *   "query_gradient",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function queryGradientKernel(spec: RecallSpec): KernelSource {
  const { gate, recall = false } = spec;
  const channels = gate === "channel";
  const tile = gradientTile(spec);
  return chunkProductKernel({
    tile,
    label: linearLabel(recall ? "backward.recall" : "backward.query", spec),
    fragments: [
      recall
        ? scratchRows({
          name: "output_gradient",
          vecs: "value_vecs",
          access: "read",
        })
        : tokenBlocks({
          name: "output_gradient",
          format: spec.outputFormat,
          dim: "value_dim",
        }),
      stateBlocks("read"),
      scoreBlocks,
      tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      recall ? gradientTerms("key_terms", "read_write") : storedTokens({
        name: "query_gradient",
        format: spec.gradientFormat,
        dim: "head_dim",
      }),
      ...gate === "none" ? [] : [gateWeights(gate, "from_start")],
      ...gate === "none" || recall
        ? []
        : [gradientTerms("query_terms", "read_write")],
      ...gate === "channel"
        ? [
          gateWeights(gate, "from_reference"),
          gateWeights(gate, "to_reference"),
        ]
        : [],
      {
        uniforms: {
          scale: "f32",
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
      head: gate === "head",
      recall,
      kept: recall || gate !== "none",
      entering: sumOf({
        depth: "4u * params.state_vecs",
        left:
          "transpose(output_gradient_block(chunk, reader, row, depth / 4u))",
        right:
          "transpose(state_block(chunk_index, state_head, column, depth / 4u))",
      }, tile),
      earlier: sumOf(
        channels
          ? {
            depth: "reference",
            left: SCORES,
            right:
              `weighted(${KEYS}, to_reference(chunk, state_head, depth, vec, reference))`,
          }
          : { depth: "row", left: SCORES, right: KEYS },
        tile,
      ),
    }),
    terms: [],
    epilogue: recall ? "" : wgsl(STORE, { quad: 4 }),
  });
}

/**
 * What the source of queries' gradients depends on.
 *
 * @category Kernels
 */
export interface RecallSpec extends LinearBackwardSpec {
  /**
   * Whether keys are the queries, with which the delta rules recall what a state
   * has of them: gradients are terms alone; `false` by default.
   */
  readonly recall?: boolean;
}

const SCORES = "transpose(score_block(chunk, reader, row, depth / 4u))";
const KEYS = "key_block(chunk, key_head, depth, vec)";

// What a token has of itself comes last: gates do not see it.
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
let end = (head + 1u) * params.heads / params.query_heads;
for (var reader = head * params.heads / params.query_heads; reader < end; reader++) {
  let state_head = state_head_of(reader);
  let key_head = key_head_of(state_head);
  @each r in quad
  sum_$r_0 = vec4f(0.0);
  @end
  $entering
  @if channels
  let reference = row / params.sub_chunk * params.sub_chunk;
  let base = params.scale * exp(gate_of(chunk.row + reference, state_head, vec));
  @each r in quad
  sum_$r_0 *= base;
  @end
  $earlier
  let passed = from_reference(chunk, state_head, row, vec, reference);
  @each r in quad
  sum_$r_0 *= passed[$r];
  @end
  let last = chunk.count - 1u;
  for (var depth = reference; depth <= row; depth += 4u) {
    let weights = score_block(chunk, reader, row, depth / 4u);
    let key = key_block(chunk, key_head, depth, vec);
    @each k in quad
    let gate_$k = gate_of(chunk.row + min(depth + $k, last), state_head, vec);
    @end
    @each r in quad
    {
      let own = gate_of(chunk.row + min(row + $r, last), state_head, vec);
      @each k in quad
      sum_$r_0 = fma(vec4f(select(0.0, weights[$r][$k], depth + $k < row + $r)),
        key[$k] * exp(min(own - gate_$k, vec4f(0.0))), sum_$r_0);
      @end
    }
    @end
  }
  @else
  @if head
  let entered = params.scale * from_start(chunk, state_head, row, vec);
  @each r in quad
  sum_$r_0 *= entered[$r];
  @end
  @else
  @each r in quad
  sum_$r_0 *= params.scale;
  @end
  @end
  $earlier
  @end
  let own_weights = score_block(chunk, reader, row, row / 4u);
  let own_key = key_block(chunk, key_head, row, vec);
  @if not channels
  @each r in quad
  @each k in quad
  sum_$r_0 = fma(vec4f(select(0.0, own_weights[$r][$k], $k < $r)), own_key[$k], sum_$r_0);
  @end
  @end
  @end
  @each r in quad
  @if kept
  if (row + $r < chunk.count) {
    @if recall
    key_terms[key_terms_at(chunk.row + row + $r, reader, 2u) + vec] = sum_$r_0;
    @else
    query_terms[query_terms_at(chunk.row + row + $r, reader) + vec] = sum_$r_0;
    @end
  }
  @end
  @if not recall
  total_$r += fma(vec4f(own_weights[$r][$r]), own_key[$r], sum_$r_0);
  @end
  @end
}
`;

const STORE = `
@each r in quad
if (row + $r < chunk.count) {
  store_query_gradient(query_gradient_at(chunk, row + $r, head), vec, total_$r);
}
@end
`;
