// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatches that look a context's clusters up: centroids, level by level,
 * then a bit for each key.
 *
 * @module
 */

import {
  CENTROID_LANES,
  CENTROID_ROWS,
  centroidDenominatorsKernel,
  centroidLoops,
  centroidMeansKernel,
  type CentroidScoresSpec,
  centroidSumsKernel,
} from "../../../kernels/selection/centroid_scores.ts";
import {
  COMPACT_LANES,
  compactKernel,
  compactLoops,
} from "../../../kernels/selection/compact.ts";
import {
  KEEP_MEMBERS_LANES,
  keepMembersKernel,
} from "../../../kernels/selection/keep_members.ts";
import { bitWords } from "../../../kernels/fragments/selection.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { UnsupportedError } from "../../core/errors.ts";
import type { KernelSource } from "../../core/kernel.ts";
import type { Dispatch, Gpu, ProgramParts } from "../../gpu/mod.ts";
import { flatGrid, foldGrid } from "../../gpu/program/dispatch.ts";
import type { ClusterSizes } from "./clusters.ts";

/** Rows whose scores one workgroup adds up. */
const CHUNK_ROWS = 512;

/** What a look-up depends on. */
export interface LookupProblem {
  /** Of the queries. */
  readonly dtype: "f32" | "f16";
  readonly queries: number;
  readonly queryHeads: number;
  /**
   * Elements from one query to the next, and from one head to the next; those
   * of `[queries, queryHeads, headDim]` by default.
   */
  readonly strides?: { readonly token: number; readonly head: number };
  readonly sizes: ClusterSizes;
  readonly scale: number;
  /** What a cluster's mean must be above. */
  readonly threshold: number;
  /** The same a level above. */
  readonly coarseThreshold: number;
  /** Keys that get a bit: those after the ones in clusters are all kept. */
  readonly keys: number;
  /** Whether places of keys that have one are listed too, and by which blocks. */
  readonly gather: boolean | KeyBlocks;
}

/** Keys in blocks. */
export interface KeyBlocks {
  /** Ids of the sequence's blocks, in order. */
  readonly table: Uint32Array;
  /** Tokens of a block. */
  readonly size: number;
}

/** What each level has of its own. */
const OF_LEVEL: readonly string[] = ["centroids", "counts", "means"];

/** Names of the resources of a level. */
interface Level {
  /** `""`, or `"coarse_"`. */
  readonly prefix: string;
  readonly clusters: number;
  readonly listed: boolean;
}

/**
 * The program of a look-up. Its resources are `query`, `centroids`, `counts`,
 * `labels` and `means`, with two levels also `coarse_...` of all but the first,
 * and what it writes: `bits`, or `key_table`, `key_counts` and `key_places`.
 *
 * @throws {UnsupportedError} where the adapter would end its loops
 */
export function lookupParts(gpu: Gpu, problem: LookupProblem): ProgramParts {
  const { sizes, queries, queryHeads, threshold, coarseThreshold } = problem;
  const { kvHeads, clusters, coarse, keys: labelled } = sizes;
  const rows = queries * queryHeads / kvHeads;
  const chunks = Math.ceil(rows / CHUNK_ROWS);
  const words = bitWords(clusters);
  checkLoops(gpu, problem, rows);
  const fine: Level = { prefix: "", clusters, listed: coarse > 0 };
  const dispatches: Dispatch[] = [];
  if (coarse > 0) {
    dispatches.push(
      ...levelOf(gpu, problem, {
        prefix: "coarse_",
        clusters: coarse,
        listed: false,
      }),
      keepMembers(gpu, {
        heads: kvHeads,
        members: clusters,
        labelled: clusters,
        clusters: coarse,
        threshold: coarseThreshold,
      }, { means: "coarse_means", labels: "coarse_labels", bits: "alive" }),
      compact(gpu, { rows: kvHeads, members: clusters }, {
        bits: "alive",
        counts: "listed",
        taken: "listed_places",
      }),
    );
  }
  dispatches.push(
    ...levelOf(gpu, problem, fine),
    keepMembers(gpu, {
      heads: kvHeads,
      members: problem.keys,
      labelled,
      clusters,
      threshold,
    }),
  );
  const { gather } = problem;
  const blocks = typeof gather === "object" ? gather : undefined;
  if (gather) {
    dispatches.push(
      compact(gpu, { rows: kvHeads, members: problem.keys }, {
        list: "key_table",
        counts: "key_counts",
        taken: "key_places",
        ...(blocks && { block_table: "key_blocks" }),
      }, { member_stride: kvHeads, row_stride: 1, block_size: blocks?.size }),
    );
  }
  return {
    dispatches,
    ...(blocks && { words: { key_blocks: blocks.table } }),
    scratch: {
      ...(gather && { bits: 4 * kvHeads * bitWords(problem.keys) }),
      denominators: 4 * kvHeads * rows,
      sums: 4 * kvHeads * chunks * Math.max(clusters, coarse),
      ...(coarse > 0 && {
        alive: 4 * kvHeads * words,
        list: 4 * kvHeads * clusters,
        listed: 4 * kvHeads,
        listed_places: 4 * kvHeads * words,
      }),
    },
  };
}

