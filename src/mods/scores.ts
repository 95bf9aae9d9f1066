/**
 * The score mods that people know. Positions are in the keys' coordinate (see
 * {@linkcode MaskVariables}).
 *
 * @module
 */

import { checkFinite, checkInteger, checkRange } from "../core/check.ts";
import { type Capture, capture } from "./captures/capture.ts";
import type { CaptureOptions } from "./captures/capture_options.ts";
import { isCapturedTensor } from "./captures/capture_tensor.ts";
import { type Float, float } from "./expression.ts";
import { type FloatData, floatsOf } from "./captures/floats.ts";
import type { CapturedTensor } from "./nodes.ts";
import {
  checkRank,
  queryKeyData,
  queryKeyTensor,
  type QueryRowsOptions,
} from "./captures/query_key_data.ts";
import { type ScoreMod, scoreMod } from "./trace.ts";

/**
 * A soft cap: `cap * tanh(score / cap)`.
 *
 * @throws {TypeError} If `cap` is not a number.
 * @throws {RangeError} If it is not a positive normal float32.
 *
 * @example A score of 100, capped at 50
 * ```ts
 * import { softcap } from "@quire/attention";
 * import { scoreFunction } from "@quire/attention/mods";
 *
 * const score = scoreFunction([softcap(50)]);
 * console.log(score(100, 0, 0, 0, 0)); // 48.2, which is 50 tanh(2)
 * ```
 *
 * @category Masks and scores
 */
export function softcap(cap: number): ScoreMod {
  checkFinite("cap", cap);
  checkRange(cap >= 2 ** -126, "cap", "must be a float32 above 0", cap);
  return scoreMod("softcap", ({ score }) => {
    const limit = float(cap);
    return score.div(limit).tanh().mul(limit);
  });
}

/**
 * ALiBi: `score - slope * |query - key|`, with a slope per head.
 *
 * @param slopes See {@linkcode alibiSlopes}; those of 16 bits are widened, and
 * a GPU tensor of f32 or f16 stays on its device.
 * @param shape `[heads]` (the default) or `[batch, heads]`.
 * @throws {TypeError} If `slopes` are of another class, or `shape` does not fit
 * them.
 * @throws {RangeError} If a slope is not finite.
 *
 * @example Head 1 loses a quarter a position
 * ```ts
 * import { alibi } from "@quire/attention";
 * import { scoreFunction } from "@quire/attention/mods";
 *
 * const slopes = Float32Array.of(0.5, 0.25);
 * const score = scoreFunction([alibi(slopes)]);
 * console.log(score(3, 0, 1, 10, 8)); // 2.5
 * ```
 *
 * @category Masks and scores
 */
export function alibi(
  slopes: FloatData | CapturedTensor,
  shape: readonly number[] = isCapturedTensor(slopes)
    ? slopes.shape
    : [floatsOf("slopes", slopes).length],
): ScoreMod {
  checkRank("alibi shape", shape, [1, 2]);
  const captured = captureFloats("slopes", slopes, {
    shape,
    name: "alibi slopes",
    axes: shape.length === 1 ? ["head"] : ["batch", "head"],
  });
  return scoreMod("alibi", ({ score, batch, head, query, key }) => {
    const slope = shape.length === 1
      ? captured.at(head)
      : captured.at(batch, head);
    return score.sub(slope.mul(query.sub(key).abs().toFloat()));
  });
}

/**
 * ALiBi's slopes: for a power of two n, `2^(-8 (h + 1) / n)`; otherwise those
 * of the next lower power of two, then every other one of the next higher
 * (Press et al. 2022; as in flash-attn).
 *
 * @throws {TypeError} If `heads` is not a number.
 * @throws {RangeError} If it is not an integer >= 1.
 *
 * @example Four heads
 * ```ts
 * import { alibiSlopes } from "@quire/attention/mods";
 *
 * console.log(...alibiSlopes(4)); // 0.25 0.0625 0.015625 0.00390625
 * ```
 *
 * @category Masks and scores
 */
