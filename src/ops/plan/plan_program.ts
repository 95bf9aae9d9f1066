/**
 * What all plans have in common: a program, and the problem that it was worked
 * out of, whose place another one may take.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import {
  type BindingResource,
  type EncodeOptions,
  Gpu,
  Program,
  type ProgramExplanation,
  type ProgramParts,
} from "../../gpu/mod.ts";

/** What a problem is worked out to. */
export interface PlanParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
}

/** How a plan's problems become programs. */
export interface PlanOptions<Problem, Parts extends PlanParts> {
  /** What the program is called. */
  readonly label: string;
  /** The problem that it is for at first. */
  readonly problem: Problem;
  /** Checks a problem against the device and works it out; pure. */
  readonly work: (problem: Problem) => Parts;
}

/**
 * The program of a plan. It is always that of the last problem that it took
 * whole: after an error, and until what an update needs is compiled, it is as
 * before. What was recorded stays as it was recorded.
 */
export class PlanProgram<Problem, Parts extends PlanParts> {
  /** The device. */
  readonly gpu: Gpu;
  readonly #program: Program;
  readonly #work: (problem: Problem) => Parts;
  #problem: Problem;
  #parts: Parts;
  #destroyed = false;

  private constructor(
    program: Program,
    made: {
      readonly gpu: Gpu;
      readonly problem: Problem;
      readonly parts: Parts;
      readonly work: (problem: Problem) => Parts;
    },
  ) {
    this.gpu = made.gpu;
    this.#program = program;
    this.#work = made.work;
    this.#problem = made.problem;
    this.#parts = made.parts;
  }

  /**
   * Works out, compiles and sizes a program; nothing runs yet.
   *
   * @throws what `work` throws, and {@linkcode Program.create}
   */
  static async create<Problem, Parts extends PlanParts>(
    gpu: Gpu,
    { label, problem, work }: PlanOptions<Problem, Parts>,
  ): Promise<PlanProgram<Problem, Parts>> {
    checkGpu(gpu);
    const parts = work(problem);
    const program = await Program.create(gpu, label, parts.parts);
    return new PlanProgram(program, { gpu, problem, parts, work });
  }

  /** The problem that it is for now. */
  get problem(): Problem {
    return this.#problem;
  }

  /** What that was worked out to. */
  get parts(): Parts {
    return this.#parts;
  }

  /**
   * Takes another problem.
   *
   * @throws {TypeError} if it is destroyed, then or meanwhile
   * @throws what `work` throws
   */
  async update(problem: Problem): Promise<void> {
    this.check();
    const parts = this.#work(problem);
    const { dispatches } = parts.parts;
    await this.#program.compile(dispatches.map(({ source }) => source));
    this.check();
    this.#program.update(parts.parts);
    this.#problem = problem;
    this.#parts = parts;
  }

  /** Records the dispatches, as {@linkcode Program.encode} does. */
  encode(
    encoder: GPUCommandEncoder,
    resources: Readonly<Record<string, BindingResource | undefined>>,
    options?: EncodeOptions,
  ): void {
    this.check();
    this.#program.encode(encoder, resources, options);
  }

  /** What runs, for people. */
  explain(): ProgramExplanation {
    return this.#program.explain();
  }

  /** Frees its buffers; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    this.#program.destroy();
  }

  /** Throws where the plan is destroyed, or its device lost. */
  check(): void {
    this.gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }
}

/** Throws unless a plan can be made for this. */
export function checkGpu(gpu: Gpu): void {
  checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
  gpu.check();
}
