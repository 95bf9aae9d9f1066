/**
 * A plan of linear attention's gradients: compiled, sized, reusable, disposable.
 *
 * @module
 */

import { checkBoolean, checkType } from "../../../core/check.ts";
import type { Gpu } from "../../../gpu/mod.ts";
import type { PassDescriptor } from "../../attention/plan.ts";
import { checkGpu, PlanProgram } from "../../plan/plan_program.ts";
import type { LinearExplanation } from "../explanation.ts";
import { checkLinearLimits } from "../limits.ts";
import type { LinearParts } from "../parts.ts";
import type { LinearProblem } from "../options/problem.ts";
import { checkGradientPlan } from "./options.ts";
import { linearBackwardParts } from "./parts.ts";
import {
  checkLinearBackwardTensors,
  GRADIENT_NAMES,
  gradientResources,
  type LinearBackwardTensors,
} from "./plan_tensors.ts";

/**
 * What a plan of linear attention's gradients is for, besides the problem.
 *
 * @category Gradients
 */
export interface LinearBackwardPlanOptions {
  /**
   * Whether a gradient flows into the states that sequences end with; `false` by
   * default.
   */
  readonly stateGradient?: boolean;
}

/**
 * A plan for the gradients of one problem of linear attention, or of later ones.
 *
 * @example One plan for all layers
 * ```ts
 * import { openGpu, planLinearAttentionBackward } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const rows = { dtype: "f32", shape: [1, 8, 2, 16] } as const;
 * using plan = await planLinearAttentionBackward(gpu, {
 *   query: rows,
 *   key: rows,
 *   value: rows,
 * });
 * const empty = () => gpu.empty("f32", rows.shape);
 * const layers = [0, 1].map(() => ({
 *   query: empty(),
 *   key: empty(),
 *   value: empty(),
 *   outputGradient: empty(),
 *   queryGradient: empty(),
 *   keyGradient: empty(),
 *   valueGradient: empty(),
 * }));
 * gpu.submit("step", (encoder) => {
 *   for (const tensors of layers) plan.encode(encoder, tensors);
 * });
 * console.log(plan.explain().dispatches.length); // 9
 * ```
 *
 * @category Attention
 */
export class LinearAttentionBackwardPlan implements Disposable {
  readonly #plan: PlanProgram<LinearProblem, LinearParts>;
  readonly #stateGradient: boolean;

  private constructor(
    plan: PlanProgram<LinearProblem, LinearParts>,
    stateGradient: boolean,
  ) {
    this.#plan = plan;
    this.#stateGradient = stateGradient;
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {TypeError} for unknown options, and for a pool of states
   * @throws {RangeError} if sizes exceed the device's limits
   * @throws {UnsupportedError} if there is no kernel for the problem, or the
   * device lacks what one needs
   */
  static async create(
    gpu: Gpu,
    problem: LinearProblem,
    options: LinearBackwardPlanOptions = {},
  ): Promise<LinearAttentionBackwardPlan> {
    checkGpu(gpu);
    checkGradientPlan("LinearAttentionBackwardPlan.create()", options);
    const { stateGradient = false } = options;
    checkBoolean("stateGradient", stateGradient);
    return new LinearAttentionBackwardPlan(
      await PlanProgram.create(gpu, {
        label: "linear_attention.backward",
        problem,
        work: (problem: LinearProblem) => {
          checkNoPool(problem);
          checkLinearLimits(gpu, problem);
          return linearBackwardParts({ problem, stateGradient }, gpu);
        },
      }),
      stateGradient,
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
   * Takes another problem, as a forward plan does: what is compiled stays so,
   * buffers are used again where they are large enough, and after an error the
   * plan is as before.
   *
   * @throws {TypeError} if the plan is destroyed, then or meanwhile, and for a
   * pool of states
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
    tensors: LinearBackwardTensors,
    describe?: PassDescriptor,
  ): void {
    this.#plan.check();
    const { gpu, problem } = this.#plan;
    const stateGradient = this.#stateGradient;
    checkLinearBackwardTensors(gpu, { problem, stateGradient }, tensors);
    this.#plan.encode(encoder, gradientResources(tensors), {
      describe,
      names: GRADIENT_NAMES,
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode LinearAttentionBackwardPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** A slot may hold another state by now. */
function checkNoPool({ states }: LinearProblem): void {
  checkType(
    states.slots === undefined,
    "states",
    "must not be given to backward, which reads states as they were; write initialState",
    states,
  );
}
