/**
 * How much of the attention of each query the keys of a cluster have, by the
 * cluster's centroid alone (Squeezed Attention, Hooper et al. 2024, section 3.2):
 *
 * ```text
 * S_i(q) = exp(scale <q, C_i>) / sum over j of N_j exp(scale <q, C_j>)
 * ```
 *
 * of one key of cluster i; over all keys, S adds up to 1. Three kernels: the
 * logarithm of each query's denominator, sums of S over chunks of queries, and
 * their mean over all queries and the query heads that share the keys. Every sum
 * has a fixed order. Where clusters are listed, the others are not looked at:
 * they count in no denominator, and have no mean.
 *
 * ```text
 * query [queries, kvHeads * group, headDim]   centroids [kvHeads, clusters, headDim]
 * denominators [kvHeads, queries * group]   sums [kvHeads, chunks, clusters]
 * means [kvHeads, clusters]
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { groupEntry, invocationEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { dot, dotTile } from "../fragments/dot.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  rowPlaces,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the kernels' source depends on.
 *
 * @category Kernels
 */
export interface CentroidScoresSpec {
  /** Rows of queries. */
  readonly queryFormat: RowFormat;
  /** Rows of centroids, f32. */
  readonly centroidFormat: RowFormat;
  /** Whether only listed clusters are looked at. */
  readonly listed: boolean;
}

/** Invocations of a workgroup, a cluster each at a time. */
export const CENTROID_LANES = 64;

/** Queries of a workgroup's tile: one load of a centroid serves all. */
export const CENTROID_ROWS = 8;

/** The least mean of a cluster that was looked at: as exact ones, it is not 0. */
const LEAST_MEAN = "0x1p-126f";

/** Iterations that an invocation's loops take at most, of each kernel. */
export function centroidLoops(
  { clusters, headDim, rows, chunkRows }: {
    readonly clusters: number;
    readonly headDim: number;
    readonly rows: number;
    readonly chunkRows: number;
  },
): number {
  const vecs = Math.ceil(headDim / 4) + 1;
  const load = Math.ceil(CENTROID_ROWS * vecs / CENTROID_LANES) + 1;
  const denominators = load + CENTROID_LANES + 2 +
    Math.ceil(clusters / CENTROID_LANES) * (vecs + 1);
  const sums = Math.ceil(chunkRows / CENTROID_ROWS) * (load + vecs + 1) + 1;
  return Math.max(denominators, sums, Math.ceil(rows / chunkRows) + 1);
}

/**
 * The logarithm of each query's denominator; grid: tiles of queries of each kv
 * head, folded.
 *
 * @example What it binds
 * ```ts
 * import { centroidDenominatorsKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const { bindings } = centroidDenominatorsKernel({
 *   queryFormat: rowFormat("f16", 64),
 *   centroidFormat: rowFormat("f32", 64),
 *   listed: false,
 * });
 * console.log(bindings.map(({ name }) => name));
 * // query centroids counts denominators params
 * ```
 *
 * @category Kernels
 */
export function centroidDenominatorsKernel(
  spec: CentroidScoresSpec,
): KernelSource {
  return kernelOf({
    label: labelOf("denominators", spec),
    fragments: [
      ...scoreFragments(spec),
      denominators("read_write"),
      onlineSoftmax,
      { uniforms: { row_tiles: "u32" }, code: wgsl(STATES, SCOPE) },
    ],
    main: groupEntry(CENTROID_LANES, wgsl(DENOMINATORS, scopeOf(spec))),
  });
}

/**
 * Sums of S over a chunk of queries; grid: clusters of each chunk of each kv
 * head, 64 a workgroup, folded.
 *
 * @example What it binds
 * ```ts
 * import { centroidSumsKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const { bindings } = centroidSumsKernel({
 *   queryFormat: rowFormat("f32", 64),
 *   centroidFormat: rowFormat("f32", 64),
 *   listed: false,
 * });
 * console.log(bindings.map(({ name }) => name));
 * // query centroids counts denominators sums params
 * ```
 *
 * @category Kernels
 */
