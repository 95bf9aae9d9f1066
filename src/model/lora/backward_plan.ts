/**
 * A plan for the gradients of a projection with a low-rank update.
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
 * What a plan of the gradients is for.
 *
 * @category Layers
 */
export interface LoraBackwardPlanOptions extends Omit<LoraOptions, "bias"> {
  /**
   * Gradients that are added to what is there, instead of replacing it: `"input"`
   * where the input is projected elsewhere too, `"a"` and `"b"` over several
   * batches.
   */
  readonly accumulate?: readonly ("input" | "a" | "b")[] | undefined;
}

/**
 * What `encode` of the gradients reads and writes.
 *
 * @category Layers
 */
export interface LoraBackwardTensors {
  /** As forward had it. */
  readonly input: GpuTensor;
  /** As forward had it. */
  readonly weight: GpuTensor;
  /** As forward had it. */
  readonly a: GpuTensor;
  /** As forward had it. */
  readonly b: GpuTensor;
  /** The loss's derivative by the output: like it. */
  readonly outputGradient: GpuTensor;
  /** Written: like the input. */
  readonly inputGradient: GpuTensor;
  /** Written: like A, f32. */
  readonly aGradient: GpuTensor;
  /** Written: like B, f32. */
  readonly bGradient: GpuTensor;
}

const ADDED = ["input", "a", "b"] as const;

/** The plans of the products. */
async function partsOf(
  gpu: Gpu,
  { input, weight, a, b, low, scale }: LoraProblem,
  adds: Readonly<Record<typeof ADDED[number], boolean>>,
) {
  const made: Disposable[] = [];
  const keep = <P extends Disposable>(plan: P): P => {
    made.push(plan);
    return plan;
  };
  try {
    return {
      made,
      low: keep(await planLayer(gpu, "project", { input, weight: a, scale })),
      up: keep(
        await planLayer(gpu, "projectBackward", {
          input: low,
          weight: b,
          accumulate: adds.b ? ["weightGradient"] : [],
        }),
      ),
      base: keep(
        await planLayer(gpu, "projectBackward", {
          input,
          weight,
          frozen: true,
          accumulate: adds.input ? ["inputGradient"] : [],
        }),
      ),
      down: keep(
        await planLayer(gpu, "projectBackward", {
          input,
          weight: a,
          scale,
          accumulate: [
            "inputGradient",
            ...(adds.a ? ["weightGradient" as const] : []),
          ],
        }),
      ),
      own: keep(new OwnedTensors(gpu, { low, lowGradient: low }, "lora")),
    };
  } catch (error) {
    for (const own of made) own[Symbol.dispose]();
    throw error;
  }
}

/**
 * A plan for the gradients of a {@linkcode LoraPlan}, by its rows and by A and B;
 * there is none by the weight, of which no memory is taken. `X A^T` is computed
 * again, which is a small part of the work, so forward keeps nothing.
 *
 * @example A step of training
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { LoraBackwardPlan } from "@quire/attention/model";
 *
 * using gpu = await openGpu();
 * const rows = (width: number) =>
 *   ({ dtype: "f32", shape: [1, 5, width] }) as const;
 * const matrix = (...shape: number[]) => ({ dtype: "f32", shape }) as const;
 * const shapes = {
 *   input: rows(16),
 *   weight: matrix(32, 16),
 *   a: matrix(8, 16),
 *   b: matrix(32, 8),
 * };
 * using plan = await LoraBackwardPlan.create(gpu, shapes);
 * const empty = ({ shape }: { readonly shape: readonly number[] }) =>
 *   gpu.empty("f32", shape);
 * gpu.submit("step", (encoder) =>
 *   plan.encode(encoder, {
 *     input: empty(shapes.input),
 *     weight: empty(shapes.weight),
 *     a: empty(shapes.a),
 *     b: empty(shapes.b),
 *     outputGradient: empty(rows(32)),
 *     inputGradient: empty(shapes.input),
 *     aGradient: empty(shapes.a),
 *     bGradient: empty(shapes.b),
 *   }));
 * ```
 *
 * @category Layers
 */
export class LoraBackwardPlan implements Disposable {
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
  static async create(
    gpu: Gpu,
    { accumulate = [], ...options }: LoraBackwardPlanOptions,
  ): Promise<LoraBackwardPlan> {
    checkGpu(gpu);
    checkType(
      Array.isArray(accumulate) &&
        accumulate.every((name) => ADDED.includes(name)),
      "accumulate",
      'must be a list of "input", "a" and "b"',
      accumulate,
    );
    const { bias } = options as LoraOptions;
    checkType(
      bias === undefined,
      "bias",
      "must not be given to a plan of gradients, which do not depend on it",
      bias,
    );
    const problem = loraProblem("LoraBackwardPlan.create()", options);
    const parts = await partsOf(gpu, problem, {
      input: accumulate.includes("input"),
      a: accumulate.includes("a"),
      b: accumulate.includes("b"),
    });
    return new LoraBackwardPlan(gpu, problem, parts);
  }

  /** The types and shapes of what is read of the loss, and written. */
  get gradients(): {
    readonly outputGradient: TensorShape;
    readonly inputGradient: TensorShape;
    readonly aGradient: TensorShape;
    readonly bGradient: TensorShape;
  } {
    const { input, output, a, b } = this.#problem;
    return {
      outputGradient: output,
      inputGradient: input,
      aGradient: { dtype: "f32", shape: a.shape },
      bGradient: { dtype: "f32", shape: b.shape },
    };
  }

  /** Says which kernels will run. */
  explain(): { readonly dispatches: ProgramExplanation["dispatches"] } {
    const { low, up, base, down } = this.#parts;
    return {
      dispatches: [low, up, base, down]
        .flatMap((own) => own.explain().dispatches),
    };
  }

  /**
   * Records the gradients. Nothing is submitted, and on an error nothing is
   * recorded.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(encoder: GPUCommandEncoder, tensors: LoraBackwardTensors): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
    const { input, weight, a, b } = this.#problem;
    checkModelTensors(this.#gpu, tensors, {
      wanted: { input, weight, a, b, ...this.gradients },
    });
    const { inputGradient, aGradient, bGradient, ...read } = tensors;
    checkWritten(
      buffersOf(undefined, read),
      buffersOf(undefined, { inputGradient, aGradient, bGradient }),
    );
    const parts = this.#parts;
    const { outputGradient } = read;
    const { low, lowGradient } = parts.own.tensors;
    parts.low.encode(encoder, {
      input: read.input,
      weight: read.a,
      output: low,
    });
    parts.up.encode(encoder, {
      input: low,
      weight: read.b,
      outputGradient,
      inputGradient: lowGradient,
      weightGradient: bGradient,
    });
    parts.base.encode(encoder, {
      input: read.input,
      weight: read.weight,
      outputGradient,
      inputGradient,
    });
    parts.down.encode(encoder, {
      input: read.input,
      weight: read.a,
      outputGradient: lowGradient,
      inputGradient,
      weightGradient: aGradient,
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const own of this.#parts.made) own[Symbol.dispose]();
  }

  /** The same as {@linkcode LoraBackwardPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
