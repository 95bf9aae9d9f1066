/**
 * A plan: compiled, sized, reusable, disposable. It is made on the CPU and
 * records into a caller's encoder; lengths may change from step to step.
 *
 * @module
 */

import { BLOCK_SCORES } from "../../../kernels/attention/block_scores.ts";
import { checkRange, checkType, show } from "../../core/check.ts";
import { type BindingResource, type Gpu, GpuTensor } from "../../gpu/mod.ts";
import type { TensorBinding } from "../../mods/mod.ts";
import { checkGpu, PlanProgram } from "../plan/plan_program.ts";
import { checkWritten } from "../plan/tensors.ts";
import type { AttentionExplanation } from "./explanation.ts";
import { checkIndexing } from "./limits.ts";
import {
  checkChoices,
  type CheckedChoices,
  type PlanChoices,
} from "./options/choices.ts";
import { checkAttentionOptions } from "./options/known_options.ts";
import {
  type AttentionParts,
  attentionParts,
  type PartsOptions,
} from "./parts.ts";
import type { AttentionProblem } from "./problem.ts";
import {
  arenaBuffers,
  type AttentionTensors,
  capturedTensors,
  checkBlockTable,
  checkSelection,
  checkTensors,
  deviceTable,
} from "./plan_tensors.ts";
import { loadAlgorithm } from "./variants/load.ts";

/**
 * A pass encoder's descriptor, for instance with timestamps.
 *
 * @category Plans
 */
export type PassDescriptor = (label: string) => GPUComputePassDescriptor;

/**
 * A plan for attention of one problem, or of later ones that differ only in
 * lengths, offsets and block table.
 *
 * @example One plan for all layers, and for the next step
 * ```ts
 * import { attentionProblem, openGpu, planAttention } from "@quire/attention";
 *
 * using gpu = await openGpu();
 * const options = (keys: number) => ({
 *   query: { dtype: "f32", shape: [1, 1, 4, 16] } as const,
 *   key: { dtype: "f32", shape: [1, 64, 4, 16] } as const,
 *   value: { dtype: "f32", shape: [1, 64, 4, 16] } as const,
 *   keyLengths: [keys],
 * });
 * using plan = await planAttention(gpu, options(1));
 * const layers = [0, 1].map(() => ({
 *   query: gpu.empty("f32", [1, 1, 4, 16]),
 *   key: gpu.empty("f32", [1, 64, 4, 16]),
 *   value: gpu.empty("f32", [1, 64, 4, 16]),
 *   output: gpu.empty("f32", [1, 1, 4, 16]),
 * }));
 * for (const step of [1, 2, 3]) {
 *   await plan.update(attentionProblem(options(step)));
 *   gpu.submit("step", (encoder) => {
 *     for (const tensors of layers) plan.encode(encoder, tensors);
 *   });
 * }
 * console.log(plan.explain().dispatches.length > 0); // true
 * ```
 *
 * @category Attention
 */
export class AttentionPlan implements Disposable {
  readonly #plan: PlanProgram<AttentionProblem, AttentionParts>;

  private constructor(plan: PlanProgram<AttentionProblem, AttentionParts>) {
    this.#plan = plan;
  }

  /**
   * Compiles and sizes a plan; nothing runs yet.
   *
   * @throws {RangeError} if sizes exceed the device's limits
   * @throws {UnsupportedError} if the device lacks what a kernel needs
   */
  static async create(
    gpu: Gpu,
    problem: AttentionProblem,
    choices: PlanChoices = {},
  ): Promise<AttentionPlan> {
    checkGpu(gpu);
    checkAttentionOptions(choices);
    const checked = checkChoices(choices, gpu);
    const loaded = loadAlgorithm(checked);
    const options: PartsOptions = {
      choices: checked,
      // No turn is waited for in vain: a caller's arrays may change in it.
      algorithm: loaded instanceof Promise ? await loaded : loaded,
    };
    return new AttentionPlan(
      await PlanProgram.create(gpu, {
        label: "attention",
        problem,
        work: (problem: AttentionProblem) =>
          checkedParts(gpu, problem, options),
      }),
    );
  }

