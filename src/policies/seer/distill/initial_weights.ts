/**
 * Where a gate's distillation begins.
 *
 * @module
 */

import { checkInteger } from "../../../core/check.ts";
import { checkOptions } from "../../../core/options.ts";
import { Prng } from "../../../core/prng.ts";
import type { HostTensor } from "../../../ops/tensors.ts";
import type { SeerWeights } from "../weights.ts";
import { checkHeads } from "../gate_sizes.ts";

/**
 * The sizes of a gate's weights.
 *
 * @category Policies
 */
export interface InitialSeerWeightsOptions {
  /** Query heads of the layer. */
  readonly queryHeads: number;
  /** Its key and value heads. */
  readonly kvHeads: number;
  /** Elements of a query or key row. */
  readonly headDim: number;
  /**
   * Elements of a gate row, of queries and keys that are both projected. Without
   * it queries are not, as in the paper's default, and gate rows have `headDim`.
   */
  readonly gateDim?: number;
  /** Decides every weight; 0 by default. */
  readonly seed?: number;
}

/**
 * Random weights of a gate that has learned nothing: normal, with variance 1 over
 * the elements of a row that they multiply.
 *
 * @throws {TypeError} for wrong types
 * @throws {RangeError} for sizes out of range
 *
 * @category Policies
 *
 * @example Of a layer of 4 heads that share 2
 * ```ts
 * import { initialSeerWeights } from "@quire/attention/policies";
 * import { assertEquals } from "@std/assert";
 *
 * const { key, query } = initialSeerWeights({
 *   queryHeads: 4,
 *   kvHeads: 2,
 *   headDim: 64,
 *   gateDim: 32,
 * });
 * assertEquals(key.shape, [2, 192, 32]);
 * assertEquals(query!.shape, [4, 64, 32]);
 * ```
 */
export function initialSeerWeights(
  options: InitialSeerWeightsOptions,
): SeerWeights<HostTensor> {
  checkOptions("initialSeerWeights()", options, {
    known: ["queryHeads", "kvHeads", "headDim", "gateDim", "seed"],
    hints: { hidden: "write gateDim", gateHiddenSize: "write gateDim" },
  });
  const { queryHeads, kvHeads, headDim, gateDim, seed = 0 } = options;
  checkHeads({ queryHeads, kvHeads });
  checkInteger("headDim", headDim, 1, 256);
  if (gateDim !== undefined) checkInteger("gateDim", gateDim, 1, 256);
  checkInteger("seed", seed, 0);
  const random = new Prng(seed);
  const matrices = (shape: readonly [number, number, number]): HostTensor => ({
    data: Float32Array.from(
      { length: shape[0] * shape[1] * shape[2] },
      () => random.normal() / Math.sqrt(shape[1]),
    ),
    shape,
  });
  return gateDim === undefined
    ? { key: matrices([queryHeads, 3 * headDim, headDim]) }
    : {
      key: matrices([kvHeads, 3 * headDim, gateDim]),
      query: matrices([queryHeads, headDim, gateDim]),
    };
}
