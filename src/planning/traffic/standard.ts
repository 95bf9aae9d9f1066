/**
 * The cost of standard attention: three dispatches that write S and P.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { type ScheduleCost, trafficOf } from "./cost.ts";
import { type AttentionSizes, packedSizes } from "./sizes.ts";
import { type RowSizes, rowSizes, type VisitSums, visitSums } from "./tiles.ts";

/**
 * How the three dispatches go through their operands.
 *
 * @category Planning
 */
export interface StandardTiles {
  /** Packed rows of a workgroup, which reads all keys; default all rows. */
  readonly rows?: number;
  /** Value columns that a pass over P takes; default all. */
  readonly columns?: number;
  /**
   * Passes of the softmax over a row: 1, for which a whole row must fit fast
   * memory (the default, as papers count), or 3, as the kernels here do:
   * maximum, exponentials, division.
   */
  readonly passes?: 1 | 3;
}

/** Tiles with their defaults. */
interface Filled {
  readonly rows: number;
  readonly columns: number;
  readonly passes: 1 | 3;
}

/** Checks tiles of a problem and fills in their defaults. */
function filled(
  { rows, columns, passes = 1 }: StandardTiles,
  most: { readonly rows: number; readonly columns: number },
): Filled {
  if (rows !== undefined) checkInteger("tiles.rows", rows, 1);
  if (columns !== undefined) checkInteger("tiles.columns", columns, 1);
  checkInteger("tiles.passes", passes, 1, 3);
  checkRange(
    (passes as number) !== 2,
    "tiles.passes",
    "must be 1 or 3",
    passes,
  );
  return {
    rows: rows ?? Math.max(1, most.rows),
    columns: columns ?? most.columns,
    passes,
  };
}

/**
 * Standard attention (FlashAttention, Alg. 0). As papers count it, each dispatch
 * reads and writes its operands once: `R d + S d + S e + R e + 4 R S` elements
 * of each kv head. The kernels here (`algorithm: "standard"`) move more, which
 * `tiles` say.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example
 * ```ts
 * import { standardCost, totalTraffic } from "@quire/attention/planning";
 *
 * const { traffic } = standardCost(
 *   { queries: 1024, keys: 1024, headDim: 64, lse: false },
 * );
 * console.log(totalTraffic(traffic)); // 4456448
 * ```
 *
 * @category Planning
 */
export function standardCost(
  sizes: AttentionSizes,
  tiles: StandardTiles = {},
): ScheduleCost {
  const packed = packedSizes(sizes);
  const { rows: tileRows, columns, passes } = filled(tiles, {
    rows: packed.rows,
    columns: packed.valueHeadDim,
  });
  const sums = visitSums(packed, {
    rows: tileRows,
    keys: Math.max(1, packed.keys),
  });
  return standardOf(sums, rowSizes(packed), { columns, passes });
}

/** The same, of row tiles that are summed up already; each visits all keys. */
export function standardOf(
  { keys, pairs, seeingRows }: VisitSums,
  { allRows: all, headDim: d, valueHeadDim: e, lse }: RowSizes,
  { columns, passes }: Required<Pick<StandardTiles, "columns" | "passes">>,
): ScheduleCost {
  const softmax = passes === 1 ? [1, 0] : [2, 1];
  return {
    traffic: trafficOf({
      query: [seeingRows * d, 0],
      key: [keys * d, 0],
      value: [keys * e, 0],
      output: [0, all * e],
      lse: [0, lse ? all : 0],
      scores: [softmax[0] * pairs, pairs],
      weights: [
        (softmax[1] + Math.ceil(e / columns)) * pairs,
        (1 + softmax[1]) * pairs,
      ],
    }),
    flops: {
      matmul: 2 * pairs * (d + e),
      exp: pairs,
      rescale: pairs,
    },
  };
}

/**
 * Its backward from a stored P: dV, dP, dS, dQ and dK in a dispatch each, with
 * P, dP and dS in slow memory.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example Four products, a multiplication and an addition each
 * ```ts
 * import { standardBackwardCost } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const { flops } = standardBackwardCost({ queries: 8, keys: 8, headDim: 4 });
 * assertEquals(flops.matmul, 4 * 2 * 8 * 8 * 4);
 * ```
 *
 * @category Planning
 */
export function standardBackwardCost(sizes: AttentionSizes): ScheduleCost {
  const packed = packedSizes(sizes);
  const { rows, keys, headDim: d, valueHeadDim: e } = packed;
  const heads = packed.batch * packed.kvHeads;
  const pairs = heads * rows * keys;
  const [r, s] = [heads * rows, heads * keys];
  return {
    traffic: trafficOf({
      outputGradient: [2 * r * e, 0],
      value: [s * e, 0],
      key: [s * d, 0],
      query: [r * d, 0],
      queryGradient: [0, r * d],
      keyGradient: [0, s * d],
      valueGradient: [0, s * e],
      weights: [2 * pairs, 0],
      weightGradient: [pairs, pairs],
      scoreGradient: [2 * pairs, pairs],
    }),
    flops: {
      matmul: pairs * (4 * d + 4 * e),
      exp: 0,
      rescale: 0,
    },
  };
}
