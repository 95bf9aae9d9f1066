// deno-lint-ignore-file camelcase -- bindings have the names of WGSL
/**
 * A backward plan: compiled, sized, reusable, disposable.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu } from "../../gpu/mod.ts";
import { checkIndexing } from "../attention/limits.ts";
import {
  checkCapture,
  namesOfCaptures,
  type PassDescriptor,
} from "../attention/plan.ts";
import {
  capturedTensors,
  checkBlockTable,
  checkSelection,
  deviceTable,
} from "../attention/plan_tensors.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import { checkGpu, PlanProgram } from "../plan/plan_program.ts";
import type { BackwardChoices } from "./choices.ts";
import type { BackwardExplanation } from "./explanation.ts";
import type { CapturedFloats } from "../../mods/mod.ts";
import { checkCaptured } from "./capture_pass.ts";
import type { GradientStrides } from "./gradient_strides.ts";
import { checkBackwardOptions } from "./options.ts";
import { type BackwardParts, backwardParts } from "./parts.ts";
import type { BackwardTensors } from "./backward_tensors.ts";
import { checkBackwardTensors, checkBackwardWritten } from "./plan_tensors.ts";

/** What errors call resources. */
const NAMES: Readonly<Record<string, string>> = {
  output_gradient: "outputGradient",
  lse_gradient: "lseGradient",
  query_gradient: "queryGradient",
  key_gradient: "keyGradient",
  value_gradient: "valueGradient",
};

/**
 * What a backward plan is for, and how it runs.
 *
 * @category Gradients
 */
export interface BackwardPlanOptions extends BackwardChoices {
  /** Whether a gradient flows into the log-sum-exp; `false` by default. */
  readonly lseGradient?: boolean;
  /**
   * What score mods capture and is to have a gradient too: what `capture()`
   * gave, or the `Float32Array` or GPU tensor that a mod was made of.
   */
  readonly captureGradients?: readonly CapturedFloats[] | undefined;
  /**
   * Where the plan writes gradients whose rows do not lie side by side, such as
   * what a transposed view is a gradient of; each in a buffer of its own.
   */
  readonly gradientStrides?: GradientStrides | undefined;
}

/**
 * A plan for the gradients of one problem, or of later ones that differ only in
 * lengths, offsets and block table.
 *
 * @example One plan for all layers
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { attentionProblem, AttentionBackwardPlan } from "@quire/attention/ops";
 *
 * using gpu = await openGpu();
 * const shape = [1, 8, 2, 16];
 * const of = { dtype: "f32", shape } as const;
 * const problem = attentionProblem({ query: of, key: of, value: of });
 * using plan = await AttentionBackwardPlan.create(gpu, problem);
 * const empty = () => gpu.empty("f32", shape);
 * const layers = [0, 1].map(() => ({
 *   query: empty(),
 *   key: empty(),
 *   value: empty(),
 *   output: empty(),
 *   lse: gpu.empty("f32", [1, 8, 2]),
 *   outputGradient: empty(),
 *   queryGradient: empty(),
 *   keyGradient: empty(),
 *   valueGradient: empty(),
 * }));
 * gpu.submit("step", (encoder) => {
 *   for (const tensors of layers) plan.encode(encoder, tensors);
 * });
 * console.log(plan.explain().dispatches.length); // 3
 * ```
 *
 * @category Attention
 */
export class AttentionBackwardPlan implements Disposable {
  readonly #plan: PlanProgram<AttentionProblem, BackwardParts>;
  readonly #options: BackwardPlanOptions;

  private constructor(
    plan: PlanProgram<AttentionProblem, BackwardParts>,
    options: BackwardPlanOptions,
  ) {
    this.#plan = plan;
    this.#options = options;
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {TypeError} for unknown options, and a mod without a derivative
   * @throws {RangeError} if sizes exceed the device's limits
   * @throws {UnsupportedError} if the device lacks what a kernel needs
   */
  static async create(
    gpu: Gpu,
    problem: AttentionProblem,
    options: BackwardPlanOptions = {},
  ): Promise<AttentionBackwardPlan> {
    checkGpu(gpu);
    checkBackwardOptions("AttentionBackwardPlan.create()", options);
    return new AttentionBackwardPlan(
      await PlanProgram.create(gpu, {
        label: "attention.backward",
        problem,
        work: (problem: AttentionProblem) =>
          checkedParts(gpu, problem, options),
      }),
      options,
    );
  }

  /** The problem that the plan is for now. */
  get problem(): AttentionProblem {
    return this.#plan.problem;
  }

  /** Says which kernels will run, and on what tiles. */
  explain(): BackwardExplanation {
    return this.#plan.parts.explanation;
  }

  /**
   * Takes another problem, as a forward plan does: what is compiled stays so,
   * buffers are used again where they are large enough, and after an error the
   * plan is as before.
   *
   * @throws {TypeError} if the plan is destroyed, then or meanwhile
   * @throws {RangeError} if sizes exceed the device's limits
   */
  async update(problem: AttentionProblem): Promise<void> {
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
    tensors: BackwardTensors,
    describe?: PassDescriptor,
  ): void {
    this.#plan.check();
    const { gpu, problem, parts } = this.#plan;
    checkBackwardTensors(gpu, tensors, {
      problem,
      lseGradient: this.#options.lseGradient ?? false,
      captureGradients: this.#options.captureGradients ?? [],
      gradientStrides: this.#options.gradientStrides ?? {},
    });
    const { policy } = problem;
    checkType(
      policy?.blocks === undefined || tensors.blockMask !== undefined,
      "blockMask",
      `must be what select (${policy?.name}) selected for forward, as later calls select anew`,
      tensors.blockMask,
    );
    const names = { ...NAMES, ...namesOfCaptures(parts.captures) };
    const captures = capturedTensors(gpu, parts.captures, undefined);
    checkBackwardWritten(
      tensors,
      captures.map(([resource, { buffer }]) => [names[resource], buffer]),
    );
    const arenas = (tensors.arenas ?? []).map((arena, i) =>
      [`arena_${i}`, arena] as const
    );
    this.#plan.encode(encoder, {
      query: tensors.query,
      key: tensors.key,
      value: tensors.value,
      output: tensors.output,
      lse: tensors.lse,
      blocks: (tensors.blockMask ?? problem.selection)?.bits,
      blockTable: deviceTable(problem, tensors.blockTable),
      output_gradient: tensors.outputGradient,
      lse_gradient: tensors.lseGradient,
      query_gradient: tensors.queryGradient,
      key_gradient: tensors.keyGradient,
      value_gradient: tensors.valueGradient,
      ...Object.fromEntries(
        (tensors.captureGradients ?? []).map((
          tensor,
          g,
        ) => [`capture_gradient_${g}`, tensor]),
      ),
      ...Object.fromEntries(arenas),
      ...Object.fromEntries(captures),
    }, { describe, names });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode AttentionBackwardPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function checkedParts(
  gpu: Gpu,
  problem: AttentionProblem,
  { lseGradient = false, captureGradients = [], gradientStrides, ...choices }:
    BackwardPlanOptions,
): BackwardParts {
  checkSelection(gpu, problem);
  checkBlockTable(gpu, problem, undefined);
  checkIndexing(gpu, problem);
  checkCaptured(captureGradients);
  const backward = {
    problem,
    lseGradient,
    captureGradients,
    gradientStrides,
  };
  const parts = backwardParts(backward, gpu, choices);
  for (const own of Object.values(parts.captures)) checkCapture(gpu, own);
  return parts;
}
