/**
 * How the options of `attention()` become a problem: every check of types,
 * shapes and ranges is here, before anything touches the device.
 *
 * @module
 */

import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import { dropoutWords } from "../../../core/dropout.ts";
import type { AnyTensor } from "../../tensors.ts";
import type { AttentionProblem } from "../problem.ts";
import type { AttentionOptions } from "./attention_options.ts";
import { givenStrides, outputStrides } from "./given_strides.ts";
import { isDeviceBlockMask } from "./block_mask.ts";
import { blockScoresShape } from "./block_scores.ts";
import { keyInputs } from "./keys.ts";
import { checkAttentionOptions } from "./known_options.ts";
import { layoutOf, queryOf, readAs } from "./layouts.ts";
import { boundMods } from "./mods.ts";
import { selectedBy } from "./select.ts";
import { type Indices, indicesOf, integerOf, querySpans } from "./spans.ts";

/**
 * Checks options and turns them into a problem.
 *
 * @throws {TypeError} for wrong types, ranks, shapes and combinations
 * @throws {RangeError} for values out of range
 *
 * @example The next step of a plan
 * ```ts
 * import { attentionProblem, openGpu, planAttention } from "@quire/attention";
 *
 * const gpu = await openGpu();
 * const of = (length: number) => {
 *   const cache = { dtype: "f32", shape: [1, 64, 2, 16] } as const;
 *   return {
 *     query: { dtype: "f32", shape: [1, 1, 4, 16] } as const,
 *     key: cache,
 *     value: cache,
 *     keyLengths: [length], // of 64 that there is room for
 *   };
 * };
 * const plan = await planAttention(gpu, of(10));
 * await plan.update(attentionProblem(of(11)));
 * console.log(plan.problem.sequences[0].keyCount); // 11
 * gpu.destroy();
 * ```
 *
 * @category Attention
 */
export function attentionProblem(
  options: AttentionOptions<AnyTensor>,
): AttentionProblem {
  checkType(
    typeof options === "object" && options !== null,
    "options",
    "must be an object",
    options,
  );
  checkAttentionOptions(options);
  const layout = layoutOf(options);
  const query = queryOf(options, layout);
  const rank = query.shape.length;
  const [queryHeads, headDim] = query.shape.slice(-2);
  const queries = querySpans(query.shape, options.cuSeqlens);
  const keys = keyInputs(options, { query, layout, batch: queries.length });
  const { kvHeads, valueHeadDim } = keys;
  checkInteger("queryHeads", queryHeads, 1);
  checkInteger("kvHeads", kvHeads, 1);
  checkInteger("headDim", headDim, 1, 256);
  checkInteger("valueHeadDim", valueHeadDim, 1, 256);
  checkType(
    keys.headDim === headDim,
    "key.shape",
    `must have the query's headDim (${headDim})${readAs(layout, rank)}`,
    keys.headDim,
  );
  checkRange(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})${readAs(layout, rank)}`,
    queryHeads,
  );
  const { scale = 1 / Math.sqrt(headDim) } = options;
  checkFinite("scale", scale);
  checkRange(
    Number.isFinite(Math.fround(scale)),
    "scale",
    "must be finite in float32",
    scale,
  );
  checkBoolean("returnLse", options.returnLse);
  const offsets = queryOffsets(options.queryOffset, queries.length);
  const own = {
    query: query.strided && givenStrides(query.strided),
    output: outputStrides(options, query.shape, { layout, valueHeadDim }),
  };
  const apart = own.query !== undefined || own.output !== undefined;
  const startOf = (token: number) =>
    apart && rank === 4 ? 0 : layout === "bhsd" ? token * queryHeads : token;
  const sequences = queries.map(([queryStart, queryCount], i) => ({
    queryStart: startOf(queryStart),
    queryCount,
    ...keys.spans[i],
    queryOffset: offsets?.[i] ?? keys.spans[i].keyCount - queryCount,
  }));
  const shape = {
    dtype: query.dtype,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    scale,
    sequences,
    layout,
    qkv: options.qkv !== undefined,
    ...((apart || keys.strides) && {
      strides: { dense: rank === 4, ...own, ...keys.strides },
    }),
  };
  const extents = {
    sequences,
    heads: queryHeads,
    keys: rank === 4 && options.blockTable === undefined &&
        keys.keys.kind === "contiguous" && options.cache === undefined
      ? keys.keys.keyTokens / queries.length
      : undefined,
  };
  const { policy, ...selected } = selectedBy(options, shape, extents);
  const blockScores = blockScoresShape(options.blockScores, sequences);
  return {
    ...shape,
    queryTokens: rank === 3 ? query.shape[0] : query.shape[0] * query.shape[1],
    keys: keys.keys,
    ...boundMods(options, selected, extents),
    ...(isDeviceBlockMask(options.blockMask) &&
      { selection: options.blockMask }),
    ...(policy && { policy }),
    ...(policy?.blocks && { selection: policy.blocks.mask }),
    dropout: dropoutWords(options.dropout) && options.dropout,
    lse: options.returnLse ?? false,
    ...(blockScores && { blockScores }),
  };
}

function queryOffsets(
  given: number | bigint | Indices | undefined,
  batch: number,
): number[] | undefined {
  if (given === undefined) return undefined;
  if (typeof given === "number" || typeof given === "bigint") {
    const offset = integerOf("queryOffset", given);
    checkInteger("queryOffset", offset, -(2 ** 31), 2 ** 31 - 1);
    return new Array(batch).fill(offset);
  }
  const offsets = indicesOf("queryOffset", given);
  checkType(
    offsets.length === batch,
    "queryOffset.length",
    `must be the number of sequences (${batch})`,
    offsets.length,
  );
  offsets.forEach((offset, i) =>
    checkInteger(`queryOffset[${i}]`, offset, -(2 ** 31), 2 ** 31 - 1)
  );
  return offsets;
}
