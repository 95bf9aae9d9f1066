/**
 * A plan: compiled, sized, reusable, disposable. It is made on the CPU and
 * records into a caller's encoder; lengths may change from step to step.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { bytesPerElement } from "../../core/dtype.ts";
import {
  type BindingResource,
  Gpu,
  type GpuBuffer,
  type GpuTensor,
} from "../../gpu/mod.ts";
import { checkChoices, type PlanChoices } from "./options/choices.ts";
import {
  type PlanExplanation,
  prepare,
  type Prepared,
  release,
} from "./prepare.ts";
import { type AttentionProblem, bufferTokens } from "./problem.ts";

/** What a plan's `encode` reads and writes. */
export interface AttentionTensors {
  /** `[tokens, queryHeads, headDim]`. */
  readonly query: GpuTensor;
  /** Keys; not for a source of arenas. */
  readonly key?: GpuTensor;
  /** Values; not for a source of arenas. */
  readonly value?: GpuTensor;
  /** Arenas, each with keys first. */
  readonly arenas?: readonly GpuBuffer[];
  /** `[tokens, queryHeads, valueHeadDim]`. */
  readonly output: GpuTensor;
  /** `[tokens, queryHeads]`, f32, natural logarithm; where asked for. */
  readonly lse?: GpuTensor | undefined;
}

/** A pass encoder's descriptor, for instance with timestamps. */
export type PassDescriptor = (label: string) => GPUComputePassDescriptor;

/**
 * A plan for attention of one problem, or of later ones that differ only in
 * lengths, offsets and block table.
 */
export class AttentionPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #choices: PlanChoices;
  #prepared: Prepared;
  #destroyed = false;

  private constructor(gpu: Gpu, choices: PlanChoices, prepared: Prepared) {
    this.#gpu = gpu;
    this.#choices = choices;
    this.#prepared = prepared;
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
    checkChoices(choices, gpu);
    const prepared = await prepare(gpu, problem, choices);
    return new AttentionPlan(gpu, choices, prepared);
  }

  /** The problem that the plan is for now. */
  get problem(): AttentionProblem {
    return this.#prepared.problem;
  }

  /** Says which kernels will run, on what tiles, and why not faster ones. */
  explain(): PlanExplanation {
    return this.#prepared.explanation;
  }

  /**
   * Takes another problem: other lengths, offsets, a longer block table. What
   * has been compiled is not compiled again. Until the promise resolves, and
   * after an error, the plan is as before. What it has recorded must have been
   * submitted by then, as its buffers are replaced.
   *
   * @throws {TypeError} if the plan is destroyed, then or meanwhile
   * @throws {RangeError} if sizes exceed the device's limits
   */
  async update(problem: AttentionProblem): Promise<void> {
    this.#check();
    const next = await prepare(this.#gpu, problem, this.#choices);
    if (this.#destroyed) release(next);
    this.#check();
    release(this.#prepared);
    this.#prepared = next;
  }

  /**
   * Records the dispatches. Nothing is submitted.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size
   */
  encode(
    encoder: GPUCommandEncoder,
    tensors: AttentionTensors,
    describe: PassDescriptor = (label) => ({ label }),
  ): void {
    this.#check();
    this.#checkTensors(tensors);
    checkAliasing(tensors);
    const resources = this.#resources(tensors);
    const groups = this.#prepared.steps.map(({ kernel, uniforms }) =>
      this.#gpu.bind(
        kernel,
        Object.fromEntries(
          kernel.bindings.map(({ name }) => [
            name,
            name === "params" ? uniforms : resources[name]!,
          ]),
        ),
      )
    );
    this.#prepared.steps.forEach(({ kernel, label, grid }, i) => {
      const pass = encoder.beginComputePass(describe(label));
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, groups[i]);
      pass.dispatchWorkgroups(...grid);
      pass.end();
    });
  }

  /** Frees the plan's buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    release(this.#prepared);
  }

  /** The same as {@linkcode AttentionPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }

  #resources(tensors: AttentionTensors): Record<string, BindingResource> {
    const { schedule, captures, scratch } = this.#prepared;
    return {
      query: tensors.query,
      output: tensors.output,
      schedule,
      ...(tensors.key && { key: tensors.key }),
      ...(tensors.value && { value: tensors.value }),
      ...(tensors.lse && { lse: tensors.lse }),
      ...(captures && { captures }),
      ...(scratch && { states: scratch, scratch }),
      ...Object.fromEntries(
        (tensors.arenas ?? []).map((arena, s) => [`arena_${s}`, arena]),
      ),
    };
  }

  #checkTensors(tensors: AttentionTensors): void {
    const { dtype, queryTokens, queryHeads, kvHeads, source } =
      this.#prepared.problem;
    const { headDim, valueHeadDim } = this.#prepared.problem;
    const check = (
      name: string,
      tensor: GpuTensor | undefined,
      rows: number,
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
        tensor.size === rows,
        name,
        `must have ${rows} elements`,
        tensor.size,
      );
      void tensor.buffer;
    };
    check("query", tensors.query, queryTokens * queryHeads * headDim, dtype);
    check(
      "output",
      tensors.output,
      queryTokens * queryHeads * valueHeadDim,
      dtype,
    );
    if (this.#prepared.problem.lse) {
      check("lse", tensors.lse, queryTokens * queryHeads, "f32");
    }
    const tokens = bufferTokens(source);
    if (source.segments > 0) {
      const bytes = tokens * kvHeads * (headDim + valueHeadDim) *
        bytesPerElement(dtype);
      checkArenas(tensors.arenas, source.segments, bytes);
      return;
    }
    check("key", tensors.key, tokens * kvHeads * headDim, dtype);
    check("value", tensors.value, tokens * kvHeads * valueHeadDim, dtype);
  }
}

function checkArenas(
  arenas: readonly GpuBuffer[] | undefined,
  count: number,
  bytes: number,
): void {
  checkType(
    arenas?.length === count,
    "arenas",
    `must be ${count} buffers`,
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

/** WebGPU refuses a buffer that one dispatch both reads and writes. */
function checkAliasing(tensors: AttentionTensors): void {
  for (const result of ["output", "lse"] as const) {
    const written = tensors[result]?.buffer;
    for (const name of ["query", "key", "value"] as const) {
      checkType(
        written === undefined || tensors[name]?.buffer !== written,
        result,
        `must not share a buffer with ${name}`,
        tensors[result],
      );
    }
  }
}