export function centroidSumsKernel(spec: CentroidScoresSpec): KernelSource {
  return kernelOf({
    label: labelOf("sums", spec),
    fragments: [
      ...scoreFragments(spec),
      denominators("read"),
      {
        bindings: [{ name: "sums", type: "array<f32>", access: "read_write" }],
        uniforms: { chunks: "u32", chunk_rows: "u32", cluster_tiles: "u32" },
      },
    ],
    main: groupEntry(CENTROID_LANES, wgsl(SUMS, scopeOf(spec))),
  });
}

/**
 * The mean of each cluster, 0 for one that was not looked at; grid: clusters of
 * each kv head, 64 a workgroup, folded.
 *
 * @example What it binds
 * ```ts
 * import { centroidMeansKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = centroidMeansKernel({ listed: false });
 * console.log(bindings.map(({ name }) => name)); // sums means params
 * ```
 *
 * @category Kernels
 */
export function centroidMeansKernel(
  { listed }: Pick<CentroidScoresSpec, "listed">,
): KernelSource {
  return kernelOf({
    label: `selection.centroids.means/f32${listed ? ".listed" : ""}`,
    fragments: [
      {
        bindings: [
          { name: "sums", type: "array<f32>", access: "read" },
          { name: "counts", type: "array<u32>", access: "read" },
          ...(listed
            ? [{ name: "alive", type: "array<u32>", access: "read" } as const]
            : []),
          { name: "means", type: "array<f32>", access: "read_write" },
        ],
        uniforms: {
          all: "u32",
          clusters: "u32",
          ...(listed && { row_words: "u32" }),
          chunks: "u32",
          rows: "u32",
        },
      },
    ],
    main: invocationEntry(
      CENTROID_LANES,
      wgsl(MEANS, { listed, least: LEAST_MEAN }),
    ),
  });
}

const SCOPE = { lanes: CENTROID_LANES, rows: CENTROID_ROWS };

function scopeOf({ listed }: CentroidScoresSpec) {
  return {
    ...SCOPE,
    listed,
    scores: dotTile({
      own: CENTROID_ROWS,
      step: 1,
      into: "s",
      vecs: "params.head_vecs",
      ownRow: ["q", `tile_rows[$r * params.head_vecs + vec]`],
      stepRow: ["c", "load_centroid(centroid_at, vec)"],
    }),
  };
}

function labelOf(
  name: string,
  { queryFormat, centroidFormat, listed }: CentroidScoresSpec,
): string {
  return `selection.centroids.${name}/${queryFormat.dtype}` +
    (centroidFormat.vector ? "" : ".tail") + (listed ? ".listed" : "");
}

function denominators(access: "read" | "read_write"): Fragment {
  return { bindings: [{ name: "denominators", type: "array<f32>", access }] };
}

/** A tile of queries, and where the centroids are that they are held against. */
function scoreFragments(
  { queryFormat, centroidFormat, listed }: CentroidScoresSpec,
): Fragment[] {
  return [
    loadRow({
      name: "load_query",
      bindings: [rowBinding("query", queryFormat)],
      format: queryFormat,
      dim: "head_dim",
    }),
    rowPlaces({ name: "query" }),
    loadRow({
      name: "load_centroid",
      bindings: [rowBinding("centroids", centroidFormat)],
      format: centroidFormat,
      dim: "head_dim",
    }),
    dot,
    {
      bindings: [
        { name: "counts", type: "array<u32>", access: "read" },
        ...(listed
          ? [
            { name: "list", type: "array<u32>", access: "read" } as const,
            { name: "listed", type: "array<u32>", access: "read" } as const,
          ]
          : []),
      ],
      uniforms: {
        // Packed rows of a kv head: its group's heads of one query, then the next.
        rows: "u32",
        group: "u32",
        kv_heads: "u32",
        clusters: "u32",
        centroid_stride: "u32",
        scale: "f32",
      },
      code: wgsl(TILE, { ...SCOPE, most: CENTROID_ROWS * 64, listed }),
    },
  ];
}

