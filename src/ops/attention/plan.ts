/**
 * A plan: compiled, sized, reusable, disposable. It is made on the CPU and
 * records into a caller's encoder; lengths may change from step to step.
 *
 * @module
 */

import { checkRange, checkType, show } from "../../core/check.ts";
import { bytesPerElement } from "../../core/dtype.ts";
import {
  type BindingResource,
  Gpu,
  type GpuBuffer,
  GpuTensor,
  Program,
} from "../../gpu/mod.ts";
import type { TensorBinding } from "../../mods/mod.ts";
import type { AttentionExplanation } from "./explanation.ts";
import { checkIndexing } from "./limits.ts";
import { checkChoices, type PlanChoices } from "./options/choices.ts";
import { checkAttentionOptions } from "./options/known_options.ts";
import type { BlockGrid } from "../../mods/mod.ts";
import type { DeviceBlockMask } from "../block_mask/device_block_mask.ts";
import {
  type AttentionParts,
  attentionParts,
  type PartsOptions,
} from "./parts.ts";
import { type AttentionProblem, bufferTokens } from "./problem.ts";
import { tensorElements } from "./rows.ts";
import { loadAlgorithm } from "./variants/load.ts";

/**
 * What a plan's `encode` reads and writes.
 *
 * @category Attention
 */