/** The means of a level's clusters. */
function levelOf(
  { limits }: Gpu,
  { dtype, queries, queryHeads, strides, scale, sizes }: LookupProblem,
  { prefix, clusters, listed }: Level,
): Dispatch[] {
  const { kvHeads, headDim } = sizes;
  const group = queryHeads / kvHeads;
  const rows = queries * group;
  const queryFormat = rowFormat(dtype, headDim);
  const centroidFormat = rowFormat("f32", headDim);
  const spec: CentroidScoresSpec = { queryFormat, centroidFormat, listed };
  const chunks = Math.ceil(rows / CHUNK_ROWS);
  const row_tiles = Math.ceil(rows / CENTROID_ROWS);
  const cluster_tiles = Math.ceil(clusters / CENTROID_LANES);
  const { token = queryHeads * headDim, head = headDim } = strides ?? {};
  const uniforms = {
    head_dim: headDim,
    head_vecs: Math.ceil(headDim / 4),
    query_token_stride: rowStride(queryFormat, token),
    query_head_stride: rowStride(queryFormat, head),
    rows,
    group,
    kv_heads: kvHeads,
    clusters,
    centroid_stride: rowStride(centroidFormat, headDim),
    scale,
    row_tiles,
    chunks,
    chunk_rows: CHUNK_ROWS,
    cluster_tiles,
    all: kvHeads * clusters,
    row_words: bitWords(clusters),
  };
  const dispatch = (
    source: KernelSource,
    grid: Dispatch["grid"],
  ): Dispatch => ({
    source,
    uniforms,
    grid,
    aliases: Object.fromEntries(
      source.bindings.filter(({ name }) => OF_LEVEL.includes(name))
        .map(({ name }) => [name, prefix + name]),
    ),
  });
  return [
    dispatch(
      centroidDenominatorsKernel(spec),
      foldGrid(kvHeads * row_tiles, limits),
    ),
    dispatch(
      centroidSumsKernel(spec),
      foldGrid(kvHeads * chunks * cluster_tiles, limits),
    ),
    dispatch(
      centroidMeansKernel({ listed }),
      flatGrid(kvHeads * clusters, CENTROID_LANES, limits),
    ),
  ];
}

/** A bit for each member. */
function keepMembers(
  { limits }: Gpu,
  { heads, members, labelled, clusters, threshold }: {
    readonly heads: number;
    readonly members: number;
    readonly labelled: number;
    readonly clusters: number;
    readonly threshold: number;
  },
  aliases: Dispatch["aliases"] = {},
): Dispatch {
  const row_words = bitWords(members);
  const words = heads * row_words;
  return {
    source: keepMembersKernel(),
    uniforms: { words, row_words, members, labelled, clusters, threshold },
    grid: flatGrid(words, KEEP_MEMBERS_LANES, limits),
    aliases,
  };
}

/** What stands in a list for a member: see the kernel. */
interface ListPlaces {
  readonly member_stride: number;
  readonly row_stride: number;
  /** Where members are tokens in blocks. */
  readonly block_size?: number | undefined;
}

/** The list of the members that have a bit; by default of their numbers. */
function compact(
  { limits }: Gpu,
  { rows, members }: { readonly rows: number; readonly members: number },
  aliases: Dispatch["aliases"] = {},
  { block_size, ...at }: ListPlaces = { member_stride: 1, row_stride: 0 },
): Dispatch {
  const row_words = bitWords(members);
  const row_chunks = Math.ceil(row_words / COMPACT_LANES);
  const paged = block_size !== undefined;
  return {
    source: compactKernel({ paged }),
    uniforms: {
      rows,
      members,
      row_words,
      row_chunks,
      ...at,
      ...(paged && { block_size }),
    },
    grid: foldGrid(rows * row_chunks, limits),
    aliases,
  };
}

function checkLoops(
  { maxLoopIterations }: Gpu,
  { sizes, keys }: LookupProblem,
  rows: number,
): void {
  const { clusters, coarse, headDim } = sizes;
  const most = Math.max(clusters, coarse);
  const loops = Math.max(
    centroidLoops({ clusters: most, headDim, rows, chunkRows: CHUNK_ROWS }),
    compactLoops(bitWords(keys)),
  );
  if (loops <= maxLoopIterations) return;
  throw new UnsupportedError(
    `look up ${most} clusters of ${keys} keys for ${rows} rows of queries`,
    `its loops take up to ${loops} iterations, and this adapter ends them after ${maxLoopIterations}; take fewer clusters, or fewer queries at a time`,
  );
}
