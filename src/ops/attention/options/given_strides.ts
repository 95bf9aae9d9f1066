/**
 * Strides as options give them, by what they go along.
 *
 * @module
 */

import { checkType } from "../../../core/check.ts";
import {
  checkApart,
  type CheckedStrides,
  checkStrides,
} from "../../strided.ts";
import type { AnyTensor } from "../../tensors.ts";
import type { GivenStrides, Layout } from "../problem.ts";
import type { AttentionOptions } from "./attention_options.ts";

/** Strides of `[batch, tokens, heads]`, or ragged of `[tokens, heads]`. */
export function givenStrides(
  { strides, offset, extent }: CheckedStrides,
): GivenStrides {
  const [batch, token, head] = [0, ...strides].slice(-3);
  return { at: offset, batch, token, head, extent };
}

/**
 * The strides of the output, if there are any.
 *
 * @param shape Of the query, with tokens before heads.
 * @throws {TypeError} as {@linkcode checkStrides} does
 * @throws {RangeError} as {@linkcode checkStrides} does, and where rows overlap
 */
export function outputStrides(
  { outputStrides: strides, outputOffset: offset }: AttentionOptions<AnyTensor>,
  shape: readonly number[],
  { layout, valueHeadDim }: {
    readonly layout: Layout;
    readonly valueHeadDim: number;
  },
): GivenStrides | undefined {
  if (strides === undefined) {
    checkType(
      offset === undefined,
      "outputOffset",
      "must be given with outputStrides",
      offset,
    );
    return undefined;
  }
  const own = [...shape.slice(0, -1), valueHeadDim];
  if (layout === "bhsd") [own[1], own[2]] = [own[2], own[1]];
  const checked = checkStrides(
    { strides: "outputStrides", offset: "outputOffset" },
    { shape: own, strides, ...(offset !== undefined && { offset }) },
  );
  checkApart("outputStrides", own, checked.strides);
  return givenStrides(layout === "bhsd" ? headsLast(checked) : checked);
}

/** Strides of a tensor with heads before tokens, tokens before heads. */
export function headsLast(strided: CheckedStrides): CheckedStrides {
  const [batch, head, token] = strided.strides;
  return { ...strided, strides: [batch, token, head] };
}
