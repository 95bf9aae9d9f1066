/**
 * The tensors of a backward plan, held against its problem.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { type Gpu, GpuTensor } from "../../gpu/mod.ts";
import { checkArenas } from "../attention/plan_tensors.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import { tensorElements } from "../attention/rows.ts";
import type { CapturedFloats } from "../../mods/mod.ts";
import { captureElements } from "./capture_pass.ts";
import { gradientElements } from "./gradient_spans.ts";
import type { BackwardTensors } from "./backward_tensors.ts";

/**
 * Throws unless every tensor is there, alive, of this device, and as the
 * problem has it.
 *
 * @throws {TypeError} naming the tensor
 */
export function checkBackwardTensors(
  gpu: Gpu,
  tensors: BackwardTensors,
  { problem, lseGradient, captureGradients }: {
    readonly problem: AttentionProblem;
    readonly lseGradient: boolean;
    readonly captureGradients: readonly CapturedFloats[];
  },
): void {
  const { dtype, keys } = problem;
  const elements = tensorElements(problem);
  const gradients = gradientElements(problem);
  const check = (
    name: Exclude<keyof BackwardTensors, "captureGradients">,
    size: number,
    type: string,
  ) => {
    const tensor = tensors[name];
    checkType(tensor instanceof GpuTensor, name, "must be a GpuTensor", tensor);
    checkType(tensor.gpu === gpu, name, "must be of the plan's Gpu", tensor);
    checkType(tensor.dtype === type, name, `must be ${type}`, tensor.dtype);
    checkType(
      tensor.size === size,
      name,
      `must have ${size} elements`,
      tensor.size,
    );
    void tensor.buffer;
  };
  check("query", elements.query, dtype);
  if (keys.segments > 0) checkArenas(tensors.arenas, problem);
  else {
    check("key", elements.key, dtype);
    check("value", elements.value, dtype);
  }
  check("output", elements.output, dtype);
  check("lse", elements.lse, "f32");
  check("outputGradient", elements.output, dtype);
  if (lseGradient) check("lseGradient", elements.lse, "f32");
  else {
    checkType(
      tensors.lseGradient === undefined,
      "lseGradient",
      "must be given to a plan that was made with lseGradient: true only",
      tensors.lseGradient,
    );
  }
  check("queryGradient", gradients.query, dtype);
  check("keyGradient", gradients.key, dtype);
  check("valueGradient", gradients.value, dtype);
  const given = tensors.captureGradients ?? [];
  checkType(
    given.length === captureGradients.length,
    "captureGradients",
    `must be as many as the plan has (${captureGradients.length})`,
    given.length,
  );
  captureGradients.forEach((captured, g) => {
    const name = `captureGradients[${g}]`;
    const tensor = given[g];
    const size = captureElements(captured);
    checkType(tensor instanceof GpuTensor, name, "must be a GpuTensor", tensor);
    checkType(tensor.gpu === gpu, name, "must be of the plan's Gpu", tensor);
    checkType(tensor.dtype === "f32", name, "must be f32", tensor.dtype);
    checkType(
      tensor.size === size,
      name,
      `must have ${size} elements`,
      tensor.size,
    );
    void tensor.buffer;
  });
}

/**
 * Throws where a tensor that is written shares its buffer with another.
 *
 * @throws {TypeError} naming both
 */
export function checkBackwardWritten(
  tensors: BackwardTensors,
  captures: readonly { readonly name: string; readonly tensor: GpuTensor }[],
): void {
  const { arenas = [] } = tensors;
  const bound: [name: string, buffer: GPUBuffer][] = arenas.map(
    (arena, i) => [`arenas[${i}]`, arena.buffer],
  );
  for (const { name, tensor } of captures) bound.push([name, tensor.buffer]);
  const read = [
    "query",
    "key",
    "value",
    "output",
    "lse",
    "outputGradient",
    "lseGradient",
  ] as const;
  for (const name of read) {
    const tensor = tensors[name];
    if (tensor) bound.push([name, tensor.buffer]);
  }
  const written: readonly [string, GpuTensor][] = [
    ...["queryGradient", "keyGradient", "valueGradient"].map((
      name,
    ): [string, GpuTensor] => [
      name,
      tensors[name as "queryGradient" | "keyGradient" | "valueGradient"],
    ]),
    ...(tensors.captureGradients ?? []).map((
      tensor,
      g,
    ): [string, GpuTensor] => [
      `captureGradients[${g}]`,
      tensor,
    ]),
  ];
  for (const [name, tensor] of written) {
    const { buffer } = tensor;
    const shared = bound.find(([, other]) => other === buffer);
    checkType(
      shared === undefined,
      name,
      `must not share a buffer with ${shared?.[0]}`,
      tensor,
    );
    bound.push([name, buffer]);
  }
}
