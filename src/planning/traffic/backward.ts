/**
 * The cost of backward from the saved log-sum-exp: P is computed once more
 * rather than stored.
 *
 * @module
 */

import { type ScheduleCost, trafficOf } from "./cost.ts";
import { type AttentionSizes, packedSizes } from "./sizes.ts";
import {
  checkTiles,
  type CostTiles,
  type RowSizes,
  rowSizes,
  type VisitSums,
  visitSums,
} from "./tiles.ts";

/**
 * FlashAttention-1's backward (Alg. 4): key tiles outside. dK and dV stay in
 * fast memory while a key tile goes along all rows; dQ is read and written at
 * every step, and D = rowsum(dO O) is formed at every step from both.
 *
 * ```text
 * H (2 S (d + e) + Tc R (3d + 2e + 2) + R d)
 * ```
 *
 * elements; the last term writes dQ = 0.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example Keys are read once, queries once a tile of keys
 * ```ts
 * import { flash1BackwardCost } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const { traffic } = flash1BackwardCost(
 *   { queries: 64, keys: 64, headDim: 16 },
 *   { rows: 16, keys: 32 },
 * );
 * assertEquals(traffic.key?.reads, 64 * 16);
 * assertEquals(traffic.query?.reads, 2 * 64 * 16);
 * ```
 *
 * @category Planning
 */
export function flash1BackwardCost(
  sizes: AttentionSizes,
  tiles: CostTiles,
): ScheduleCost {
  checkTiles(tiles);
  const packed = packedSizes(sizes);
  const { headDim: d, valueHeadDim: e, batch, kvHeads } = packed;
  const { rows, pairs, seenKeys } = visitSums(packed, tiles);
  const heads = batch * kvHeads;
  return {
    traffic: trafficOf({
      query: [rows * d, 0],
      key: [seenKeys * d, 0],
      value: [seenKeys * e, 0],
      output: [rows * e, 0],
      outputGradient: [rows * e, 0],
      statistics: [2 * rows, 0],
      queryGradient: [rows * d, rows * d + heads * packed.rows * d],
      keyGradient: [0, heads * packed.keys * d],
      valueGradient: [0, heads * packed.keys * e],
    }),
    flops: {
      matmul: pairs * (6 * d + 4 * e) + 2 * rows * e,
      exp: pairs,
      // P = exp(S - m) / l.
      rescale: pairs,
    },
  };
}

/**
 * Elements of fast memory that a tile of FlashAttention-2's backward holds at
 * once, in the larger of its two kernels: operands, what is accumulated, scores
 * and their gradients.
 *
 * @example What a larger tile holds besides
 * ```ts
 * import { backwardTileElements } from "@quire/attention/planning";
 * import { assert } from "@std/assert";
 *
 * const held = (rows: number) =>
 *   backwardTileElements({ headDim: 64 }, { rows, keys: 16 });
 * assert(held(32) > held(16));
 * ```
 *
 * @category Planning
 */
export function backwardTileElements(
  { headDim: d, valueHeadDim: e = d }: Pick<
    AttentionSizes,
    "headDim" | "valueHeadDim"
  >,
  { rows, keys }: Pick<CostTiles, "rows" | "keys">,
): number {
  const both = rows * (d + e + 2) + keys * (d + e) + 2 * rows * keys;
  return both + Math.max(rows * d, keys * (d + e));
}

/**
 * FlashAttention-2's backward without atomics, in three dispatches: D; dQ, with
 * row tiles outside; dK and dV, with key tiles outside. Bitwise repeatable, for
 * one more computation of S and of dP.
 *
 * ```text
 * D        2R e + R
 * dQ       R (2d + e + 2) + Tr S (d + e)
 * dK, dV   2 S (d + e) + Tc R (d + e + 2)
 * ```
 *
 * elements of each kv head.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example
 * ```ts
 * import { flash2BackwardCost } from "@quire/attention/planning";
 *
 * const { flops } = flash2BackwardCost(
 *   { queries: 512, keys: 512, headDim: 64 },
 *   { rows: 64, keys: 64 },
 * );
 * console.log(flops.matmul / (2 * 512 * 512 * 64)); // 7 products, and D: 7.001953125
 * ```
 *
 * @category Planning
 */