export function alibiSlopes(heads: number): Float32Array {
  checkInteger("heads", heads, 1, 2 ** 20);
  const lower = 2 ** Math.floor(Math.log2(heads));
  return Float32Array.from(
    { length: heads },
    (_, head) =>
      head < lower
        ? 2 ** (-8 * (head + 1) / lower)
        : 2 ** (-8 * (2 * (head - lower) + 1) / (2 * lower)),
  );
}

/**
 * A given bias per query and key, added to the score. It broadcasts to
 * `[batch, heads, queries, keys]` as NumPy has it: dimensions are aligned at
 * the last, and those of 1 are for all.
 *
 * @param data The elements, row-major; finite (hide keys with a mask). Those of
 * 16 bits are widened. A GPU tensor of f32 or f16 stays on its device, see
 * {@linkcode capture}.
 * @param shape Of rank 1 to 4, for instance `[heads, queries, keys]`; held
 * against the problem by `attention()`.
 * @throws {TypeError} If `data` is of another class, or `shape` has another
 * rank or does not fit.
 * @throws {RangeError} If `data` is empty or not finite, or `queryOffset` is
 * not an integer.
 *
 * @example One bias for each key
 * ```ts
 * import { additiveBias, attentionProblem } from "@quire/attention";
 *
 * const tensor = { dtype: "f32", shape: [1, 3, 1, 4] } as const;
 * const problem = attentionProblem({
 *   query: tensor,
 *   key: tensor,
 *   value: tensor,
 *   scoreMod: additiveBias(Float32Array.of(0, -1, -2), [1, 3]),
 * });
 * console.log(problem.scoreMods[0].name); // additiveBias
 * ```
 *
 * @category Masks and scores
 */
export function additiveBias(
  data: FloatData | CapturedTensor,
  shape: readonly number[],
  options: QueryRowsOptions = {},
): ScoreMod {
  const name = "additiveBias";
  const bias = isCapturedTensor(data)
    ? queryKeyTensor(name, { tensor: data, as: "float" }, shape, options)
    : queryKeyData(name, floatsOf(`${name} data`, data), shape, options);
  return scoreMod(
    "additiveBias",
    (variables) => variables.score.add(bias(variables)),
  );
}

/**
 * A bias per head and relative position: adds `table[head][key - query + max]`,
 * the distance clamped to `-max..max`.
 *
 * @param table The biases, row-major; those of 16 bits are widened, and a GPU
 * tensor of f32 or f16 stays on its device.
 * @param shape `[heads, 2 * max + 1]`.
 * @throws {TypeError} If `table` is of another class, or `shape` does not fit
 * it.
 * @throws {RangeError} If the second dimension is even, or a bias not finite.
 *
 * @example Three distances, one head
 * ```ts
 * import { relativeBias } from "@quire/attention";
 * import { scoreFunction } from "@quire/attention/mods";
 *
 * // For keys before the query, at it, and after it.
 * const table = Float32Array.of(-1, 0, 2);
 * const score = scoreFunction([relativeBias(table, [1, 3])]);
 * console.log(score(1, 0, 0, 5, 9)); // 3
 * ```
 *
 * @category Masks and scores
 */
export function relativeBias(
  table: FloatData | CapturedTensor,
  shape: readonly number[],
): ScoreMod {
  checkRank("relativeBias shape", shape, [2]);
  const width = shape[1];
  checkRange(width % 2 === 1, "relativeBias shape[1]", "must be odd", width);
  const captured = captureFloats("table", table, {
    shape,
    name: "relativeBias table",
    axes: ["head", undefined],
  });
  // The capture clamps its index, and so the distance.
  return scoreMod(
    "relativeBias",
    ({ score, head, query, key }) =>
      score.add(captured.at(head, key.sub(query).add((width - 1) / 2))),
  );
}

/** Floats of any kind, captured. */
function captureFloats(
  name: string,
  data: FloatData | CapturedTensor,
  options: CaptureOptions,
): Capture<Float> {
  return isCapturedTensor(data)
    ? capture(data, options)
    : capture(floatsOf(name, data), options);
}
