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
import type { Layout } from "../problem.ts";
import type { AttentionOptions } from "./attention_options.ts";

type Options = AttentionOptions<AnyTensor>;

/** The dimensions of a dense tensor of rows, by layout. */
const DIMENSIONS: Readonly<Record<Layout, string>> = {
  bshd: "[batch, sequence, heads, headDim]",
  bhsd: "[batch, heads, sequence, headDim]",
};

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

/** A tensor of rows, its shape with tokens before heads. */
export function describeRows(
  name: string,
  tensor: unknown,
  layout: Layout,
): TensorShape {
  const { dtype, shape } = describeTensor(name, tensor);
  const rule = layout === "bshd"
    ? `must be ${DIMENSIONS.bshd}, or [tokens, heads, headDim] where ragged`
    : `must be ${DIMENSIONS.bhsd}, as layout is "bhsd"`;
  checkType(
    shape.length === 4 || (shape.length === 3 && layout === "bshd"),
    `${name}.shape`,
    rule,
    shape,
  );
  if (layout === "bshd") return { dtype, shape };
  const [batch, heads, sequence, dim] = shape;
  return { dtype, shape: [batch, sequence, heads, dim] };
}

/** The queries of options. */
export function queryOf(options: Options, layout: Layout): TensorShape {
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
  const { dtype, shape } = describeRows("qkv", options.qkv, layout);
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
