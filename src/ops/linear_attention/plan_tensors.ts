/**
 * What a plan of linear attention is given, held against its problem.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../gpu/mod.ts";
import { checkType } from "../../core/check.ts";
import { checkTensor, checkWritten } from "../plan/tensors.ts";
import type { LinearProblem } from "./options/problem.ts";

/**
 * What the `encode` of a plan of linear attention reads and writes.
 *
 * @category Attention
 */
export interface LinearTensors {
  /** Queries; where the options give strides, what holds them. */
  readonly query: GpuTensor;
  /** Keys; likewise. */
  readonly key: GpuTensor;
  /** Values; likewise. */
  readonly value: GpuTensor;
  /** Log gates, where the problem has any. */
  readonly decay?: GpuTensor | undefined;
  /** Strengths, where the problem has any. */
  readonly beta?: GpuTensor | undefined;
  /** The states that sequences begin with, where the problem has any. */
  readonly initialState?: GpuTensor | undefined;
  /** The pool of states, where the problem has one: read and written. */
  readonly states?: GpuTensor | undefined;
  /** Keys of the prefix, where the problem has one. */
  readonly prefixKey?: GpuTensor | undefined;
  /** Values of the prefix, where the problem has one. */
  readonly prefixValue?: GpuTensor | undefined;
  /** Written: `[.., outputHeads, valueHeadDim]`. */
  readonly output: GpuTensor;
  /** Written: the states that sequences end with, where they are wanted. */
  readonly state?: GpuTensor | undefined;
}

/** What errors call resources. */
export const RESOURCE_NAMES = {
  initial_state: "initialState",
  final_state: "state",
  state_pool: "states",
  prefix_key: "prefixKey",
  prefix_value: "prefixValue",
} as const;

/** Tensors by the names of resources. */
export function linearResources(
  tensors: LinearTensors,
): Record<string, GpuTensor | undefined> {
  const { initialState, states, state, prefixKey, prefixValue, ...rest } =
    tensors;
  return {
    ...rest,
    prefix_key: prefixKey,
    prefix_value: prefixValue,
    initial_state: initialState,
    state_pool: states,
    final_state: state,
  };
}

/** Elements of a problem's states: of one a sequence, or of the pool. */
export function stateElements(problem: LinearProblem): number {
  const { stateHeads, stateRows, stateColumns, sequences, states } = problem;
  return (states.slots ?? sequences.length) * stateHeads * stateRows *
    stateColumns;
}

/** What forward and backward both read. */
export type LinearInputs = Pick<
  LinearTensors,
  "query" | "key" | "value" | "decay" | "beta" | "initialState"
>;

/**
 * Throws unless the inputs are there, of the plan's device, dtypes and sizes.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkLinearInputs(
  gpu: Gpu,
  problem: LinearProblem,
  tensors: LinearInputs,
): void {
  const { dtype, decay, beta, states } = problem;
  for (const name of ["query", "key", "value"] as const) {
    checkTensor(gpu, name, tensors[name], {
      type: dtype,
      size: problem.strides[name].extent,
      least: problem.strided.includes(name),
    });
  }
  for (const [name, gate] of [["decay", decay], ["beta", beta]] as const) {
    if (!checkWanted(name, tensors[name], gate !== undefined)) continue;
    checkTensor(gpu, name, tensors[name], {
      type: gate!.dtype,
      size: gate!.elements,
    });
  }
  const initial = states.initial && states.slots === undefined;
  if (!checkWanted("initialState", tensors.initialState, initial)) return;
  const size = stateElements(problem);
  checkTensor(gpu, "initialState", tensors.initialState, { type: "f32", size });
}

/**
 * Throws unless tensors are there, of the plan's device, dtypes and sizes, and
 * what is written shares no buffer with another.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkLinearTensors(
  gpu: Gpu,
  problem: LinearProblem,
  tensors: LinearTensors,
): void {
  checkLinearInputs(gpu, problem, tensors);
  const { dtype, states, strides } = problem;
  checkTensor(gpu, "output", tensors.output, {
    type: dtype,
    size: strides.output.extent,
  });
  const { prefix } = problem;
  for (
    const [name, of] of [["prefixKey", "key"], [
      "prefixValue",
      "value",
    ]] as const
  ) {
    if (!checkWanted(name, tensors[name], prefix !== undefined)) continue;
    checkTensor(gpu, name, tensors[name], {
      type: dtype,
      size: prefix![of].extent,
      least: prefix!.strided.includes(of),
    });
  }
  const pool = states.slots !== undefined;
  const wanted = { states: pool, state: states.final && !pool };
  for (const name of ["states", "state"] as const) {
    if (!checkWanted(name, tensors[name], wanted[name])) continue;
    const size = stateElements(problem);
    checkTensor(gpu, name, tensors[name], { type: "f32", size });
  }
  const bufferOf = (name: keyof LinearTensors) =>
    [name, tensors[name]?.buffer] as const;
  checkWritten(
    ([
      "query",
      "key",
      "value",
      "decay",
      "beta",
      "initialState",
      "prefixKey",
      "prefixValue",
    ] as const).map(bufferOf),
    (["states", "output", "state"] as const).map(bufferOf),
  );
}

/** Whether a tensor is wanted; throws where one is given that is not. */
export function checkWanted(
  name: string,
  tensor: GpuTensor | undefined,
  wanted: boolean,
): boolean {
  checkType(
    wanted || tensor === undefined,
    name,
    "must not be given, as the plan's problem has none",
    tensor,
  );
  return wanted;
}
