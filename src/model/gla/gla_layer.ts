/**
 * A layer of Gated Linear Attention in one call.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor, type HostTensor } from "../../gpu/mod.ts";
import { checkLike, describeTensor } from "../../ops/tensors.ts";
import { GlaLayerPlan } from "./plan.ts";
import type { GlaPlanOptions } from "./problem.ts";
import type { GlaWeights } from "./sizes.ts";

/**
 * What {@linkcode glaLayer} takes; `T` is where its tensors are.
 *
 * @category Layers
 */
export interface GlaLayerOptions<T = GpuTensor | HostTensor> extends
  Omit<
    GlaPlanOptions,
    | "input"
    | "weightType"
    | "initialState"
    | "states"
    | "stateIndices"
    | "finalStateIndices"
  > {
  /**
   * `[batch, sequence, hidden]`, or ragged `[tokens, hidden]` with `cuSeqlens`.
   */
  readonly input: T;
  /** All of one type. */
  readonly weights: GlaWeights<GpuTensor | HostTensor>;
  /** `[sequences, heads, headDim, valueHeadDim]`, f32; zeros by default. */
  readonly initialState?: GpuTensor | HostTensor;
}

/**
 * What a layer gives; `T` is where its input was.
 *
 * @category Layers
 */
export interface GlaLayerResult<T> {
  /** Like the input. */
  readonly output: T;
  /** `[sequences, heads, headDim, valueHeadDim]`, f32; where asked for. */
  readonly state?: T;
}

/**
 * A layer's inputs on the device; what is made here goes to `temporary`.
 *
 * @throws {TypeError} for a weight that is not of the plan's type and shape
 */
export function uploadLayer(
  gpu: Gpu,
  { input, weights, initialState }: GlaLayerOptions,
  { plan, temporary }: {
    readonly plan: GlaLayerPlan;
    readonly temporary: { destroy(): void }[];
  },
): {
  readonly input: GpuTensor;
  readonly weights: GlaWeights<GpuTensor>;
  readonly initialState?: GpuTensor;
} {
  // The sizes that encode() checks are the same for a matrix and its transpose.
  for (const name of Object.keys(plan.weights) as (keyof typeof weights)[]) {
    checkLike(`weights.${name}`, weights[name], plan.weights[name]);
  }
  const upload = (name: string, given: GpuTensor | HostTensor): GpuTensor => {
    const label = `gla.${name}`;
    const { tensor, made } = uploadHost(gpu, given, { name, label });
    if (made) temporary.push(tensor);
    return tensor;
  };
  return {
    input: upload("input", input),
    weights: Object.fromEntries(
      Object.entries<GpuTensor | HostTensor>({ ...weights }).map((
        [name, weight],
      ) => [name, upload(`weights.${name}`, weight)]),
    ) as unknown as GlaWeights<GpuTensor>,
    ...(initialState && { initialState: upload("initialState", initialState) }),
  };
}

/** Options of a plan from those of a call. */
export function planOptionsOf(
  { weights, ...options }: GlaLayerOptions,
): GlaPlanOptions {
  checkType(
    typeof weights === "object" && weights !== null,
    "weights",
    "must be an object of tensors",
    weights,
  );
  const { dtype } = describeTensor("weights.query", weights.query);
  return { ...options, weightType: dtype };
}

/**
 * A layer of Gated Linear Attention (Yang et al. 2024, section 4.4): projections
 * of each token to queries, keys, values and log gates, linear attention, RMSNorm
 * of each head, a swish output gate and a last projection.
 *
 * Host arrays come back as host arrays; where the input is a GPU tensor, so are
 * output and state (the caller's to destroy), and nothing waits for the device.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and combinations
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example A layer of one head
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { glaLayer, glaWeightShapes } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const config = { hidden: 4, heads: 1, gateRank: 2 };
 * const shapes = glaWeightShapes(config);
 * const weight = (name: keyof typeof shapes) => {
 *   const size = shapes[name].reduce((product, length) => product * length, 1);
 *   const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
 *   return { data, shape: shapes[name] };
 * };
 * const { output, state } = await glaLayer(gpu, {
 *   ...config,
 *   input: { data: new Float32Array(12).fill(1), shape: [1, 3, 4] },
 *   weights: {
 *     query: weight("query"),
 *     key: weight("key"),
 *     value: weight("value"),
 *     gateDown: weight("gateDown"),
 *     gateUp: weight("gateUp"),
 *     gateBias: weight("gateBias"),
 *     outputGate: weight("outputGate"),
 *     norm: weight("norm"),
 *     output: weight("output"),
 *   },
 *   returnState: true,
 * });
 * console.log(output.shape, state!.shape); // [1, 3, 4] [1, 1, 2, 4]
 * ```
 *
 * @category Layers
 */
export async function glaLayer<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: GlaLayerOptions<T>,
): Promise<GlaLayerResult<T>> {
  const plan = await GlaLayerPlan.create(gpu, planOptionsOf(options));
  const temporary: { destroy(): void }[] = [plan];
  const made: GpuTensor[] = [];
  try {
    const { input } = options;
    made.push(gpu.empty(
      describeTensor("input", input).dtype,
      input.shape,
      "gla.output",
    ));
    if (options.returnState) {
      made.push(gpu.empty("f32", plan.stateShape, "gla.state"));
    }
    const [output, state] = made;
    const tensors = {
      ...uploadLayer(gpu, options, { plan, temporary }),
      output,
      ...(state && { state }),
    };
    gpu.submit("gla", (encoder) => plan.encode(encoder, tensors));
    if (input instanceof GpuTensor) {
      return { output, ...(state && { state }) } as GlaLayerResult<T>;
    }
    temporary.push(...made);
    const arrays = await gpu.read(made);
    const [host, last] = arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: made[i].shape,
    }));
    return { output: host, ...(last && { state: last }) } as GlaLayerResult<T>;
  } catch (error) {
    temporary.push(...made);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}
