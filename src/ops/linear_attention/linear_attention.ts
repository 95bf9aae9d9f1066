/**
 * Linear attention, exactly: one recurrence over a state of fixed size.
 *
 * @module
 */

import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import {
  isStrided,
  storageOf,
  type StridedGpuTensor,
  type StridedHostTensor,
} from "../strided.ts";
import type { AnyTensor, HostBits, HostTensor } from "../tensors.ts";
import type {
  LinearAttentionOptions,
  LinearRunOptions,
} from "./options/options.ts";
import { LinearAttentionPlan } from "./plan.ts";
import type { LinearTensors } from "./plan_tensors.ts";
import { linearProblem } from "./options/problem.ts";

/**
 * The result of {@linkcode linearAttention}; `T` is where the query was.
 *
 * @category Attention
 */
export interface LinearAttentionResult<
  T extends GpuTensor | HostTensor = GpuTensor | HostTensor,
> {
  /** `[.., outputHeads, valueHeadDim]`, in the query's dtype and layout. */
  readonly output: T;
  /**
   * The states that sequences end with, `[sequences, valueHeads, headDim,
   * valueHeadDim]`, f32; where `returnState` is set. With a feature map its rows
   * are features, and with `normalize` it has one more column.
   */
  readonly state?: T;
}

/** The inputs that are tensors. */
const INPUTS = [
  "query",
  "key",
  "value",
  "decay",
  "beta",
  "initialState",
  "states",
] as const;

/** Inputs by the names that a plan has for them. */
type Given = Partial<
  Record<keyof LinearTensors, LinearAttentionOptions["query"] | undefined>
>;

/**
 * Computes linear attention: a token changes a state h of `[headDim,
 * valueHeadDim]`, for each value head one, and its output reads it,
 *
 * ```text
 * h_t = diag(exp g_t) h_{t-1} + k_t v_t^T    o_t = scale h_t^T q_t
 * ```
 *
 * in chunks (Gated Linear Attention, Yang et al. 2024, section 4), exactly and
 * in float32 under any decay: time and memory grow with the tokens, not with
 * their square, and the state does not grow. Without gates it is causal linear
 * attention (Katharopoulos et al. 2020); constant ones make it retention
 * (RetNet, Sun et al. 2023).
 *
 * Host arrays come back as host arrays; where the query is a GPU tensor, so are
 * output and state (the caller's to destroy), and nothing waits for the device.
 * A row's bits do not depend on what else is in the batch.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and combinations
 * @throws {RangeError} for values out of range or beyond the device's limits,
 * and for log gates above 0 on the host
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example Half of the state is kept from token to token
 * ```ts
 * import { linearAttention, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const ones = { data: new Float32Array(3).fill(1), shape: [1, 3, 1, 1] };
 * const { output, state } = await linearAttention(gpu, {
 *   query: ones,
 *   key: ones,
 *   value: ones,
 *   decay: { data: Float32Array.of(Math.log(0.5)), shape: [1] },
 *   returnState: true,
 * });
 * console.log(output.data); // 1 1.5 1.75
 * console.log(state!.shape); // [1, 1, 1, 1]
 * ```
 *
 * @example A prompt in two parts, the second from the first one's state
 * ```ts
 * import { linearAttention, openGpu } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = (tokens: number) => ({
 *   data: new Float32Array(tokens * 8).fill(0.5),
 *   shape: [1, tokens, 2, 4],
 * });
 * const of = (tokens: number) => ({
 *   query: rows(tokens),
 *   key: rows(tokens),
 *   value: rows(tokens),
 * });
 * const one = await linearAttention(gpu, { ...of(70), returnState: true });
 * const two = await linearAttention(gpu, {
 *   ...of(30),
 *   initialState: one.state!,
 *   returnState: true,
 * });
 * console.log(two.state!.data[0]); // 25: 100 tokens of 0.25
 * ```
 *
 * @category Attention
 */
