/**
 * Everything about sizes that WGSL would get wrong silently: 32-bit indices and
 * bindings. Checked on the CPU before anything is compiled.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import { bytesPerElement } from "../../core/dtype.ts";
import type { Gpu } from "../../gpu/mod.ts";
import { stateElements } from "./plan_tensors.ts";
import type { LinearProblem } from "./options/problem.ts";

/**
 * Throws unless every tensor of a problem fits a binding of the device, and with
 * it 32-bit indices.
 *
 * @throws {RangeError} naming the tensor, the limit and the size
 */
export function checkLinearLimits(gpu: Gpu, problem: LinearProblem): void {
  const { dtype, strides, decay, beta, states } = problem;
  const rows = bytesPerElement(dtype);
  const bytes: Record<string, number> = {};
  for (const name of ["query", "key", "value", "output"] as const) {
    bytes[name] = strides[name].extent * rows;
  }
  if (decay) bytes.decay = decay.elements * bytesPerElement(decay.dtype);
  if (beta) bytes.beta = beta.elements * bytesPerElement(beta.dtype);
  if (states.initial || states.final) {
    bytes[states.slots === undefined ? "state" : "states"] = 4 *
      stateElements(problem);
  }
  if (problem.prefix) {
    bytes["prefix.key"] = problem.prefix.key.extent * rows;
    bytes["prefix.value"] = problem.prefix.value.extent * rows;
  }
  const binding = gpu.limits.maxStorageBufferBindingSize;
  for (const [name, count] of Object.entries(bytes)) {
    checkRange(
      count <= binding,
      name,
      `must fit one binding: maxStorageBufferBindingSize is ${binding} bytes`,
      count,
    );
  }
}