export interface AttentionTensors {
  /**
   * As in the options; where they have `qkv`, that, which is then also the key
   * and the value.
   */
  readonly query: GpuTensor;
  /** Keys; not where they are in arenas. */
  readonly key?: GpuTensor;
  /** Values; not where they are in arenas. */
  readonly value?: GpuTensor;
  /** Arenas, each with keys first. */
  readonly arenas?: readonly GpuBuffer[];
  /** Like the query, with the value's head dim. */
  readonly output: GpuTensor;
  /** Like the output without its last dimension, f32; where asked for. */
  readonly lse?: GpuTensor | undefined;
  /**
   * Where the options have a block mask on the device: another one of the same
   * geometry, as each layer may have its own.
   */
  readonly blockMask?: DeviceBlockMask | undefined;
}

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
  readonly #gpu: Gpu;
  readonly #options: PartsOptions;
  readonly #program: Program;
  #problem: AttentionProblem;
  #captures: AttentionParts["captures"];
  #explanation: AttentionExplanation;
  #destroyed = false;

  private constructor(
    program: Program,
    made: {
      readonly gpu: Gpu;
      readonly options: PartsOptions;
      readonly problem: AttentionProblem;
      readonly captures: AttentionParts["captures"];
      readonly explanation: AttentionExplanation;
    },
  ) {
    this.#gpu = made.gpu;
    this.#options = made.options;
    this.#program = program;
    this.#problem = made.problem;
    this.#captures = made.captures;
    this.#explanation = made.explanation;
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
    checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
    gpu.check();
    checkAttentionOptions(choices);
    const checked = checkChoices(choices, gpu);
    const loaded = loadAlgorithm(checked);
    const options: PartsOptions = {
      choices: checked,
      // No turn is waited for in vain: a caller's arrays may change in it.
      algorithm: loaded instanceof Promise ? await loaded : loaded,
    };
    const { parts, ...rest } = checkedParts(gpu, problem, options);
    const program = await Program.create(gpu, "attention", parts);
    return new AttentionPlan(program, { gpu, options, problem, ...rest });
  }

  /** The problem that the plan is for now. */
  get problem(): AttentionProblem {
    return this.#problem;
  }

  /** Says which kernels will run, on what tiles, and why not faster ones. */
  explain(): AttentionExplanation {
    return this.#explanation;
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
    this.#check();
    const { parts, captures, explanation } = checkedParts(
      this.#gpu,
      problem,
      this.#options,
    );
    await this.#program.compile(parts.dispatches.map(({ source }) => source));
    this.#check();
    this.#program.update(parts);
    this.#problem = problem;
    this.#captures = captures;
    this.#explanation = explanation;
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
    this.#check();
    this.#checkTensors(tensors);
    const names: Record<string, string> = {};
    const captures: [name: string, tensor: GpuTensor][] = [];
    for (const [resource, own] of Object.entries(this.#captures)) {
      names[resource] = nameOfCapture(own);
      captures.push([resource, own.tensor as GpuTensor]);
    }
    checkWritten(
      tensors,
      captures.map(([resource, tensor]) => [names[resource], tensor.buffer]),
    );
    const { arenas = [], query, key, value, output, lse } = tensors;
    const resources: Record<string, BindingResource | undefined> = {
      query,
      key,
      value,
      output,
      lse,
      blocks: (tensors.blockMask ?? this.#problem.selection)?.bits,
      ...Object.fromEntries(captures),
    };
    arenas.forEach((arena, i) => resources[`arena_${i}`] = arena);
    this.#program.encode(encoder, resources, { describe, names });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    this.#program.destroy();
  }

  /** The same as {@linkcode AttentionPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }

  #checkTensors(tensors: AttentionTensors): void {
    const { dtype, keys } = this.#problem;
    const elements = tensorElements(this.#problem);
    const check = (
      name: string,
      tensor: GpuTensor | undefined,
      size: number,
      type: string,
    ) => {
      checkType(tensor, name, "must be given", tensor);
      checkType(
        tensor.gpu === this.#gpu,
        name,
        "must be of the plan's Gpu",
        tensor,
      );
      checkType(tensor.dtype === type, name, `must be ${type}`, tensor.dtype);
      checkType(
        tensor.size === size,
        name,
        `must have ${size} elements`,
        tensor.size,
      );
      void tensor.buffer;
    };
    check("query", tensors.query, elements.query, dtype);
    check("output", tensors.output, elements.output, dtype);
    if (this.#problem.lse) check("lse", tensors.lse, elements.lse, "f32");
    this.#checkBlockMask(tensors.blockMask);
    if (keys.segments > 0) {
      checkArenas(tensors.arenas, this.#problem);
      return;
    }
    check("key", tensors.key, elements.key, dtype);
    check("value", tensors.value, elements.value, dtype);
  }

  #checkBlockMask(mask: DeviceBlockMask | undefined): void {
    const { selection } = this.#problem;
    if (mask === undefined) return checkSelection(this.#gpu, selection);
    checkType(
      selection !== undefined,
      "blockMask",
      "must not be given to a plan whose options have none on the device",
      mask,
    );
    checkSelection(this.#gpu, mask);
    for (const [name, value] of Object.entries(selection.grid)) {
      const own = mask.grid[name as keyof BlockGrid];
      checkType(
        own === value,
        `blockMask ${name}`,
        `must be that of the plan's (${value})`,
        own,
      );
    }
  }
}

/** Throws unless a block mask on the device is of that `Gpu`. */
function checkSelection(gpu: Gpu, mask: DeviceBlockMask | undefined): void {
  if (mask === undefined) return;
  checkType(mask.gpu === gpu, "blockMask", "must be of the plan's Gpu", mask);
  void mask.bits.buffer;
}

/**
 * Throws unless the arenas are those that a problem reads.
 *
 * @throws {TypeError} if they are not as many, or one is too small
 */
export function checkArenas(
  arenas: readonly GpuBuffer[] | undefined,
  { dtype, kvHeads, keys, headDim, valueHeadDim }: AttentionProblem,
): void {
  const bytes = bufferTokens(keys) * kvHeads * (headDim + valueHeadDim) *
    bytesPerElement(dtype);
  checkType(
    arenas?.length === keys.segments,
    "arenas",
    `must be ${keys.segments} buffers`,
    arenas,
  );
  arenas.forEach((arena, i) =>
    checkType(
      arena.size >= bytes,
      `arenas[${i}].size`,
      `must be >= ${bytes} bytes`,
      arena.size,
    )
  );
}

/**
 * WebGPU refuses a buffer that one dispatch both reads and writes, and takes one
 * that it writes twice, whose second result then is the only one. Checked for
 * all dispatches together, so that it does not depend on which kernels run.
 */
function checkWritten(
  tensors: AttentionTensors,
  captures: readonly [name: string, buffer: GPUBuffer][],
): void {
  const bound: [name: string, buffer: GPUBuffer | undefined][] = [
    ["query", tensors.query.buffer],
    ["key", tensors.key?.buffer],
    ["value", tensors.value?.buffer],
    ...(tensors.arenas ?? []).map((arena, i): [string, GPUBuffer] => [
      `arenas[${i}]`,
      arena.buffer,
    ]),
    ...captures,
  ];
  const { output, lse } = tensors;
  for (const [name, written] of [["output", output], ["lse", lse]] as const) {
    if (!written) continue;
    const shared = bound.find(([, buffer]) => buffer === written.buffer);
    checkType(
      shared === undefined,
      name,
      `must not share a buffer with ${shared?.[0]}`,
      written,
    );
    bound.push([name, written.buffer]);
  }
}

function checkedParts(
  gpu: Gpu,
  problem: AttentionProblem,
  options: PartsOptions,
): AttentionParts {
  checkSelection(gpu, problem.selection);
  checkIndexing(gpu, problem);
  const parts = attentionParts(problem, gpu, options);
  for (const own of Object.values(parts.captures)) checkCapture(gpu, own);
  return parts;
}

/** What errors call a captured tensor. */
export function nameOfCapture({ names }: TensorBinding): string {
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
