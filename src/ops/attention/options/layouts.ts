/**
 * How tensors lie, as options give them: the order of dimensions, and queries,
 * keys and values in one tensor. From here on, shapes have tokens before heads.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";
import {
  type AnyTensor,
  describeTensor,
  type TensorShape,
} from "../../tensors.ts";
import {
  type CheckedStrides,
  describeStrided,
  isStrided,
} from "../../strided.ts";
import type { Layout } from "../problem.ts";
import type { AttentionOptions } from "./attention_options.ts";
import { headsLast } from "./given_strides.ts";

type Options = AttentionOptions<AnyTensor>;

/** The dimensions of a dense tensor of rows, by layout. */
const DIMENSIONS: Readonly<Record<Layout, string>> = {
  bshd: "[batch, sequence, heads, headDim]",
  bhsd: "[batch, heads, sequence, headDim]",
};

/** What a rule about shapes ends with: the order in which they are read. */
export function readAs(layout: Layout, rank: number): string {
  if (rank === 3) return "; shapes are read as [tokens, heads, headDim]";
  return layout === "bhsd"
    ? `; shapes are read as ${DIMENSIONS.bhsd}, as layout is "bhsd"`
    : `; shapes are read as ${DIMENSIONS.bshd}, or with layout: "bhsd" as ${DIMENSIONS.bhsd}`;
}

/** The layout of options; throws unless it is one that fits them. */
export function layoutOf({ layout = "bshd", qkv }: Options): Layout {
  checkType(
    layout === "bshd" || layout === "bhsd",
    "layout",
    'must be "bshd" or "bhsd"',
    layout,
  );
  checkType(
    layout === "bshd" || qkv === undefined,
    "layout",
    'must be "bshd" with qkv',
    layout,
  );
  return layout;
}

/** A tensor of rows as options give it. */
export interface RowsShape extends TensorShape {
  /** Where its rows lie, if not side by side; tokens before heads. */
  readonly strided?: CheckedStrides | undefined;
}

/** A tensor of rows or of blocks, as it is given. */
export function describeGiven(name: string, tensor: unknown): RowsShape {
  return isStrided(tensor)
    ? describeStrided(name, tensor)
    : describeTensor(name, tensor);
}

/** A tensor of rows, its shape with tokens before heads. */
export function describeRows(
  name: string,
  tensor: unknown,
  layout: Layout,
): RowsShape {
  const { dtype, shape, strided } = describeGiven(name, tensor);
  const rule = layout === "bshd"
    ? `must be ${DIMENSIONS.bshd}, or [tokens, heads, headDim] where ragged`
    : `must be ${DIMENSIONS.bhsd}, as layout is "bhsd"`;
  checkType(
    shape.length === 4 || (shape.length === 3 && layout === "bshd"),
    `${name}.shape`,
    rule,
    shape,
  );
  if (layout === "bshd") return { dtype, shape, strided };
  const [batch, heads, sequence, dim] = shape;
  return {
    dtype,
    shape: [batch, sequence, heads, dim],
    strided: strided && headsLast(strided),
  };
}

/** The queries of options. */
export function queryOf(options: Options, layout: Layout): RowsShape {
  if (options.qkv === undefined) {
    checkType(
      options.kvHeads === undefined,
      "kvHeads",
      "must be given with qkv only",
      options.kvHeads,
    );
    return describeRows("query", options.query, layout);
  }
  for (
    const name of [
      "query",
      "key",
      "value",
      "blockTable",
      "cache",
      "cuSeqlensKey",
    ] as const
  ) {
    checkType(
      options[name] === undefined,
      name,
      "must not be given with qkv",
      options[name],
    );
  }
  const { dtype, shape, strided } = describeRows("qkv", options.qkv, layout);
  checkType(
    strided === undefined,
    "qkv.strides",
    "must not be given; give query, key and value each, with theirs",
    strided?.strides,
  );
  const [heads, dim] = shape.slice(-2);
  const kvHeads = kvHeadsOf(options, heads);
  return {
    dtype,
    shape: [...shape.slice(0, -2), heads - 2 * kvHeads, dim],
  };
}

/** The keys of a checked `qkv`, and likewise its values. */
export function packedKeys(
  options: Options,
  query: TensorShape,
): TensorShape {
  const [heads] = describeTensor("qkv", options.qkv).shape.slice(-2);
  const kvHeads = kvHeadsOf(options, heads);
  return {
    dtype: query.dtype,
    shape: [...query.shape.slice(0, -2), kvHeads, query.shape.at(-1)!],
  };
}

function kvHeadsOf({ kvHeads }: Options, heads: number): number {
  if (kvHeads === undefined) {
    checkRange(
      heads % 3 === 0,
      "qkv.shape",
      "must have three times as many heads as there are queries', or kvHeads be given",
      heads,
    );
    return heads / 3;
  }
  checkInteger("kvHeads", kvHeads, 1);
  checkRange(
    2 * kvHeads < heads,
    "kvHeads",
    `must leave heads for queries: qkv has ${heads}, so it must be < ${
      heads / 2
    }`,
    kvHeads,
  );
  return kvHeads;
}
