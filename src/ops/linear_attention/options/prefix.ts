/**
 * A prefix that is seen whole: keys and values whose sum is in the state before
 * the first token (prefix linear attention of JRT-RNN, Arora et al. 2024).
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";
import type { DType } from "../../../core/dtype.ts";
import { checkOptions } from "../../../core/options.ts";
import {
  describeRows,
  type RowsShape,
} from "../../attention/options/layouts.ts";
import { type Indices, indicesOf } from "../../attention/options/spans.ts";
import type { GivenStrides, Layout } from "../../attention/problem.ts";

/**
 * Keys and values of a prefix, of projections of their own.
 *
 * @category Attention
 */
export interface LinearPrefix<T> {
  /** `[sequences, prefix, keyHeads, headDim]`, in `layout`. */
  readonly key: T;
  /** `[sequences, prefix, valueHeads, valueHeadDim]`, in `layout`. */
  readonly value: T;
  /**
   * How many of each sequence's rows count, at most its tokens; by default all.
   * What lies after them is not read: padding adds nothing, not even by the
   * feature that is 1 for a row of zeros.
   */
  readonly lengths?: Indices;
}

/**
 * A prefix, after all checks.
 *
 * @category Plans
 */
export interface PrefixProblem {
  /** Where rows of keys lie. */
  readonly key: GivenStrides;
  /** Where rows of values lie. */
  readonly value: GivenStrides;
  /** Which of both may be larger than what is read of them. */
  readonly strided: readonly ("key" | "value")[];
  /** Rows that count, of each sequence. */
  readonly lengths: readonly number[];
}

/**
 * Checks a prefix.
 *
 * @throws {TypeError} for wrong types, shapes and dtypes
 * @throws {RangeError} for a length beyond the prefix or its sequence
 */
export function prefixProblem(
  prefix: LinearPrefix<unknown>,
  { dtype, layout, key, value, counts, stridesOf }: {
    readonly dtype: DType;
    readonly layout: Layout;
    /** Heads and elements of keys. */
    readonly key: readonly number[];
    /** Heads and elements of values. */
    readonly value: readonly number[];
    /** Tokens of each sequence. */
    readonly counts: readonly number[];
    readonly stridesOf: (rows: RowsShape, layout: Layout) => GivenStrides;
  },
): PrefixProblem {
  checkOptions("prefix", prefix, {
    known: ["key", "value", "lengths"],
    hints: { length: "write lengths: one a sequence" },
  });
  const describe = (name: "key" | "value", [heads, dim]: readonly number[]) => {
    const rows = describeRows(`prefix.${name}`, prefix[name], layout);
    checkType(
      rows.dtype === dtype,
      `prefix.${name}.dtype`,
      `must be the query's (${dtype})`,
      rows.dtype,
    );
    const { shape } = rows;
    checkType(
      shape.length === 4 && shape[0] === counts.length &&
        shape[2] === heads && shape[3] === dim,
      `prefix.${name}.shape`,
      `must be [${counts.length}, prefix, ${heads}, ${dim}] (sequences, prefix, heads, dim)${
        layout === "bhsd" ? ", heads before the prefix" : ""
      }`,
      shape,
    );
    return rows;
  };
  const keys = describe("key", key);
  const values = describe("value", value);
  const most = keys.shape[1];
  checkType(
    values.shape[1] === most,
    "prefix.value.shape",
    `must have as many rows as prefix.key (${most})`,
    values.shape[1],
  );
  const lengths = prefix.lengths === undefined
    ? counts.map(() => most)
    : [...indicesOf("prefix.lengths", prefix.lengths)];
  checkType(
    lengths.length === counts.length,
    "prefix.lengths.length",
    `must be the number of sequences (${counts.length})`,
    lengths.length,
  );
  lengths.forEach((length, i) => {
    checkInteger(`prefix.lengths[${i}]`, length, 0, most);
    checkRange(
      length <= counts[i],
      prefix.lengths === undefined ? "prefix" : `prefix.lengths[${i}]`,
      `must not be longer than sequence ${i} (${
        counts[i]
      } tokens), as what follows a prompt is no prefix; give lengths for a padded one`,
      length,
    );
  });
  return {
    key: stridesOf(keys, layout),
    value: stridesOf(values, layout),
    strided: (["key", "value"] as const)
      .filter((name) => (name === "key" ? keys : values).strided !== undefined),
    lengths,
  };
}
