/**
 * A plan of linear attention: compiled, sized, reusable, disposable.
 *
 * @module
 */

import type { Gpu } from "../../gpu/mod.ts";
import type { PassDescriptor } from "../attention/plan.ts";
import { checkGpu, PlanProgram } from "../plan/plan_program.ts";
import type { LinearExplanation } from "./explanation.ts";
import { checkLinearLimits } from "./limits.ts";
import { type LinearParts, linearParts } from "./parts.ts";
import {
  checkLinearTensors,
  linearResources,
  type LinearTensors,
  RESOURCE_NAMES,
} from "./plan_tensors.ts";
import type { LinearProblem } from "./options/problem.ts";

/**
 * A plan for linear attention of one problem, or of later ones.
 *
 * @example One plan for all layers, each with its pool of states
 * ```ts
 * import { openGpu, planLinearAttention } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = { dtype: "f32", shape: [2, 40, 2, 16] } as const;
 * const pool = [3, 2, 16, 16];
 * using plan = await planLinearAttention(gpu, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 *   states: { dtype: "f32", shape: pool },
 *   stateIndices: [2, 0], // of two sequences
 * });
 * const empty = () => gpu.empty("f32", rows.shape);
 * const layers = [0, 1].map(() => ({
 *   query: empty(),
 *   key: empty(),
 *   value: empty(),
 *   output: empty(),
 *   states: gpu.empty("f32", pool),
 * }));
 * gpu.submit("step", (encoder) => {
 *   for (const tensors of layers) plan.encode(encoder, tensors);
 * });
 * console.log(plan.explain().chunks.count); // 2: one a sequence
 * ```
 *
 * @category Attention
 */
export class LinearAttentionPlan implements Disposable {
  readonly #plan: PlanProgram<LinearProblem, LinearParts>;

  private constructor(plan: PlanProgram<LinearProblem, LinearParts>) {
    this.#plan = plan;
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {RangeError} if sizes exceed the device's limits
   * @throws {UnsupportedError} if there is no kernel for the problem, or the
   * device lacks what one needs
   */
  static async create(
    gpu: Gpu,
    problem: LinearProblem,
  ): Promise<LinearAttentionPlan> {
    checkGpu(gpu);
    return new LinearAttentionPlan(
      await PlanProgram.create(gpu, {
        label: "linear_attention",
        problem,
        work: (problem: LinearProblem) => {
          checkLinearLimits(gpu, problem);
          return linearParts(problem, gpu);
        },
      }),
    );
  }

  /** The problem that the plan is for now. */
  get problem(): LinearProblem {
    return this.#plan.problem;
  }

  /** Says which kernels will run, on what tiles, and on how much scratch. */
  explain(): LinearExplanation {
    return this.#plan.parts.explanation;
  }

  /**
   * Takes another problem. What has been compiled is not compiled again, and
   * buffers are used again where they are large enough. Until the promise
   * resolves, and after an error, the plan is as before. What was recorded
   * before stays as it was recorded.
   *
   * @throws {TypeError} if the plan is destroyed, then or meanwhile
   * @throws {RangeError} if sizes exceed the device's limits
   */
  async update(problem: LinearProblem): Promise<void> {
    await this.#plan.update(problem);
  }

  /**
   * Records the dispatches. Nothing is submitted.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(
    encoder: GPUCommandEncoder,
    tensors: LinearTensors,
    describe?: PassDescriptor,
  ): void {
    this.#plan.check();
    checkLinearTensors(this.#plan.gpu, this.#plan.problem, tensors);
    this.#plan.encode(encoder, linearResources(tensors), {
      describe,
      names: RESOURCE_NAMES,
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode LinearAttentionPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
