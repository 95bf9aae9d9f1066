/**
 * Scores inside chunks:
 *
 * ```text
 * A_ts = scale sum over d of q_td k_sd exp(G_td - G_sd)   for s <= t
 * ```
 *
 * With features it is `1 + s + s^2 / 2`, of `s` the scaled product of the rows
 * themselves: features are not made.
 *
 * No exponent is positive, so nothing overflows under any decay (Gated Linear
 * Attention, Yang et al. 2024, section 4.3): a gate of a whole state is applied
 * to the pair; with gates of channels, a row t whose sub-chunk begins at token n
 * meets earlier sub-chunks as `(q_t exp(G_t - G_n)) . (k_s exp(G_n - G_s))`, and
 * its own one pair by pair.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import type { Fragment } from "../../fragment.ts";
import { dot } from "../../fragments/dot.ts";
import { wgsl } from "../../wgsl.ts";
import { chunkScores, tokenBlocks } from "../operands/operands.ts";
import type { ProductTile } from "../../product.ts";
import { chunkProductKernel } from "../product.ts";
import { gateSums, gateWeights } from "../operands/weights.ts";
import { linearLabel, type LinearSpec } from "../spec.ts";
import { scratchRows } from "../operands/written.ts";

/**
 * What the scores' source depends on.
 *
 * @category Kernels
 */
export interface ScoresSpec extends LinearSpec {
  /** Whether a token has no score of itself: `s < t`. */
  readonly strict?: boolean;
  /** Operands that are rows of scratch; none by default. */
  readonly scratch?: readonly ("query" | "key")[];
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
 *   tile: { rowLanes: 8, columnLanes: 8, columnQuads: 1 },
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
  const { gate, strict = false, scratch = [] } = spec;
  const tile = scoresTile(spec);
  const channels = gate === "channel";
  const features = spec.featureMap === "taylor";
  return chunkProductKernel({
    label: [
      linearLabel("scores", spec),
      ...strict ? ["strict"] : [],
      ...scratch,
    ]
      .join("."),
    tile,
    fragments: [
      ...(["query", "key"] as const).map((name) =>
        scratch.includes(name)
          ? scratchRows({ name, vecs: "head_vecs", access: "read" })
          : tokenBlocks({
            name,
            format: spec[`${name}Format`],
            dim: "head_dim",
          })
      ),
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
    columns: "min(chunk.count, row_end)",
    begin: wgsl(channels ? BEGIN + CHANNELS : BEGIN, {
      quads: tile.columnQuads,
      four: 4,
    }),
    terms: channels ? [] : [PLAIN],
    epilogue: wgsl(STORE, {
      four: 4,
      head: gate === "head",
      order: strict ? "<" : "<=",
      features,
      // Features have the scale in them.
      scale: features ? "1.0" : "params.scale",
    }),
  });
}

/**
 * The tile of scores. With gates of channels a quad of columns is two loops,
 * each long, which are compiled for every quad.
 */
export function scoresTile(
  { gate, tile }: Pick<LinearSpec, "gate" | "tile">,
): ProductTile {
  return gate === "channel" ? { ...tile, columnQuads: 1 } : tile;
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

// What is read past the chunk's end is in scores that are not kept. Sub-chunks
// before a row's own are before a tile's, too, and the lanes of one
// sub-chunk go the same way.
const CHANNELS = `
let reference = row / params.sub_chunk * params.sub_chunk;
@each c in quads
if (column_$c < reference) {
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let left = transpose(weighted(query_block(chunk, query_head, row, vec),
      from_reference(chunk, state_head, row, vec, reference)));
    let right = transpose(weighted(key_block(chunk, key_head, column_$c, vec),
      to_reference(chunk, state_head, column_$c, vec, reference)));
    @each k in four
    @each r in four
    sum_$r_$c = fma(vec4f(left[$k][$r]), right[$k], sum_$r_$c);
    @end
    @end
  }
} else if (column_$c < row + 4u) {
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let query = query_block(chunk, query_head, row, vec);
    let key = key_block(chunk, key_head, column_$c, vec);
    @each k in four
    let gate_$k = gate_of(chunk.row + column_$c + $k, state_head, vec);
    @end
    @each r in four
    {
      let own = gate_of(chunk.row + row + $r, state_head, vec);
      @each k in four
      sum_$r_$c[$k] = dot4(sum_$r_$c[$k], query[$r], key[$k] * exp(min(own - gate_$k, vec4f(0.0))));
      @end
    }
    @end
  }
}
@end
`;

const STORE = `
let columns = vec4u(column) + vec4u(0u, 1u, 2u, 3u);
@if head
let key_gates = vec4f(
  @each k in four
  gate_of(chunk.row + column + $k, state_head, 0u).x,
  @end
);
@end
@each r in four
if (row + $r < chunk.count) {
  @if head
  let gate = gate_of(chunk.row + row + $r, state_head, 0u);
  let weight = $scale * exp(min(gate - key_gates, vec4f(0.0)));
  @else
  let weight = vec4f($scale);
  @end
  @if features
  let s_$r = params.scale * sum_$r;
  let score_$r = fma(s_$r, fma(s_$r, vec4f(0.5), vec4f(1.0)), vec4f(1.0));
  @else
  let score_$r = sum_$r;
  @end
  scores[score_at(chunk.row + row + $r, head) + column / 4u] =
    select(vec4f(0.0), weight * score_$r, columns $order vec4u(row + $r));
}
@end
`;
