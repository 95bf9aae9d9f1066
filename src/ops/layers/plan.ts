/**
 * A plan for an op of a layer: compiled, reusable, disposable.
 *
 * @module
 */

import { checkOptions } from "../../core/options.ts";
import type { Gpu, GpuTensor, ProgramExplanation } from "../../gpu/mod.ts";
import type { PassDescriptor } from "../attention/plan.ts";
import { checkGpu, type PlanParts, PlanProgram } from "../plan/plan_program.ts";
import { checkTensor, checkWritten } from "../plan/tensors.ts";
import {
  bindingName,
  type LayerOp,
  type LayerTensor,
  type LayerWork,
  workOf,
} from "./op.ts";

/**
 * What a {@linkcode LayerPlan}'s `encode` reads and writes, by the names of its
 * `tensors`.
 *
 * @category Layers
 */
export type LayerTensors = Readonly<Record<string, GpuTensor | undefined>>;

/**
 * A plan for an op of a layer, forward or backward. Once made, it is recorded as
 * often as one likes, for as many layers as are alike.
 *
 * @example One plan for all layers' norms
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { planLayer } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const shape = [2, 4, 64];
 * using plan = await planLayer(gpu, "rmsNorm", {
 *   input: { dtype: "f32", shape },
 *   weight: { dtype: "f32", shape: [64] },
 * });
 * using input = gpu.empty("f32", shape);
 * using output = gpu.empty("f32", shape);
 * using weight = gpu.empty("f32", [64]);
 * gpu.submit("step", (encoder) =>
 *   plan.encode(encoder, { input, weight, output }));
 * console.log(plan.explain().dispatches.length); // 1
 * ```
 *
 * @category Layers
 */
export class LayerPlan<Options extends object = object> implements Disposable {
  readonly #op: LayerOp<Options>;
  readonly #plan: PlanProgram<LayerWork, PlanParts>;

  private constructor(
    op: LayerOp<Options>,
    plan: PlanProgram<LayerWork, PlanParts>,
  ) {
    this.#op = op;
    this.#plan = plan;
  }

  /** See `planLayer()`. */
  static async create<Options extends object>(
    gpu: Gpu,
    op: LayerOp<Options>,
    options: Options,
  ): Promise<LayerPlan<Options>> {
    checkGpu(gpu);
    return new LayerPlan(
      op,
      await PlanProgram.create(gpu, {
        label: `layers.${op.name}`,
        problem: workOf(op, options),
        work: (work) => ({ parts: work.parts(gpu.limits) }),
      }),
    );
  }

  /** The tensors that `encode` wants, by name: their types and shapes. */
  get tensors(): {
    readonly read: Readonly<Record<string, LayerTensor>>;
    readonly written: Readonly<Record<string, LayerTensor>>;
  } {
    const { read, written } = this.#plan.problem;
    return { read, written };
  }

  /** Says which kernels will run. */
  explain(): ProgramExplanation {
    return this.#plan.explain();
  }

  /**
   * Takes other options, such as another number of rows. What was recorded
   * before stays as it was recorded; after an error the plan is as before.
   *
   * @throws {TypeError} as `planLayer()` does, or if the plan is destroyed
   * @throws {RangeError} as `planLayer()` does
   */
  async update(options: Options): Promise<void> {
    this.#plan.check();
    await this.#plan.update(workOf(this.#op, options));
  }

  /**
   * Records the op. Nothing is submitted.
   *
   * @throws {TypeError} if a tensor is missing, unknown, destroyed, of another
   * device, dtype or size, or one that is written shares its buffer with another
   */
  encode(
    encoder: GPUCommandEncoder,
    tensors: LayerTensors,
    describe?: PassDescriptor,
  ): void {
    this.#plan.check();
    const { gpu, problem: { read, written, replaces = {} } } = this.#plan;
    const all = { ...read, ...written };
    checkOptions(`encode() of ${this.#op.name}`, tensors, {
      known: Object.keys(all),
    });
    for (const [name, { dtype, shape }] of Object.entries(all)) {
      const size = shape.reduce((product, length) => product * length, 1);
      checkTensor(gpu, name, tensors[name], { type: dtype, size });
    }
    const buffers = (names: object) =>
      Object.keys(names).map((name) => [name, tensors[name]!.buffer] as const);
    checkWritten(
      buffers(read),
      buffers(written).filter(([name, buffer]) =>
        tensors[replaces[name]]?.buffer !== buffer
      ),
    );
    const names = Object.keys(all).map((name) =>
      [bindingName(name), name] as const
    );
    this.#plan.encode(
      encoder,
      Object.fromEntries(names.map(([own, name]) => [own, tensors[name]])),
      { describe, names: Object.fromEntries(names) },
    );
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode LayerPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
