/**
 * Biases that are looked up in a table, by distance or by a bucket.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { capture } from "./capture.ts";
import {
  checkRank,
  queryKeyData,
  type QueryRowsOptions,
} from "./query_key_data.ts";
import { type ScoreMod, scoreMod } from "../trace.ts";

/**
 * The table of {@linkcode bucketBias}, and which entry a pair has.
 *
 * @category Masks and scores
 */
export interface BucketBiasOptions extends QueryRowsOptions {
  /** `[heads, buckets]`, row-major; finite. */
  readonly table: Float32Array;
  /** `[heads, buckets]`. */
  readonly tableShape: readonly number[];
  /** The bucket of each query and key, row-major. */
  readonly buckets: Int32Array;
  /** Of rank 1 to 4: it broadcasts to `[batch, heads, queries, keys]`. */
  readonly bucketShape: readonly number[];
}

/**
 * A bias per head and bucket, where each pair of query and key has a bucket:
 * adds `table[head][buckets[query][key]]`. Distances in a graph (Graphormer;
 * Ying et al. 2021) and T5's buckets are such.
 *
 * @throws {TypeError} If an array has another type, or a shape does not fit.
 * @throws {RangeError} If a bucket is not in the table, or a bias not finite.
 *
 * @example Two buckets, one head, two tokens
 * ```ts
 * import { attentionProblem } from "@quire/attention";
 * import { bucketBias } from "@quire/attention/mods";
 *
 * const near = bucketBias({
 *   table: Float32Array.of(0, -1),
 *   tableShape: [1, 2],
 *   buckets: Int32Array.of(0, 1, 1, 0),
 *   bucketShape: [2, 2],
 * });
 * const tensor = { dtype: "f32", shape: [1, 2, 1, 4] } as const;
 * const problem = attentionProblem({
 *   query: tensor,
 *   key: tensor,
 *   value: tensor,
 *   scoreMod: near,
 * });
 * console.log(problem.scoreMods[0].name); // bucketBias
 * ```
 *
 * @category Masks and scores
 */
export function bucketBias(options: BucketBiasOptions): ScoreMod {
  checkOptions("bucketBias()", options, {
    known: ["table", "tableShape", "buckets", "bucketShape", "queryOffset"],
  });
  const { table, tableShape, buckets, bucketShape, queryOffset } = options;
  checkType(
    table instanceof Float32Array,
    "table",
    "must be a Float32Array",
    table,
  );
  checkType(
    buckets instanceof Int32Array,
    "buckets",
    "must be an Int32Array",
    buckets,
  );
  checkRank("tableShape", tableShape, [2]);
  const biases = capture(table, {
    shape: tableShape,
    name: "bucketBias table",
    axes: ["head", undefined],
  });
  for (const [i, bucket] of buckets.entries()) {
    checkInteger(`buckets[${i}]`, bucket, 0, tableShape[1] - 1);
  }
  const bucketOf = queryKeyData(
    "bucketBias buckets",
    buckets,
    bucketShape,
    queryOffset === undefined ? {} : { queryOffset },
  );
  return scoreMod(
    "bucketBias",
    (variables) =>
      variables.score.add(biases.at(variables.head, bucketOf(variables))),
  );
}

/**
 * What {@linkcode sandwich} adds.
 *
 * @category Masks and scores
 */
export interface SandwichOptions {
  /** Query heads. */
  readonly heads: number;
  /** Positions: the table's distances are `0..length - 1`. */
  readonly length: number;
  /** Waves times two, the paper's d-bar; 128 by default. */
  readonly width?: number;
}

/**
 * Sandwich (Chi et al. 2023): the inner product of sinusoidal positions, less
 * with each head: adds `heads / (8 (head + 1)) * sum_i cos(distance /
 * 10000^(2 i / width))` with `i` below `width / 2` and `distance = |query -
 * key|`. Distances beyond the table count as its last.
 *
 * @throws {TypeError} If an option is not a number.
 * @throws {RangeError} If `heads` or `length` is not an integer >= 1, or
 * `width` not an even one >= 2.
 *
 * @example At distance 0 all waves are 1
 * ```ts
 * import { sandwich, scoreFunction } from "@quire/attention/mods";
 *
 * const score = scoreFunction([sandwich({ heads: 8, length: 32, width: 4 })]);
 * console.log(score(0, 0, 0, 5, 5)); // 2
 * console.log(score(0, 0, 1, 5, 5)); // 1
 * ```
 *
 * @category Masks and scores
 */
export function sandwich(options: SandwichOptions): ScoreMod {
  checkOptions("sandwich()", options, { known: ["heads", "length", "width"] });
  const { heads, length, width = 128 } = options;
  checkInteger("heads", heads, 1, 2 ** 20);
  checkInteger("length", length, 1, 2 ** 24);
  checkInteger("width", width, 2, 2 ** 20);
  checkInteger("width / 2", width / 2, 1);
  const waves = Array.from(
    { length: width / 2 },
    (_, i) => 10_000 ** (-2 * i / width),
  );
  const sums = Float32Array.from(
    { length },
    (_, distance) =>
      waves.reduce((sum, wave) => sum + Math.cos(distance * wave), 0),
  );
  const table = capture(sums, { name: "sandwich distances" });
  const scales = capture(
    Float32Array.from({ length: heads }, (_, i) => heads / (8 * (i + 1))),
    { name: "sandwich heads", axes: ["head"] },
  );
  return scoreMod(
    "sandwich",
    ({ score, head, query, key }) =>
      score.add(table.at(query.sub(key).abs()).mul(scales.at(head))),
  );
}