const TILE = `
// Queries of a tile; those past the last are zeros.
var<workgroup> tile_rows: array<vec4f, $most>;

fn load_tile(first_row: u32, kv_head: u32, lane: u32) {
  for (var i = lane; i < $rows * params.head_vecs; i += $lanes) {
    let row = first_row + i / params.head_vecs;
    var value = vec4f(0.0);
    if (row < params.rows) {
      let head = kv_head * params.group + row % params.group;
      value = load_query(query_place(row / params.group, head), i % params.head_vecs);
    }
    tile_rows[i] = value;
  }
  workgroupBarrier();
}

// How many clusters a kv head looks at, and which is the i-th.
fn looked_at(kv_head: u32) -> u32 {
  @if listed
  return listed[kv_head];
  @else
  return params.clusters;
  @end
}

fn cluster_of(kv_head: u32, i: u32) -> u32 {
  @if listed
  return list[kv_head * params.clusters + i];
  @else
  return i;
  @end
}
`;

const STATES = `
// The states of a tile's queries, lane by lane.
var<workgroup> maxima: array<f32, $lanes * $rows>;
var<workgroup> totals: array<f32, $lanes * $rows>;
`;

const DENOMINATORS = `
let kv_head = group / params.row_tiles;
let first_row = (group - kv_head * params.row_tiles) * $rows;
if (kv_head >= params.kv_heads) {
  return;
}
load_tile(first_row, kv_head, lane);
@each r in rows
var m_$r = SENTINEL;
var l_$r = 0.0;
@end
let count = looked_at(kv_head);
for (var i = lane; i < count; i += $lanes) {
  let place = kv_head * params.clusters + cluster_of(kv_head, i);
  let members = counts[place];
  if (members > 0u) {
    let centroid_at = place * params.centroid_stride;
    let bias = log(f32(members));
    $scores
    @each r in rows
    let score_$r = fma(s_$r_0, params.scale, bias);
    let max_$r = max(m_$r, score_$r);
    l_$r = carry_sum(l_$r, rescale(m_$r, max_$r), weight(score_$r, max_$r));
    m_$r = max_$r;
    @end
  }
}
@each r in rows
maxima[lane * $rows + $r] = m_$r;
totals[lane * $rows + $r] = l_$r;
@end
workgroupBarrier();
let row = first_row + lane;
if (lane >= $rows || row >= params.rows) {
  return;
}
var maximum = SENTINEL;
for (var other = 0u; other < $lanes; other++) {
  maximum = max(maximum, maxima[other * $rows + lane]);
}
var total = 0.0;
for (var other = 0u; other < $lanes; other++) {
  total += totals[other * $rows + lane] * weight(maxima[other * $rows + lane], maximum);
}
denominators[kv_head * params.rows + row] = log_sum_exp(maximum, total);
`;

const SUMS = `
let cluster_tile = group % params.cluster_tiles;
let plane = group / params.cluster_tiles;
let kv_head = plane / params.chunks;
let chunk = plane - kv_head * params.chunks;
if (kv_head >= params.kv_heads) {
  return;
}
let i = cluster_tile * $lanes + lane;
let live = i < looked_at(kv_head);
// Lanes past the last cluster go along with it: all must reach the barriers.
let cluster = cluster_of(kv_head, select(0u, i, live));
let place = kv_head * params.clusters + cluster;
let centroid_at = place * params.centroid_stride;
let first = chunk * params.chunk_rows;
let end = min(first + params.chunk_rows, params.rows);
var sum = 0.0;
for (var first_row = first; first_row < end; first_row += $rows) {
  load_tile(first_row, kv_head, lane);
  $scores
  @each r in rows
  if (first_row + $r < end) {
    let denominator = denominators[kv_head * params.rows + first_row + $r];
    sum += exp(fma(s_$r_0, params.scale, -denominator));
  }
  @end
  workgroupBarrier();
}
if (live) {
  sums[plane * params.clusters + cluster] = sum;
}
`;

const MEANS = `
if (index >= params.all) {
  return;
}
let kv_head = index / params.clusters;
let cluster = index - kv_head * params.clusters;
var seen = counts[index] > 0u;
@if listed
seen = seen && ((alive[kv_head * params.row_words + (cluster >> 5u)] >> (cluster & 31u)) & 1u) == 1u;
@end
var mean = 0.0;
if (seen) {
  var sum = 0.0;
  for (var chunk = 0u; chunk < params.chunks; chunk++) {
    sum += sums[(kv_head * params.chunks + chunk) * params.clusters + cluster];
  }
  // As exact ones, it is not above 1 either, however scores were rounded.
  mean = clamp(sum / f32(params.rows), $least, 1.0);
}
means[index] = mean;
`;
