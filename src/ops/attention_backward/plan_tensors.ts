/**
 * The tensors of a backward plan, held against its problem.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import type { Gpu } from "../../gpu/mod.ts";
import {
  arenaBuffers,
  checkArenas,
  checkBlockMask,
  checkBlockTable,
} from "../attention/plan_tensors.ts";
import {
  checkTensor,
  checkWritten,
  type NamedBuffers,
} from "../plan/tensors.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import { tensorElements } from "../attention/rows.ts";
import type { CapturedFloats } from "../../mods/mod.ts";
import { captureElements } from "./capture_pass.ts";
import { gradientPlaces, type GradientStrides } from "./gradient_strides.ts";
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
  { problem, lseGradient, captureGradients, gradientStrides }: {
    readonly problem: AttentionProblem;
    readonly lseGradient: boolean;
    readonly captureGradients: readonly CapturedFloats[];
    readonly gradientStrides: GradientStrides;
  },
): void {
  const { dtype, keys } = problem;
  const elements = tensorElements(problem);
  const { elements: gradients } = gradientPlaces(problem, gradientStrides);
  const check = (
    name: Exclude<
      keyof BackwardTensors,
      "captureGradients" | "arenas" | "blockMask" | "blockTable"
    >,
    size: number,
    type: string,
    least = false,
  ) => checkTensor(gpu, name, tensors[name], { type, size, least });
  const rows = (name: "query" | "key" | "value" | "output") =>
    check(name, elements[name], dtype, problem.strides?.[name] !== undefined);
  rows("query");
  if (keys.segments > 0) checkArenas(tensors.arenas, problem);
  else {
    rows("key");
    rows("value");
  }
  checkBlockMask(gpu, problem, tensors.blockMask);
  checkBlockTable(gpu, problem, tensors.blockTable);
  rows("output");
  check("lse", elements.lse, "f32");
  check(
    "outputGradient",
    elements.output,
    dtype,
    problem.strides?.output !== undefined,
  );
  if (lseGradient) check("lseGradient", elements.lse, "f32");
  else {
    checkType(
      tensors.lseGradient === undefined,
      "lseGradient",
      "must be given to a plan that was made with lseGradient: true only",
      tensors.lseGradient,
    );
  }
  for (const name of ["query", "key", "value"] as const) {
    const apart = gradientStrides[name] !== undefined;
    check(`${name}Gradient`, gradients[name], dtype, apart);
  }
  const given = tensors.captureGradients ?? [];
  checkType(
    given.length === captureGradients.length,
    "captureGradients",
    `must be as many as the plan has (${captureGradients.length})`,
    given.length,
  );
  captureGradients.forEach((captured, g) => {
    checkTensor(gpu, `captureGradients[${g}]`, given[g], {
      type: "f32",
      size: captureElements(captured),
    });
  });
}

const READ = [
  "query",
  "key",
  "value",
  "output",
  "lse",
  "outputGradient",
  "lseGradient",
] as const;
const WRITTEN = ["queryGradient", "keyGradient", "valueGradient"] as const;

/**
 * Throws where a tensor that is written shares its buffer with another.
 *
 * @throws {TypeError} naming both
 */
export function checkBackwardWritten(
  tensors: BackwardTensors,
  captures: NamedBuffers,
): void {
  checkWritten(
    [
      ...arenaBuffers(tensors.arenas),
      ...captures,
      ...READ.map((name) => [name, tensors[name]?.buffer] as const),
    ],
    [
      ...WRITTEN.map((name) => [name, tensors[name].buffer] as const),
      ...(tensors.captureGradients ?? []).map(({ buffer }, g) =>
        [`captureGradients[${g}]`, buffer] as const
      ),
    ],
  );
}