export function flash2BackwardCost(
  sizes: AttentionSizes,
  tiles: CostTiles,
): ScheduleCost {
  checkTiles(tiles);
  const packed = packedSizes(sizes);
  const { batch, kvHeads } = packed;
  const sums = visitSums(packed, tiles);
  return flash2BackwardOf(
    { query: sums, key: sums },
    { ...rowSizes(packed), allKeys: batch * kvHeads * packed.keys },
  );
}

/** Rows, and the keys of all heads, written or not. */
export interface GradientSizes extends RowSizes {
  /** Keys that have gradients. */
  readonly allKeys: number;
}

/** The same, of visited tiles of either pass that are summed up already. */
export function flash2BackwardOf(
  { query, key }: {
    /** Of dQ: row tiles outside. */
    readonly query: Pick<VisitSums, "keys" | "pairs" | "seeingRows">;
    /** Of dK and dV: key tiles outside. */
    readonly key: Pick<VisitSums, "rows" | "pairs" | "seenKeys">;
  },
  { allRows, allKeys, headDim: d, valueHeadDim: e }: GradientSizes,
): ScheduleCost {
  const rows = query.seeingRows + key.rows;
  const keys = query.keys + key.seenKeys;
  return {
    traffic: trafficOf({
      output: [allRows * e, 0],
      outputGradient: [allRows * e + rows * e, 0],
      delta: [rows, allRows],
      lse: [rows, 0],
      query: [rows * d, 0],
      key: [keys * d, 0],
      value: [keys * e, 0],
      queryGradient: [0, allRows * d],
      keyGradient: [0, allKeys * d],
      valueGradient: [0, allKeys * e],
    }),
    flops: {
      matmul: query.pairs * (4 * d + 2 * e) + key.pairs * (4 * d + 4 * e) +
        2 * allRows * e,
      exp: query.pairs + key.pairs,
      rescale: 0,
    },
  };
}

/** What is visited where gradients of scores are stored. */
export interface StoredSums {
  /** Of dV and scores, and again of dK: key tiles outside. */
  readonly key: Pick<VisitSums, "rows" | "pairs" | "seenKeys">;
  /** Of dQ: row tiles outside, of some keys at a time. */
  readonly query: Pick<VisitSums, "keys" | "pairs">;
  /** Gradients of scores that are written, zeros and padding too. */
  readonly written: number;
  /** Those that are read, for dK and for dQ. */
  readonly read: number;
  /** Elements of dQ's sums between rounds, read and written. */
  readonly states: readonly [reads: number, writes: number];
}

/**
 * The five products where gradients of scores are stored: D; scores and dV; dK;
 * dQ.
 */
export function storedBackwardOf(
  { key, query, written, read, states }: StoredSums,
  { allRows, allKeys, headDim: d, valueHeadDim: e }: GradientSizes,
): ScheduleCost {
  return {
    traffic: trafficOf({
      output: [allRows * e, 0],
      outputGradient: [allRows * e + key.rows * e, 0],
      delta: [key.rows, allRows],
      lse: [key.rows, 0],
      query: [2 * key.rows * d, 0],
      key: [(key.seenKeys + query.keys) * d, 0],
      value: [key.seenKeys * e, 0],
      scoreGradient: [read, written],
      states,
      queryGradient: [0, allRows * d],
      keyGradient: [0, allKeys * d],
      valueGradient: [0, allKeys * e],
    }),
    flops: {
      matmul: key.pairs * (4 * d + 4 * e) + query.pairs * 2 * d +
        2 * allRows * e,
      exp: key.pairs,
      rescale: 0,
    },
  };
}
