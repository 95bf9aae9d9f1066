/**
 * The shadow: the tiled kernel's own loop in TypeScript, with its constants and
 * in its order of operations, each rounded to float32. It separates faults of
 * the algorithm, which it shares, from faults of a shader, a driver or a device,
 * which it does not have.
 *
 * For each tile of `rows` queries, and each of `splits` ranges of key tiles:
 *
 * ```text
 * m = SENTINEL, l = 0, A = 0
 * for each tile of `keys` keys, one step of the kernel:
 *   s     = score(scale * <q, k>), where the mask allows
 *   mNew  = max(m, max s)
 *   alpha = exp(m - mNew)            p = exp(s - mNew), 0 where masked
 *   l     = alpha l + sum p          A = alpha A + (keep P) V
 *   m     = mNew
 * ```
 *
 * Then the ranges are merged in order, and `O = A / l`, `L = m + ln l`; a row
 * with `l = 0` has no keys.
 *
 * @module
 */

import { checkInteger } from "../src/core/check.ts";
import { SENTINEL } from "../src/core/sentinel.ts";
import type { TileKind } from "./block_mask.ts";
import { dotFma } from "./fma.ts";
import { type LowPrecisionResult, roundAll } from "./naive.ts";
import { type Geometry, geometryOf, type ReferenceProblem } from "./problem.ts";
import {
  absorbStep,
  emptyRow,
  finishRow,
  mergeRowStates,
  type RowState,
  type SeenTile,
} from "./shadow_row.ts";

/**
 * How the kernel cuts the problem, and what it reads and writes.
 *
 * @category In float32
 */
export interface ShadowOptions {
  /** Queries in one tile. */
  rows: number;
  /** Keys in one tile: those of one step of the kernel. */
  keys: number;
  /** Contiguous ranges of key tiles, reduced apart, then merged; default 1. */
  splits?: number | undefined;
  /**
   * Storage of query, key, value and output; default `"f32"`. Arithmetic is
   * float32 either way, and so is the log-sum-exp.
   */
  inputs?: "f32" | "f16" | undefined;
  /**
   * What is known of a tile's mask: `"none"` skips the tile, `"all"` skips the
   * mask; default `"some"`.
   */
  classify?:
    | ((
      queryTile: number,
      keyTile: number,
      batch: number,
      head: number,
    ) => TileKind)
    | undefined;
}

/**
 * What the shadow gives.
 *
 * @category In float32
 */
export interface ShadowResult extends LowPrecisionResult {
  /** Tiles by what was known of their mask, over batch and heads. */
  tiles: Record<TileKind, number>;
}

/** Everything the loop needs, in one place. */
interface Run {
  readonly problem: ReferenceProblem;
  readonly geometry: Geometry;
  readonly scale: number;
  readonly options: ShadowOptions;
  readonly tiles: Record<TileKind, number>;
}

/** A tile of queries of one head. */
interface QueryTile {
  readonly b: number;
  readonly h: number;
  readonly index: number;
  readonly firstQuery: number;
  readonly endQuery: number;
}

/**
 * The kernel's tile loop in float32.
 *
 * @param problem The problem; its numbers are rounded to `options.inputs`.
 * @param options Tile sizes, splits, storage, and what is known of the mask.
 * @returns Output, log-sum-exp, and how many tiles of each kind there were.
 * @throws {TypeError} if an array is not as long as its shape says.
 * @throws {RangeError} if a size is out of range, or the heads do not divide.
 *
 * @example Tiles of one key, in float32
 * ```ts
 * import { attention, shadowAttention } from "@quire/attention/reference";
 * import { assert, assertEquals } from "@std/assert";
 *
 * const problem = {
 *   query: [0.5, 1],
 *   key: [1, 0, 0, 1],
 *   value: [1, 2, 3, 4],
 *   batch: 1,
 *   queryLength: 1,
 *   keyLength: 2,
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   headDim: 2,
 * };
 * const { output, tiles } = shadowAttention(problem, { rows: 1, keys: 1 });
 * const exact = attention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * assertEquals(tiles.some, 2);
 * ```
 *
 * @category In float32
 */
