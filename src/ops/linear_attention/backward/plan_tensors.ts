/**
 * What a plan of linear attention's gradients is given, held against its
 * problem.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../../gpu/mod.ts";
import { checkTensor, checkWritten } from "../../plan/tensors.ts";
import {
  checkLinearInputs,
  checkWanted,
  stateElements,
} from "../plan_tensors.ts";
import { gradientShape } from "./gradient_rows.ts";
import type { LinearBackwardProblem } from "./parts.ts";

/**
 * What the `encode` of a plan of linear attention's gradients reads and writes.
 *
 * @category Attention
 */
export interface LinearBackwardTensors {
  /** As forward has it; of the same name there, like those that follow. */
  readonly query: GpuTensor;
  /** Keys. */
  readonly key: GpuTensor;
  /** Values. */
  readonly value: GpuTensor;
  /** Log gates, where the problem has any. */
  readonly decay?: GpuTensor | undefined;
  /** Strengths, where the problem has any. */
  readonly beta?: GpuTensor | undefined;
  /** The states that sequences begin with, where the problem has any. */
  readonly initialState?: GpuTensor | undefined;
  /** The loss's derivative by the output: like it. */
  readonly outputGradient: GpuTensor;
  /** That by the states that sequences end with, f32; where the plan has it. */
  readonly stateGradient?: GpuTensor | undefined;
  /** Written: `[.., queryHeads, headDim]`, in the problem's layout. */
  readonly queryGradient: GpuTensor;
  /** Written: `[.., keyHeads, headDim]`. */
  readonly keyGradient: GpuTensor;
  /** Written: `[.., valueHeads, valueHeadDim]`. */
  readonly valueGradient: GpuTensor;
  /** Written: as many as there are log gates, f32; where there are any. */
  readonly decayGradient?: GpuTensor | undefined;
  /** Written: as many as there are strengths, f32; where there are any. */
  readonly betaGradient?: GpuTensor | undefined;
  /** Written: like the initial states, f32; where there are any. */
  readonly initialStateGradient?: GpuTensor | undefined;
}

const READ = [
  "query",
  "key",
  "value",
  "decay",
  "beta",
  "initialState",
  "outputGradient",
  "stateGradient",
] as const;

const WRITTEN = [
  "queryGradient",
  "keyGradient",
  "valueGradient",
  "decayGradient",
  "betaGradient",
  "initialStateGradient",
] as const;

/** What errors call resources. */
export const GRADIENT_NAMES = {
  initial_state: "initialState",
  output_gradient: "outputGradient",
  state_gradient: "stateGradient",
  query_gradient: "queryGradient",
  key_gradient: "keyGradient",
  value_gradient: "valueGradient",
  decay_gradient: "decayGradient",
  beta_gradient: "betaGradient",
  initial_state_gradient: "initialStateGradient",
} as const;

/** Tensors by the names of resources. */
export function gradientResources(
  tensors: LinearBackwardTensors,
): Record<string, GpuTensor | undefined> {
  const { query, key, value, decay, beta } = tensors;
  return {
    query,
    key,
    value,
    decay,
    beta,
    ...Object.fromEntries(
      Object.entries(GRADIENT_NAMES).map((
        [resource, name],
      ) => [resource, tensors[name]]),
    ),
  };
}

/**
 * Throws unless tensors are there, of the plan's device, dtypes and sizes, and
 * what is written shares no buffer with another.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkLinearBackwardTensors(
  gpu: Gpu,
  { problem, stateGradient }: LinearBackwardProblem,
  tensors: LinearBackwardTensors,
): void {
  checkLinearInputs(gpu, problem, tensors);
  const { dtype, decay, beta, states, strides } = problem;
  const check = (
    name: typeof READ[number] | typeof WRITTEN[number],
    size: number | undefined,
    type: string = "f32",
  ) => {
    if (!checkWanted(name, tensors[name], size !== undefined)) return;
    checkTensor(gpu, name, tensors[name], { type, size: size! });
  };
  check("outputGradient", strides.output.extent, dtype);
  const elements = stateElements(problem);
  check("stateGradient", stateGradient ? elements : undefined);
  for (const name of ["query", "key", "value"] as const) {
    const shape = gradientShape(problem, name);
    check(`${name}Gradient`, shape.reduce((all, n) => all * n, 1), dtype);
  }
  check("decayGradient", decay?.elements);
  check("betaGradient", beta?.elements);
  check("initialStateGradient", states.initial ? elements : undefined);
  const bufferOf = (name: keyof LinearBackwardTensors) =>
    [name, tensors[name]?.buffer] as const;
  checkWritten(READ.map(bufferOf), WRITTEN.map(bufferOf));
}
