/**
 * The gradients of linear attention.
 *
 * @module
 */

import { checkType } from "../../../core/check.ts";
import { uploadHost } from "../../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor } from "../../../gpu/mod.ts";
import { isStrided, storageOf } from "../../strided.ts";
import {
  type AnyTensor,
  checkLike,
  describeTensor,
  type HostBits,
  type HostTensor,
} from "../../tensors.ts";
import type { LinearAttentionOptions } from "../options/options.ts";
import { type LinearProblem, linearProblem } from "../options/problem.ts";
import { gradientShape } from "./gradient_rows.ts";
import { checkGradientRun, checkLinearGradientNames } from "./options.ts";
import {
  LinearAttentionBackwardPlan,
  type LinearBackwardPlanOptions,
} from "./plan.ts";
import type { LinearBackwardTensors } from "./plan_tensors.ts";

/**
 * What a loss sends back to linear attention.
 *
 * @category Gradients
 */
export interface LinearOutputGradients {
  /** Its derivative by the output: the output's shape and dtype. */
  readonly outputGradient: GpuTensor | HostTensor | HostBits;
  /**
   * Its derivative by the states that sequences end with, `[sequences,
   * valueHeads, headDim, valueHeadDim]`, f32; zeros by default.
   */
  readonly stateGradient?: GpuTensor | HostTensor | undefined;
}

/**
 * The gradients of {@linkcode linearAttentionBackward}; `T` is where the query
 * was.
 *
 * @category Attention
 */
export interface LinearAttentionGradients<
  T extends GpuTensor | HostTensor = GpuTensor | HostTensor,
> {
  /** Like the query. */
  readonly query: T;
  /** Like the key. */
  readonly key: T;
  /** Like the value. */
  readonly value: T;
  /** Of the log gates' shape, f32; where there are any. */
  readonly decay?: T;
  /** Of the strengths' shape, f32; where there are any. */
  readonly beta?: T;
  /** Like the initial states, f32; where there are any. */
  readonly initialState?: T;
}

/**
 * How {@linkcode linearAttentionBackward} runs.
 *
 * @category Gradients
 */
export interface LinearBackwardRunOptions {
  /** Checked before anything is submitted and before results are read. */
  readonly signal?: AbortSignal;
}

/** The inputs that are tensors. */
const INPUTS = [
  "query",
  "key",
  "value",
  "decay",
  "beta",
  "initialState",
] as const;

/**
 * The gradients of {@linkcode linearAttention} with respect to all of its
 * tensors, from its options and what the loss sends back to its results. Nothing
 * of forward is kept: the states between chunks are computed again, so memory is
 * O(N). The gradient of what is broadcast, or shared by heads, is summed over
 * what it stands for, in an order that depends on the sizes alone: gradients
 * repeat bit by bit, and those of a sequence do not depend on its batch.
 *
 * Chunk by chunk from the last (Gated Linear Attention, Yang et al. 2024,
 * section 4): no exponent is positive and nothing is divided by a gate, so
 * gradients are finite under any decay.
 *
 * Host arrays come back where the query was on the host; GPU tensors are the
 * caller's to destroy, and nothing waits for the device.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and combinations, and for
 * a pool of states
 * @throws {RangeError} for values out of range or beyond the device's limits,
 * and for log gates above 0 on the host
 * @throws {UnsupportedError} for a feature map, a normaliser or a prefix, and for
 * f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example The gradient of the last output, by a gate that halves
 * ```ts
 * import { linearAttentionBackward, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = (values: number[]) => ({
 *   data: Float32Array.from(values),
 *   shape: [1, 3, 1, 1],
 * });
 * const ones = rows([1, 1, 1]);
 * const gradients = await linearAttentionBackward(gpu, {
 *   query: ones,
 *   key: ones,
 *   value: ones,
 *   decay: { data: Float32Array.of(Math.log(0.5)), shape: [1] },
 * }, { outputGradient: rows([0, 0, 1]) });
 * console.log(gradients.value.data); // 0.25 0.5 1
 * console.log(gradients.decay!.data); // 1: 0.5 + 2 * 0.25
 * ```
 *
 * @category Attention
 */
export async function linearAttentionBackward<
  T extends GpuTensor | HostTensor,