export function shadowAttention(
  problem: ReferenceProblem,
  options: ShadowOptions,
): ShadowResult {
  const geometry = geometryOf(problem);
  const { batch, queryLength, queryHeads } = problem;
  const { rows, keys, splits = 1, inputs = "f32" } = options;
  checkInteger("rows", rows, 1);
  checkInteger("keys", keys, 1);
  checkInteger("splits", splits, 1);
  const run: Run = {
    problem: {
      ...problem,
      query: roundAll(inputs, problem.query),
      key: roundAll(inputs, problem.key),
      value: roundAll(inputs, problem.value),
    },
    geometry,
    scale: Math.fround(geometry.scale),
    options,
    tiles: { none: 0, all: 0, some: 0 },
  };
  const output = new Float32Array(geometry.rows * geometry.valueHeadDim);
  const lse = new Float32Array(geometry.rows);

  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < queryHeads; h++) {
      for (let index = 0; index * rows < queryLength; index++) {
        const firstQuery = index * rows;
        const endQuery = Math.min(firstQuery + rows, queryLength);
        const tile = { b, h, index, firstQuery, endQuery };
        attendTile(run, tile).forEach((state, r) => {
          const row = geometry.rowAt(b, firstQuery + r, h);
          const finished = finishRow(state);
          output.set(finished.output, row * geometry.valueHeadDim);
          lse[row] = finished.lse;
        });
      }
    }
  }
  return { output: roundAll(inputs, output), lse, tiles: run.tiles };
}

/** The states of a tile's rows over all keys: each split's, merged in order. */
function attendTile(run: Run, tile: QueryTile): RowState[] {
  const { keys, splits = 1 } = run.options;
  const keyTiles = Math.ceil(run.geometry.keyCount(tile.b) / keys);
  const tilesPerSplit = Math.ceil(keyTiles / splits);
  const parts: RowState[][] = [];
  for (let split = 0; split < splits; split++) {
    const first = Math.min(split * tilesPerSplit, keyTiles);
    const end = Math.min(first + tilesPerSplit, keyTiles);
    parts.push(attendRange(run, tile, first, end));
  }
  return parts[0].map((_, r) => mergeRowStates(parts.map((rows) => rows[r])));
}

/** The states of a tile's rows over key tiles `first` to `end` (exclusive). */
function attendRange(
  run: Run,
  tile: QueryTile,
  first: number,
  end: number,
): RowState[] {
  const { classify } = run.options;
  const states: RowState[] = [];
  for (let i = tile.firstQuery; i < tile.endQuery; i++) {
    states.push(emptyRow(run.geometry.valueHeadDim));
  }
  for (let keyTile = first; keyTile < end; keyTile++) {
    const kind = classify?.(tile.index, keyTile, tile.b, tile.h) ?? "some";
    run.tiles[kind]++;
    if (kind === "none") continue;
    states.forEach((state, r) => {
      const i = tile.firstQuery + r;
      const row = { b: tile.b, i, h: tile.h };
      const seen = scoreTile(run, row, keyTile, kind === "some");
      absorbStep(state, seen, run.problem.value);
    });
  }
  return states;
}

/** The seen keys of one row in one key tile: scores, and where values lie. */
function scoreTile(
  run: Run,
  { b, i, h }: { b: number; i: number; h: number },
  keyTile: number,
  masked: boolean,
): SeenTile {
  const { problem, geometry, scale, options } = run;
  const { query, key, headDim, score, mask, keep } = problem;
  const position = i + geometry.queryOffset(b);
  const queryAt = geometry.queryAt(b, i, h);
  const firstKey = keyTile * options.keys;
  const endKey = Math.min(firstKey + options.keys, geometry.keyCount(b));
  const scores: number[] = [];
  const kept: number[] = [];
  const valuesAt: number[] = [];
  for (let j = firstKey; j < endKey; j++) {
    if (masked && mask && !mask(b, h, position, j)) continue;
    const keyAt = geometry.keyAt(b, j, h);
    const product = dotFma(query, queryAt, key, keyAt, headDim);
    const s = Math.fround(scale * product);
    const modified = score ? Math.fround(score(s, b, h, position, j)) : s;
    scores.push(modified < SENTINEL ? SENTINEL : modified);
    kept.push(Math.fround(keep?.(b, h, position, j) ?? 1));
    valuesAt.push(geometry.valueAt(b, j, h));
  }
  return { scores, kept, valuesAt };
}