  /** The problem that the plan is for now. */
  get problem(): AttentionProblem {
    return this.#plan.problem;
  }

  /** Says which kernels will run, on what tiles, and why not faster ones. */
  explain(): AttentionExplanation {
    return this.#plan.parts.explanation;
  }

  /**
   * Takes another problem: other lengths, offsets, a longer block table. What
   * has been compiled is not compiled again, and buffers are used again where
   * they are large enough. Until the promise resolves, and after an error, the
   * plan is as before. What was recorded before stays as it was recorded.
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
    tensors: AttentionTensors,
    describe?: PassDescriptor,
  ): void {
    this.#plan.check();
    const { gpu, problem, parts } = this.#plan;
    checkTensors(gpu, problem, tensors);
    const names = namesOfCaptures(parts.captures);
    const captures = capturedTensors(gpu, parts.captures, tensors.attnMask);
    const { arenas = [], query, key, value, output, lse } = tensors;
    const blockScores = problem.blockScores && tensors.blockScores;
    checkWritten(
      [
        ["query", query.buffer],
        ["key", key?.buffer],
        ["value", value?.buffer],
        ...arenaBuffers(arenas),
        ...captures.map(([resource, tensor]) =>
          [names[resource], tensor.buffer] as const
        ),
      ],
      [
        ["output", output.buffer],
        ["lse", lse?.buffer],
        ["blockScores", blockScores?.buffer],
      ],
    );
    const resources: Record<string, BindingResource | undefined> = {
      query,
      key,
      value,
      output,
      lse,
      [BLOCK_SCORES]: blockScores,
      blocks: (tensors.blockMask ?? problem.selection)?.bits,
      blockTable: deviceTable(problem, tensors.blockTable),
      ...Object.fromEntries(captures),
    };
    arenas.forEach((arena, i) => resources[`arena_${i}`] = arena);
    if (tensors.blockMask === undefined) {
      problem.policy?.blocks?.encode(encoder, { query, key });
    }
    this.#plan.encode(encoder, resources, { describe, names });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#plan.destroy();
  }

  /** The same as {@linkcode AttentionPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}

function checkedParts(
  gpu: Gpu,
  problem: AttentionProblem,
  options: PartsOptions,
): AttentionParts {
  checkSelection(gpu, problem);
  checkBlockTable(gpu, problem, undefined);
  checkIndexing(gpu, problem);
  checkBlockScores(problem, options.choices);
  const parts = attentionParts(problem, gpu, options);
  for (const own of Object.values(parts.captures)) checkCapture(gpu, own);
  return parts;
}

/** Throws where scores of blocks are asked for that nothing would write. */
function checkBlockScores(
  { blockScores, lse }: AttentionProblem,
  { algorithm }: CheckedChoices,
): void {
  if (!blockScores) return;
  checkType(
    algorithm === "fused",
    "algorithm",
    'must be "fused" with blockScores, which are its by-product',
    algorithm,
  );
  checkType(
    lse,
    "returnLse",
    "must be true with blockScores, which are made of it",
    lse,
  );
}

/** What errors call captured tensors, by the names of resources. */
export function namesOfCaptures(
  captures: AttentionParts["captures"],
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(captures).map(([resource, own]) => [
      resource,
      nameOfCapture(own),
    ]),
  );
}

/** What errors call a captured tensor. */
function nameOfCapture({ names }: TensorBinding): string {
  return names[0] === "attnMask" ? "attnMask" : `capture ${show(names[0])}`;
}

/** Throws unless a captured tensor is one of a Gpu, and fits a binding. */
export function checkCapture(gpu: Gpu, own: TensorBinding): void {
  const { tensor } = own;
  const name = nameOfCapture(own);
  checkType(
    tensor instanceof GpuTensor && tensor.gpu === gpu,
    name,
    "must be a GpuTensor of the plan's Gpu",
    tensor,
  );
  void tensor.buffer;
  const bytes = tensor.byteLength;
  const most = gpu.limits.maxStorageBufferBindingSize;
  checkRange(
    bytes <= most,
    name,
    `must fit one binding: maxStorageBufferBindingSize is ${most} bytes`,
    bytes,
  );
}
