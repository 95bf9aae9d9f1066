/**
 * The gradients of a layer of Gated Linear Attention in one call.
 *
 * @module
 */

import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor, type HostTensor } from "../../gpu/mod.ts";
import { checkLike } from "../../ops/tensors.ts";
import { GlaLayerBackwardPlan } from "./backward_plan.ts";
import {
  type GlaLayerOptions,
  planOptionsOf,
  uploadLayer,
} from "./gla_layer.ts";
import { GlaLayerPlan } from "./plan.ts";
import type { GlaWeights } from "./sizes.ts";

/**
 * What a loss sends back to a layer.
 *
 * @category Layers
 */
export interface GlaOutputGradients {
  /** Its derivative by the output: like it. */
  readonly outputGradient: GpuTensor | HostTensor;
  /** Its derivative by the states that sequences end with; zeros by default. */
  readonly stateGradient?: GpuTensor | HostTensor | undefined;
}

/**
 * The gradients of a layer; `T` is where its input was.
 *
 * @category Layers
 */
export interface GlaLayerGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** Like the weights, f32. */
  readonly weightGradients: GlaWeights<T>;
  /** Like the initial states, f32; where there are any. */
  readonly initialStateGradient?: T;
}

/**
 * The gradients of {@linkcode glaLayer} by its input, its weights and its initial
 * states. The layer is run again on the way.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and combinations
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example A layer of one head
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import {
 *   glaLayerBackward,
 *   type GlaWeights,
 *   glaWeightShapes,
 * } from "@quire/attention/model";
 * import type { HostTensor } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const config = { hidden: 4, heads: 1, gateRank: 2 };
 * const tensor = (shape: readonly number[]) => {
 *   const size = shape.reduce((product, length) => product * length, 1);
 *   const data = Float32Array.from({ length: size }, (_, i) => Math.sin(i));
 *   return { data, shape };
 * };
 * const weights = Object.fromEntries(
 *   Object.entries(glaWeightShapes(config))
 *     .map(([name, shape]) => [name, tensor(shape)]),
 * ) as unknown as GlaWeights<HostTensor>;
 * const { weightGradients } = await glaLayerBackward(
 *   gpu,
 *   { ...config, input: tensor([1, 3, 4]), weights },
 *   { outputGradient: tensor([1, 3, 4]) },
 * );
 * console.log(weightGradients.norm.shape); // [4]
 * ```
 *
 * @category Layers
 */
export async function glaLayerBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  { returnState: _, ...options }: GlaLayerOptions<T>,
  { outputGradient, stateGradient }: GlaOutputGradients,
): Promise<GlaLayerGradients<T>> {
  const own = planOptionsOf(options);
  const temporary: { destroy(): void }[] = [];
  const made: GpuTensor[] = [];
  const keep = <M extends { destroy(): void }>(one: M): M => {
    temporary.push(one);
    return one;
  };
  try {
    const forward = keep(await GlaLayerPlan.create(gpu, own));
    const backward = keep(
      await GlaLayerBackwardPlan.create(gpu, {
        ...own,
        stateGradient: stateGradient !== undefined,
      }),
    );
    const { input } = forward;
    checkLike("outputGradient", outputGradient, input);
    if (stateGradient !== undefined) {
      const shape = forward.stateShape;
      checkLike("stateGradient", stateGradient, { dtype: "f32", shape });
    }
    const upload = (name: string, given: GpuTensor | HostTensor) => {
      const { tensor, made } = uploadHost(gpu, given, {
        name,
        label: `gla.${name}`,
      });
      return made ? keep(tensor) : tensor;
    };
    const layer = {
      ...uploadLayer(gpu, options, { plan: forward, temporary }),
      activations: keep(forward.activations()),
    };
    const result = (dtype: "f32" | "f16", shape: readonly number[]) => {
      made.push(gpu.empty(dtype, shape, "gla.gradient"));
      return made.at(-1)!;
    };
    const names = Object.keys(forward.weights) as (keyof GlaWeights<unknown>)[];
    const inputGradient = result(input.dtype, input.shape);
    const weightGradients = Object.fromEntries(
      names.map((name) => [name, result("f32", forward.weights[name].shape)]),
    ) as unknown as GlaWeights<GpuTensor>;
    const initialStateGradient = options.initialState &&
      result("f32", forward.stateShape);
    const output = keep(gpu.empty(input.dtype, input.shape, "gla.output"));
    const gradients = {
      outputGradient: upload("outputGradient", outputGradient),
      ...(stateGradient && {
        stateGradient: upload("stateGradient", stateGradient),
      }),
      inputGradient,
      weightGradients,
      initialStateGradient,
    };
    gpu.submit("gla.backward", (encoder) => {
      forward.encode(encoder, { ...layer, output });
      backward.encode(encoder, { ...layer, ...gradients });
    });
    if (options.input instanceof GpuTensor) {
      return {
        inputGradient,
        weightGradients,
        ...(initialStateGradient && { initialStateGradient }),
      } as unknown as GlaLayerGradients<T>;
    }
    temporary.push(...made);
    const arrays = await gpu.read(made);
    const [first, ...rest] = arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: made[i].shape,
    }));
    return {
      inputGradient: first,
      weightGradients: Object.fromEntries(
        names.map((name, i) => [name, rest[i]]),
      ),
      ...(initialStateGradient && { initialStateGradient: rest.at(-1) }),
    } as unknown as GlaLayerGradients<T>;
  } catch (error) {
    temporary.push(...made);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}
