/**
 * Scores inside chunks:
 *
 * ```text
 * A_ts = scale sum over d of q_td k_sd exp(G_td - G_sd)   for s <= t
 * ```
 *
 * No exponent is positive, so nothing overflows under any decay (Gated Linear
 * Attention, Yang et al. 2024, section 4.3): a gate of a whole state is applied
 * to the pair; with gates of channels, a row t whose sub-chunk begins at token n
 * meets earlier sub-chunks as `(q_t exp(G_t - G_n)) . (k_s exp(G_n - G_s))`, and
 * its own one pair by pair.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import type { Fragment } from "../fragment.ts";
import { dot } from "../fragments/dot.ts";
import { wgsl } from "../wgsl.ts";
import { chunkScores, tokenBlocks } from "./operands.ts";
import { sumOf } from "../product.ts";
import { chunkProductKernel } from "./product.ts";
import { gateSums, gateWeights } from "./weights.ts";
import { linearLabel, type LinearSpec } from "./spec.ts";

/**
 * What the scores' source depends on.
 *
 * @category Kernels
 */
export interface ScoresSpec extends LinearSpec {
  /** Whether a token has no score of itself: `s < t`. */
  readonly strict?: boolean;
}

/**
 * The kernel of scores; rows are queries, columns keys.
 *
 * @example What it binds
 * ```ts
 * import { chunkScoresKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = chunkScoresKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   valueFormat: rows,
 *   outputFormat: rows,
 *   gate: "head",
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "query",
 *   "key",
 *   "scores",
 *   "gates",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function chunkScoresKernel(spec: ScoresSpec): KernelSource {
  const { gate, strict = false } = spec;
  const channels = gate === "channel";
  return chunkProductKernel({
    label: linearLabel("scores", spec) + (strict ? ".strict" : ""),
    fragments: [
      tokenBlocks({ name: "query", format: spec.queryFormat, dim: "head_dim" }),
      tokenBlocks({ name: "key", format: spec.keyFormat, dim: "head_dim" }),
      chunkScores("read_write"),
      ...gate === "none" ? [] : [gateSums(gate)],
      ...channels
        ? [
          dot,
          gateWeights("channel", "from_reference"),
          gateWeights("channel", "to_reference"),
          subChunks,
        ]
        : [],
      { uniforms: { head_vecs: "u32", scale: "f32" } },
    ],
    rows: "chunk.count",
    columns: "min(chunk.count, row + 4u)",
    begin: wgsl(BEGIN),
    terms: channels ? [] : [PLAIN],
    epilogue: wgsl(
      channels ? CHANNELS + STORE : STORE,
      {
        quad: 4,
        head: gate === "head",
        order: strict ? "<" : "<=",
        ...(channels && { referred: sumOf(REFERRED) }),
      },
    ),
  });
}

const subChunks: Fragment = { uniforms: { sub_chunk: "u32" } };

const BEGIN = `
let query_head = query_head_of(head);
let state_head = state_head_of(head);
let key_head = key_head_of(state_head);
`;

const QUERY = "query_block(chunk, query_head, row, depth / 4u)";
const KEY = "key_block(chunk, key_head, column, depth / 4u)";

const PLAIN = {
  depth: "4u * params.head_vecs",
  left: `transpose(${QUERY})`,
  right: `transpose(${KEY})`,
};

const REFERRED = {
  depth: "4u * params.head_vecs",
  left:
    `transpose(weighted(${QUERY}, from_reference(chunk, state_head, row, depth / 4u, reference)))`,
  right:
    `transpose(weighted(${KEY}, to_reference(chunk, state_head, column, depth / 4u, reference)))`,
};

const CHANNELS = `
let reference = row / params.sub_chunk * params.sub_chunk;
if (column < reference) {
  $referred
} else {
  let last = chunk.count - 1u;
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let query = query_block(chunk, query_head, row, vec);
    let key = key_block(chunk, key_head, column, vec);
    @each c in quad
    let gate_$c = gate_of(chunk.row + min(column + $c, last), state_head, vec);
    @end
    @each r in quad
    {
      let own = gate_of(chunk.row + min(row + $r, last), state_head, vec);
      @each c in quad
      sum_$r[$c] = dot4(sum_$r[$c], query[$r], key[$c] * exp(min(own - gate_$c, vec4f(0.0))));
      @end
    }
    @end
  }
}
`;

const STORE = `
let columns = vec4u(column) + vec4u(0u, 1u, 2u, 3u);
@if head
let last = chunk.count - 1u;
let key_gates = vec4f(
  @each c in quad
  gate_of(chunk.row + min(column + $c, last), state_head, 0u).x,
  @end
);
@end
@each r in quad
if (row + $r < chunk.count) {
  @if head
  let gate = gate_of(chunk.row + row + $r, state_head, 0u);
  let weight = params.scale * exp(min(gate - key_gates, vec4f(0.0)));
  @else
  let weight = vec4f(params.scale);
  @end
  scores[score_at(chunk.row + row + $r, head) + column / 4u] =
    select(vec4f(0.0), weight * sum_$r, columns $order vec4u(row + $r));
}
@end
`;