>(
  gpu: Gpu,
  inputs: LinearAttentionOptions & { readonly query: T },
  gradients: LinearOutputGradients,
  options?: LinearBackwardRunOptions,
): Promise<LinearAttentionGradients<T>>;
/** The same for a query that may be on either side, or is given by its bits. */
export async function linearAttentionBackward(
  gpu: Gpu,
  inputs: LinearAttentionOptions,
  gradients: LinearOutputGradients,
  options?: LinearBackwardRunOptions,
): Promise<LinearAttentionGradients>;
export async function linearAttentionBackward(
  gpu: Gpu,
  inputs: LinearAttentionOptions,
  gradients: LinearOutputGradients,
  options: LinearBackwardRunOptions = {},
): Promise<LinearAttentionGradients> {
  checkGradientRun(options);
  checkLinearGradientNames(gradients);
  const { signal } = options;
  signal?.throwIfAborted();
  const problem = linearProblem(inputs);
  checkUpstream(gpu, gradients, problem);
  const plan = await LinearAttentionBackwardPlan.create(gpu, problem, {
    stateGradient: gradients.stateGradient !== undefined,
  });
  const temporary: { destroy(): void }[] = [plan];
  const made = new Map<keyof LinearAttentionGradients, GpuTensor>();
  try {
    signal?.throwIfAborted();
    const tensors: Partial<Record<keyof LinearBackwardTensors, GpuTensor>> = {};
    const upload = (
      name: keyof LinearBackwardTensors,
      given: LinearAttentionOptions["query"] | undefined,
    ) => {
      if (given === undefined) return;
      const held = isStrided(given) ? storageOf(given) : given;
      const { tensor, made } = uploadHost(gpu, held, {
        name,
        label: `linear_attention.${name}`,
      });
      if (made) temporary.push(tensor);
      tensors[name] = tensor;
    };
    for (const name of INPUTS) upload(name, inputs[name]);
    upload("outputGradient", gradients.outputGradient);
    upload("stateGradient", gradients.stateGradient);
    for (const name of INPUTS) {
      const given = inputs[name];
      if (given === undefined) continue;
      const rows = name === "query" || name === "key" || name === "value";
      const tensor = gpu.empty(
        rows ? problem.dtype : "f32",
        rows ? gradientShape(problem, name) : describeTensor(name, given).shape,
        `linear_attention.${name}Gradient`,
      );
      made.set(name, tensor);
      tensors[`${name}Gradient`] = tensor;
    }
    gpu.submit(
      "linear_attention.backward",
      (encoder) => plan.encode(encoder, tensors as LinearBackwardTensors),
    );
    const { query } = inputs;
    if (query instanceof GpuTensor || "tensor" in query) {
      return Object.fromEntries(made) as unknown as LinearAttentionGradients;
    }
    temporary.push(...made.values());
    const arrays = await gpu.read([...made.values()], signal ? { signal } : {});
    return Object.fromEntries(
      [...made].map(([name, { shape }], i) => [
        name,
        { data: arrays[i] as Float32Array, shape },
      ]),
    ) as unknown as LinearAttentionGradients;
  } catch (error) {
    temporary.push(...made.values());
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}

/**
 * Makes a plan for the gradients of the same options, whose tensors may be
 * shapes only; `stateGradient: true` where a gradient flows into the states that
 * sequences end with.
 *
 * @throws {TypeError} as {@linkcode linearAttentionBackward} does
 * @throws {RangeError} as {@linkcode linearAttentionBackward} does
 *
 * @example What runs
 * ```ts
 * import { openGpu, planLinearAttentionBackward } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = { dtype: "f32", shape: [1, 1024, 4, 64] } as const;
 * using plan = await planLinearAttentionBackward(gpu, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   decay: rows, // log gates of each channel
 * });
 * for (const { kernel, does } of plan.explain().dispatches) {
 *   console.log(kernel, does);
 * }
 * ```
 *
 * @category Attention
 */
export async function planLinearAttentionBackward(
  gpu: Gpu,
  options: LinearAttentionOptions<AnyTensor>,
  choices: LinearBackwardPlanOptions = {},
): Promise<LinearAttentionBackwardPlan> {
  const problem = linearProblem(options);
  return await LinearAttentionBackwardPlan.create(gpu, problem, choices);
}

/** Throws unless the gradients are of the results' shapes, and of this device. */
function checkUpstream(
  gpu: Gpu,
  { outputGradient, stateGradient }: LinearOutputGradients,
  problem: LinearProblem,
): void {
  const { dtype, outputShape, sequences, stateHeads } = problem;
  checkLike("outputGradient", outputGradient, { dtype, shape: outputShape });
  if (stateGradient !== undefined) {
    const { headDim, valueHeadDim } = problem;
    const shape = [sequences.length, stateHeads, headDim, valueHeadDim];
    checkLike("stateGradient", stateGradient, { dtype: "f32", shape });
  }
  for (
    const [name, given] of Object.entries({ outputGradient, stateGradient })
  ) {
    checkType(
      !(given instanceof GpuTensor) || given.gpu === gpu,
      name,
      "must be of this Gpu",
      given,
    );
  }
}
