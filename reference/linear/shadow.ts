/**
 * The shadow of linear attention: the kernels' own loop over chunks, in their
 * order of operations, each rounded to float32. It separates faults of the
 * algorithm, which it shares, from faults of a shader, a driver or a device,
 * which it does not have.
 *
 * @module
 */

import { fmaF32 } from "../fma.ts";
import { type Precision, roundAll } from "../naive.ts";
import {
  checkUpstream,
  type LinearBackwardProblem,
  type LinearGradients,
} from "./backward.ts";
import {
  type Arithmetic,
  type LinearChunkOptions,
  runChunks,
} from "./chunks.ts";
import { runChunksBackward } from "./chunks_backward.ts";
import { roundedBackward, storedGradients } from "./naive_backward.ts";
import { type LowPrecisionLinearResult, roundedProblem } from "./naive.ts";
import type { LinearAttentionProblem } from "./problem.ts";

const FLOAT32: Arithmetic = {
  round: Math.fround,
  fma: fmaF32,
  // exp(-104) is no float32 but 0, and a sum of such gates rounds the less.
  lowestGate: -104,
};

/**
 * How the kernels cut the problem, and what they read and write.
 *
 * @category Linear attention
 */
export interface LinearShadowOptions extends LinearChunkOptions {
  /**
   * Storage of query, key, value and output; default `"f32"`. Arithmetic is
   * float32 either way, and so are states, log gates and betas.
   */
  inputs?: Precision | undefined;
}

/**
 * The kernels' loop over chunks in float32.
 *
 * @param problem The problem; its numbers are rounded to `options.inputs`.
 * @param options How sequences are cut, and the storage.
 * @returns Output (rounded to the storage) and states (float32).
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example Chunks of one token, in float32
 * ```ts
 * import {
 *   recurrentLinearAttention,
 *   shadowLinearAttention,
 * } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const problem = {
 *   query: [1, 0.3],
 *   key: [0.7, 1],
 *   value: [0.1, 3],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 * };
 * const { output } = shadowLinearAttention(problem, { chunk: 1 });
 * const exact = recurrentLinearAttention(problem).output;
 * assert(output.every((x, i) => Math.abs(x - exact[i]) < 1e-6));
 * ```
 *
 * @category Linear attention
 */
export function shadowLinearAttention(
  problem: LinearAttentionProblem,
  { inputs = "f32", ...options }: LinearShadowOptions,
): LowPrecisionLinearResult {
  const { rounded, geometry } = roundedProblem(problem, inputs);
  const { output, state } = runChunks(rounded, geometry, {
    ...options,
    arithmetic: FLOAT32,
  });
  return { output: roundAll(inputs, output), state: roundAll("f32", state) };
}

/**
 * The kernels' gradients, chunk by chunk in float32.
 *
 * @param problem The problem, and what the loss sends back; its numbers are
 * rounded to `options.inputs`.
 * @param options How sequences are cut, and the storage.
 * @returns The gradients: those of query, key and value rounded to the storage,
 * the others in float32.
 * @throws {TypeError} if an array is not as long as its shape says, or the rule
 * is not what decay and beta say.
 * @throws {RangeError} if a size is out of range, the heads do not divide, or a
 * log gate is above 0 or not finite.
 *
 * @example Chunks of one token, in float32
 * ```ts
 * import {
 *   linearAttentionBackward,
 *   shadowLinearAttentionBackward,
 * } from "@quire/attention/reference";
 * import { assert } from "@std/assert";
 *
 * const problem = {
 *   query: [1, 0.3],
 *   key: [0.7, 1],
 *   value: [0.1, 3],
 *   batch: 1,
 *   sequence: 2,
 *   queryHeads: 1,
 *   keyHeads: 1,
 *   valueHeads: 1,
 *   headDim: 1,
 *   outputGradient: [1, -1],
 * };
 * const shadow = shadowLinearAttentionBackward(problem, { chunk: 1 });
 * const { keyGradient } = linearAttentionBackward(problem);
 * assert(shadow.keyGradient.every((x, i) => Math.abs(x - keyGradient[i]) < 1e-5));
 * ```
 *
 * @category Linear attention
 */
export function shadowLinearAttentionBackward(
  problem: LinearBackwardProblem,
  { inputs = "f32", ...options }: LinearShadowOptions,
): LinearGradients<Float32Array> {
  const { rounded, geometry } = roundedBackward(problem, inputs);
  checkUpstream(rounded, geometry);
  const arithmetic = FLOAT32;
  return storedGradients(
    runChunksBackward(rounded, geometry, { ...options, arithmetic }),
    inputs,
  );
}
