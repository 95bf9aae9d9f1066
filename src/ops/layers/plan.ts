/**
 * A plan for an op of a layer: compiled, reusable, disposable.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import {
  Gpu,
  type GpuTensor,
  Program,
  type ProgramExplanation,
} from "../../gpu/mod.ts";
import { checkTensor, checkWritten } from "../attention/plan_tensors.ts";
import type { PassDescriptor } from "../attention/plan.ts";
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
  readonly #gpu: Gpu;
  readonly #op: LayerOp<Options>;
  readonly #program: Program;
  #work: LayerWork;
  #destroyed = false;

  private constructor(
    program: Program,
    made: {
      readonly gpu: Gpu;
      readonly op: LayerOp<Options>;
      readonly work: LayerWork;
    },
  ) {
    this.#program = program;
    this.#gpu = made.gpu;
    this.#op = made.op;
    this.#work = made.work;
  }

  /** See `planLayer()`. */
  static async create<Options extends object>(
    gpu: Gpu,
    op: LayerOp<Options>,
    options: Options,
  ): Promise<LayerPlan<Options>> {
    checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
    gpu.check();
    const work = workOf(op, options);
    const parts = work.parts(gpu.limits);
    const program = await Program.create(gpu, `layers.${op.name}`, parts);
    return new LayerPlan(program, { gpu, op, work });
  }

  /** The tensors that `encode` wants, by name: their types and shapes. */
  get tensors(): {
    readonly read: Readonly<Record<string, LayerTensor>>;
    readonly written: Readonly<Record<string, LayerTensor>>;
  } {
    const { read, written } = this.#work;
    return { read, written };
  }

  /** Says which kernels will run. */
  explain(): ProgramExplanation {
    return this.#program.explain();
  }

  /**
   * Takes other options, such as another number of rows. What was recorded
   * before stays as it was recorded; after an error the plan is as before.
   *
   * @throws {TypeError} as `planLayer()` does, or if the plan is destroyed
   * @throws {RangeError} as `planLayer()` does
   */
  async update(options: Options): Promise<void> {
    this.#check();
    const work = workOf(this.#op, options);
    const parts = work.parts(this.#gpu.limits);
    await this.#program.compile(parts.dispatches.map(({ source }) => source));
    this.#check();
    this.#program.update(parts);
    this.#work = work;
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
    this.#check();
    const { read, written, replaces = {} } = this.#work;
    const all = { ...read, ...written };
    checkOptions(`encode() of ${this.#op.name}`, tensors, {
      known: Object.keys(all),
    });
    for (const [name, { dtype, shape }] of Object.entries(all)) {
      const size = shape.reduce((product, length) => product * length, 1);
      checkTensor(this.#gpu, name, tensors[name], { type: dtype, size });
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
    this.#program.encode(
      encoder,
      Object.fromEntries(names.map(([own, name]) => [own, tensors[name]])),
      { describe, names: Object.fromEntries(names) },
    );
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    this.#program.destroy();
  }

  /** The same as {@linkcode LayerPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }
}