export async function linearAttention<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: LinearAttentionOptions & LinearRunOptions & { readonly query: T },
): Promise<LinearAttentionResult<T>>;
/** The same for a query given by its bits; the output is numbers. */
export async function linearAttention(
  gpu: Gpu,
  options:
    & LinearAttentionOptions
    & LinearRunOptions
    & { readonly query: HostBits | StridedHostTensor },
): Promise<LinearAttentionResult<HostTensor>>;
/** The same for a part of a tensor on the device; the output is whole. */
export async function linearAttention(
  gpu: Gpu,
  options:
    & LinearAttentionOptions
    & LinearRunOptions
    & { readonly query: StridedGpuTensor },
): Promise<LinearAttentionResult<GpuTensor>>;
/** The same for a query that may be on either side. */
export async function linearAttention(
  gpu: Gpu,
  options: LinearAttentionOptions & LinearRunOptions,
): Promise<LinearAttentionResult<GpuTensor | HostTensor>>;
export async function linearAttention(
  gpu: Gpu,
  options: LinearAttentionOptions & LinearRunOptions,
): Promise<LinearAttentionResult<GpuTensor | HostTensor>> {
  options?.signal?.throwIfAborted();
  const problem = linearProblem(options);
  const plan = await LinearAttentionPlan.create(gpu, problem);
  const temporary: { destroy(): void }[] = [plan];
  const results: GpuTensor[] = [];
  try {
    options.signal?.throwIfAborted();
    const tensors: Partial<Record<keyof LinearTensors, GpuTensor>> = {};
    const inputs: Given = {
      ...Object.fromEntries(INPUTS.map((name) => [name, options[name]])),
      prefixKey: options.prefix?.key,
      prefixValue: options.prefix?.value,
    };
    for (const name of [...INPUTS, "prefixKey", "prefixValue"] as const) {
      const given = inputs[name];
      if (given === undefined) continue;
      const held = isStrided(given) ? storageOf(given) : given;
      const { tensor, made } = uploadHost(gpu, held, {
        name,
        label: `linear_attention.${name}`,
      });
      if (made) temporary.push(tensor);
      tensors[name] = tensor;
    }
    const { dtype, outputShape } = problem;
    results.push(gpu.empty(dtype, outputShape, "linear_attention.output"));
    if (options.returnState) {
      const { stateHeads, stateRows, stateColumns, sequences } = problem;
      const shape = [sequences.length, stateHeads, stateRows, stateColumns];
      results.push(gpu.empty("f32", shape, "linear_attention.state"));
    }
    const [output, state] = results;
    gpu.submit(
      "linear_attention",
      (encoder) =>
        plan.encode(encoder, { ...tensors, output, state } as LinearTensors),
    );
    const { query, signal } = options;
    if (query instanceof GpuTensor || "tensor" in query) {
      return { output, ...state && { state } };
    }
    temporary.push(...results);
    const arrays = await gpu.read(results, signal ? { signal } : {});
    const [one, two] = arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: results[i].shape,
    }));
    return { output: one, ...two && { state: two } };
  } catch (error) {
    temporary.push(...results);
    throw error;
  } finally {
    for (const made of temporary) made.destroy();
  }
}

/**
 * Makes a plan for the same options, whose tensors may be shapes only. The plan
 * records into a caller's encoder, as often as wanted.
 *
 * @throws {TypeError} as {@linkcode linearAttention} does
 * @throws {RangeError} as {@linkcode linearAttention} does
 *
 * @example What runs
 * ```ts
 * import { openGpu, planLinearAttention } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = { dtype: "f32", shape: [1, 1024, 4, 64] } as const;
 * using plan = await planLinearAttention(gpu, {
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
export async function planLinearAttention(
  gpu: Gpu,
  options: LinearAttentionOptions<AnyTensor>,
): Promise<LinearAttentionPlan> {
  return await LinearAttentionPlan.create(gpu, linearProblem(options));
}
