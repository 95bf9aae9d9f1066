/**
 * A plan for a projection with a low-rank update.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu, GpuTensor, ProgramExplanation } from "../../gpu/mod.ts";
import { planLayer, type TensorShape } from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import { checkWritten } from "../../ops/plan/tensors.ts";
import { OwnedTensors } from "../owned_tensors.ts";
import { buffersOf, checkModelTensors } from "../tensors.ts";
import { type LoraOptions, type LoraProblem, loraProblem } from "./problem.ts";

/**
 * What a {@linkcode LoraPlan}'s `encode` reads and writes.
 *
 * @category Layers
 */
export interface LoraTensors {
  /** As in the options. */
  readonly input: GpuTensor;
  /** As in the options. */
  readonly weight: GpuTensor;
  /** As in the options, where they have one. */
  readonly bias?: GpuTensor | undefined;
  /** `[rank, inFeatures]`. */
  readonly a: GpuTensor;
  /** `[outFeatures, rank]`. */
  readonly b: GpuTensor;
  /** Written: like the input, of `outFeatures`. */
  readonly output: GpuTensor;
}

/** The plans of the three products. */
async function partsOf(gpu: Gpu, problem: LoraProblem) {
  const { input, weight, bias, a, b, low, scale } = problem;
  const made: Disposable[] = [];
  const keep = <P extends Disposable>(plan: P): P => {
    made.push(plan);
    return plan;
  };
  try {
    return {
      made,
      base: keep(await planLayer(gpu, "project", { input, weight, bias })),
      down: keep(await planLayer(gpu, "project", { input, weight: a, scale })),
      up: keep(
        await planLayer(gpu, "project", {
          input: low,
          weight: b,
          accumulate: ["output"],
        }),
      ),
      own: keep(new OwnedTensors(gpu, { low }, "lora")),
    };
  } catch (error) {
    for (const own of made) own[Symbol.dispose]();
    throw error;
  }
}

/**
 * A plan for a projection with a low-rank update (LoRA): one for all projections
 * of a shape, each with matrices of its own.
 *
 * @example Queries of two layers
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { LoraPlan } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const shapes = {
 *   input: { dtype: "f32", shape: [1, 5, 16] },
 *   weight: { dtype: "f32", shape: [32, 16] },
 *   a: { dtype: "f32", shape: [8, 16] },
 *   b: { dtype: "f32", shape: [32, 8] },
 * } as const;
 * using plan = await LoraPlan.create(gpu, shapes);
 * const layers = [0, 1].map(() => ({
 *   input: gpu.empty("f32", shapes.input.shape),
 *   weight: gpu.empty("f32", shapes.weight.shape),
 *   a: gpu.empty("f32", shapes.a.shape),
 *   b: gpu.empty("f32", shapes.b.shape),
 *   output: gpu.empty("f32", [1, 5, 32]),
 * }));
 * gpu.submit("queries", (encoder) => {
 *   for (const layer of layers) plan.encode(encoder, layer);
 * });
 * console.log(plan.explain().dispatches.length); // 3
 * ```
 *
 * @category Layers
 */
export class LoraPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #problem: LoraProblem;
  readonly #parts: Awaited<ReturnType<typeof partsOf>>;
  #destroyed = false;

  private constructor(
    gpu: Gpu,
    problem: LoraProblem,
    parts: Awaited<ReturnType<typeof partsOf>>,
  ) {
    this.#gpu = gpu;
    this.#problem = problem;
    this.#parts = parts;
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {TypeError} for wrong types, shapes and options
   * @throws {RangeError} for values out of range or beyond the device's limits
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`
   */
  static async create(gpu: Gpu, options: LoraOptions): Promise<LoraPlan> {
    checkGpu(gpu);
    const problem = loraProblem("LoraPlan.create()", options);
    return new LoraPlan(gpu, problem, await partsOf(gpu, problem));
  }

  /** The type and shape of the output. */
  get output(): TensorShape {
    return this.#problem.output;
  }

  /** Says which kernels will run. */
  explain(): { readonly dispatches: ProgramExplanation["dispatches"] } {
    const { base, down, up } = this.#parts;
    return {
      dispatches: [base, down, up].flatMap((own) => own.explain().dispatches),
    };
  }

  /**
   * Records the projection. Nothing is submitted, and on an error nothing is
   * recorded.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(encoder: GPUCommandEncoder, tensors: LoraTensors): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
    const { input, weight, bias, a, b, output: like } = this.#problem;
    checkModelTensors(this.#gpu, tensors, {
      wanted: { input, weight, ...(bias && { bias }), a, b, output: like },
    });
    const { output, ...read } = tensors;
    checkWritten(buffersOf(undefined, read), [["output", output.buffer]]);
    const { base, down, up, own: { tensors: { low } } } = this.#parts;
    down.encode(encoder, { input: read.input, weight: read.a, output: low });
    base.encode(encoder, {
      input: read.input,
      weight: read.weight,
      ...(read.bias && { bias: read.bias }),
      output,
    });
    up.encode(encoder, { input: low, weight: read.b, output });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const own of this.#parts.made) own[Symbol.dispose]();
  }

  /** The same as {@linkcode LoraPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
