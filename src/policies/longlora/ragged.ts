/**
 * LongLoRA's groups as sequences of a ragged batch, for each half of the heads.
 *
 * @module
 */

import { checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { GpuTensor, type HostTensor, type TensorShape } from "../../gpu/mod.ts";
import type { Indices, StridedShape, StridedTensor } from "../../ops/mod.ts";
import { querySpans } from "../../ops/attention/options/spans.ts";
import { describeTensor } from "../../ops/tensors.ts";
import {
  checkGroups,
  groupBounds,
  groupSizeOf,
  type LongLoraGroupOptions,
} from "./groups.ts";

/**
 * What {@linkcode longloraRagged} takes; `T` is where its tensors are.
 *
 * @category Policies
 */
export interface LongLoraRaggedOptions<
  T extends GpuTensor | HostTensor | TensorShape =
    | GpuTensor
    | HostTensor
    | TensorShape,
> extends LongLoraGroupOptions {
  /**
   * `[batch, sequence, queryHeads, headDim]`, or ragged
   * `[tokens, queryHeads, headDim]` with `cuSeqlens`.
   */
  readonly query: T;
  /** Like the query, of `kvHeads`: an even number, or one. */
  readonly key: T;
  /** Like the key, but the last dimension may differ. */
  readonly value: T;
  /** First token of each ragged sequence, and the total at the end. */
  readonly cuSeqlens?: Indices | undefined;
}

/**
 * One half of the heads, as options of `attention()`.
 *
 * @category Policies
 */
export interface LongLoraHalf<T extends StridedTensor | StridedShape> {
  /** `[tokens, queryHeads / 2, headDim]`, where it lies in the whole. */
  readonly query: T;
  /** `[tokens, kvHeads / 2, headDim]`, or all where there is one. */
  readonly key: T;
  /** Like the key. */
  readonly value: T;
  /** Where each group begins, and the total at the end. */
  readonly cuSeqlens: readonly number[];
  /** A group is causal in itself. */
  readonly causal: true;
}

/**
 * The two halves of a call, and where a plan writes them in one output.
 *
 * @category Policies
 */
export interface LongLoraRagged<T extends StridedTensor | StridedShape> {
  /** The first half of the heads, then the second, whose groups are shifted. */
  readonly halves: readonly [LongLoraHalf<T>, LongLoraHalf<T>];
  /**
   * With these, plans of the halves write into one output, of the query's shape
   * but for the last dimension, which is the value's.
   */
  readonly outputs: readonly [LongLoraOutput, LongLoraOutput];
}

/**
 * Where a half of the heads lies in an output of all, as options of
 * `planAttention()`.
 *
 * @category Policies
 */
export interface LongLoraOutput {
  /** From one token to the next, from one head to the next, and 1. */
  readonly outputStrides: readonly number[];
  /** The first element. */
  readonly outputOffset: number;
}

/**
 * A call under `longlora()`, in its `"flash"` variant, as two ragged ones: each
 * half of the heads is read where it lies, and each group is a sequence. It
 * keeps the same pairs without a mask, as the authors' FlashAttention code does.
 * Tiles begin with groups, so that no tile is of two. Positions begin with 0 in
 * each group, which changes nothing that goes by distance; rotate queries and
 * keys before, by positions in the sequence. Heads begin with 0 in each half:
 * ALiBi wants the slopes of the half.
 *
 * @throws {TypeError} for wrong types and shapes, or heads that have no halves
 * @throws {RangeError} for values out of range
 *
 * @example Plans that write into one output
 * ```ts
 * import { openGpu, planAttention } from "@quire/attention";
 * import { longloraRagged } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const shape = [1, 64, 4, 16];
 * const rows = { dtype: "f32", shape } as const;
 * const { halves, outputs } = longloraRagged({
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   groupSize: 16,
 * });
 * console.log(halves[0].cuSeqlens); // [0, 16, 32, 48, 64]
 * console.log(halves[1].cuSeqlens); // [0, 8, 24, 40, 56, 64]
 * using first = await planAttention(gpu, { ...halves[0], ...outputs[0] });
 * using second = await planAttention(gpu, { ...halves[1], ...outputs[1] });
 * const [query, key, value, output] = [0, 1, 2, 3].map(() =>
 *   gpu.empty("f32", shape)
 * );
 * gpu.submit("both", (encoder) => {
 *   first.encode(encoder, { query, key, value, output });
 *   second.encode(encoder, { query, key, value, output });
 * });
 * ```
 *
 * @category Policies
 */
export function longloraRagged(
  options: LongLoraRaggedOptions<GpuTensor | HostTensor>,
): LongLoraRagged<StridedTensor>;
/** The same for shapes, for plans. */
export function longloraRagged(
  options: LongLoraRaggedOptions,
): LongLoraRagged<StridedTensor | StridedShape>;
export function longloraRagged(
  options: LongLoraRaggedOptions,
): LongLoraRagged<StridedTensor | StridedShape> {
  checkOptions("longloraRagged()", options, {
    known: ["query", "key", "value", "cuSeqlens", "groupSize", "groupRatio"],
    hints: {
      groupSizeRatio: "write groupRatio",
      variant: "leave it out, as groups of sequences do not wrap",
    },
  });
  checkGroups(options);
  const { query, key, value, cuSeqlens } = options;
  const [queryHeads] = headsOf("query", query, query);
  const [kvHeads] = headsOf("key", key, query);
  const [, valueHeadDim] = headsOf("value", value, query);
  checkRange(
    queryHeads % 2 === 0,
    "queryHeads",
    "must be even for longloraRagged(), which parts them into halves",
    queryHeads,
  );
  checkRange(
    kvHeads % 2 === 0 || kvHeads === 1,
    "kvHeads",
    "must be even or 1 for longloraRagged(), as each half of the heads has its own; longlora() takes any",
    kvHeads,
  );
  const spans = querySpans(query.shape, cuSeqlens);
  const half = (second: 0 | 1): LongLoraHalf<StridedTensor | StridedShape> => {
    const bounds = [0];
    for (const [start, tokens] of spans) {
      const groupSize = groupSizeOf(options, tokens);
      const own = groupBounds(tokens, { groupSize, shifted: second === 1 });
      bounds.push(...own.slice(1).map((bound) => start + bound));
    }
    return {
      query: halfOf(query, second),
      key: halfOf(key, second),
      value: halfOf(value, second),
      cuSeqlens: bounds,
      causal: true,
    };
  };
  const outputStrides = [queryHeads * valueHeadDim, valueHeadDim, 1];
  const output = (second: 0 | 1): LongLoraOutput => ({
    outputStrides,
    outputOffset: second * queryHeads / 2 * valueHeadDim,
  });
  return { halves: [half(0), half(1)], outputs: [output(0), output(1)] };
}

/** Heads and elements of a row of a tensor with as many tokens as another. */
function headsOf(
  name: string,
  tensor: GpuTensor | HostTensor | TensorShape,
  like: { readonly shape: readonly number[] },
): readonly number[] {
  const { shape } = describeTensor(name, tensor);
  checkType(
    shape.length === 3 || shape.length === 4,
    `${name}.shape`,
    "must be [batch, sequence, heads, headDim], or [tokens, heads, headDim]",
    shape,
  );
  checkType(
    shape.slice(0, -2).join() === like.shape.slice(0, -2).join(),
    `${name}.shape`,
    `must have the query's tokens, [${like.shape.slice(0, -2).join(", ")}]`,
    shape,
  );
  return shape.slice(-2);
}

/** A half of the heads of a tensor, or all where there is one. */
function halfOf(
  tensor: GpuTensor | HostTensor | TensorShape,
  second: 0 | 1,
): StridedTensor | StridedShape {
  const [heads, dim] = tensor.shape.slice(-2);
  const own = heads === 1 ? 1 : heads / 2;
  const tokens = tensor.shape.slice(0, -2).reduce((a, b) => a * b, 1);
  const lies = {
    shape: [tokens, own, dim],
    strides: [heads * dim, dim, 1],
    offset: second * (heads - own) * dim,
  };
  if (tensor instanceof GpuTensor) return { tensor, ...lies };
  return "data" in tensor
    ? { data: tensor.data, ...lies }
    : { dtype: tensor.dtype, ...lies };
}
