/**
 * A projection with a low-rank update, and its gradients, in one call.
 *
 * @module
 */

import { uploadHost } from "../../gpu/host_tensor.ts";
import { type Gpu, GpuTensor, type HostTensor } from "../../gpu/mod.ts";
import type { TensorShape } from "../../ops/mod.ts";
import { checkLike } from "../../ops/tensors.ts";
import { LoraBackwardPlan } from "./backward_plan.ts";
import { LoraPlan } from "./plan.ts";
import type { LoraOptions } from "./problem.ts";

/**
 * The gradients of {@linkcode loraProject}; `T` is where its rows were.
 *
 * @category Layers
 */
export interface LoraGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** Like A, f32. */
  readonly aGradient: T;
  /** Like B, f32. */
  readonly bGradient: T;
}

/**
 * A projection with a low-rank update (LoRA, Hu et al. 2021, section 4.1):
 * `y = x W^T + bias + (alpha / rank) (x A^T) B^T`, of which A and B are trained.
 * Before training B is zeros, so that the update is none; A must not be.
 *
 * Host arrays come back as host arrays; where the input is a GPU tensor, so is
 * the output (the caller's to destroy), and nothing waits for the device.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and options
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { loraProject } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const tensor = (data: number[], ...shape: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape,
 * });
 * const { data } = await loraProject(gpu, {
 *   input: tensor([1, 2], 1, 2),
 *   weight: tensor([0, 0], 1, 2),
 *   a: tensor([1, 1], 1, 2),
 *   b: tensor([5], 1, 1),
 *   alpha: 2,
 * });
 * console.log(data[0]); // 2 * (1 + 2) * 5 = 30
 * ```
 *
 * @category Layers
 */
export async function loraProject<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  options: LoraOptions<T, GpuTensor | HostTensor>,
): Promise<T> {
  const plan = await LoraPlan.create(gpu, options);
  const { alpha: _, ...given } = options;
  const [output] = await run(gpu, given, {
    plan,
    written: { output: plan.output },
  });
  return output as T;
}

/**
 * The gradients of {@linkcode loraProject} by its rows, and by A and B.
 *
 * @throws {TypeError} for wrong types, shapes, dtypes and options
 * @throws {RangeError} for values out of range or beyond the device's limits
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`
 * @throws {DeviceLostError} if the device is lost
 *
 * @example One row
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { loraProjectBackward } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const tensor = (data: number[], ...shape: number[]) => ({
 *   data: Float32Array.from(data),
 *   shape,
 * });
 * const { bGradient } = await loraProjectBackward(gpu, {
 *   input: tensor([1, 2], 1, 2),
 *   weight: tensor([0, 0], 1, 2),
 *   a: tensor([1, 1], 1, 2),
 *   b: tensor([5], 1, 1),
 *   alpha: 2,
 * }, { outputGradient: tensor([10], 1, 1) });
 * console.log(bGradient.data[0]); // 10 * 2 * (1 + 2) = 60
 * ```
 *
 * @category Layers
 */
export async function loraProjectBackward<T extends GpuTensor | HostTensor>(
  gpu: Gpu,
  { bias: _, ...options }: LoraOptions<T, GpuTensor | HostTensor>,
  { outputGradient }: {
    /** The loss's derivative by the output: like it. */
    readonly outputGradient: GpuTensor | HostTensor;
  },
): Promise<LoraGradients<T>> {
  const plan = await LoraBackwardPlan.create(gpu, options);
  const { outputGradient: like, ...written } = plan.gradients;
  try {
    checkLike("outputGradient", outputGradient, like);
  } catch (error) {
    plan.destroy();
    throw error;
  }
  const { alpha: _alpha, ...given } = options;
  const [inputGradient, aGradient, bGradient] = await run(
    gpu,
    { ...given, outputGradient },
    { plan, written },
  );
  return { inputGradient, aGradient, bGradient } as LoraGradients<T>;
}

/** Runs a plan once, and destroys it; results are where the input is. */
async function run<Tensors>(
  gpu: Gpu,
  given: Readonly<Record<string, GpuTensor | HostTensor | undefined>>,
  { plan, written }: {
    readonly plan: {
      encode(encoder: GPUCommandEncoder, tensors: Tensors): void;
      destroy(): void;
    };
    readonly written: Readonly<Record<string, TensorShape>>;
  },
): Promise<(GpuTensor | HostTensor)[]> {
  const temporary: { destroy(): void }[] = [plan];
  const made: GpuTensor[] = [];
  try {
    const tensors: Record<string, GpuTensor> = {};
    for (const [name, own] of Object.entries(given)) {
      if (own === undefined) continue;
      const label = `lora.${name}`;
      const uploaded = uploadHost(gpu, own, { name, label });
      if (uploaded.made) temporary.push(uploaded.tensor);
      tensors[name] = uploaded.tensor;
    }
    for (const [name, { dtype, shape }] of Object.entries(written)) {
      made.push(gpu.empty(dtype, shape, `lora.${name}`));
      tensors[name] = made.at(-1)!;
    }
    gpu.submit("lora", (encoder) => plan.encode(encoder, tensors as Tensors));
    if (given.input instanceof GpuTensor) return made;
    temporary.push(...made);
    const arrays = await gpu.read(made);
    return arrays.map((data, i) => ({
      data: data as Float32Array,
      shape: made[i].shape,
    }));
  } catch (error) {
    temporary.push(...made);
    throw error;
  } finally {
    for (const one of temporary) one.destroy();
  }
}
