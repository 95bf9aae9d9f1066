/** Small programs for the tests of the device layer. @module */

import type { Gpu, GpuTensor, ProgramParts } from "../../src/gpu/mod.ts";
import { addKernel, readStateKernel } from "./kernels.ts";

/** What a caller binds to the programs here. */
export type TestResources = Readonly<Record<"values" | "output", GpuTensor>>;

/** `output[i] = factor * values[i] + words[i]`. */
export function addition(
  factor: number,
  words: readonly number[],
): ProgramParts {
  const count = words.length;
  return {
    dispatches: [{
      source: addKernel(),
      uniforms: { factor, count, unused: 0.5 },
      grid: [count, 1, 1],
    }],
    words: { words: Uint32Array.from(words) },
  };
}

/** `output[i] = factor * values[i] + 2`, by way of scratch. */
export function throughState(length: number, factor = 1): ProgramParts {
  const { dispatches: [add], words } = addition(
    factor,
    new Array(length).fill(2),
  );
  const { grid } = add;
  return {
    words,
    scratch: { states: 4 * length },
    dispatches: [
      { ...add, aliases: { output: "states" } },
      { source: readStateKernel(), uniforms: {}, grid },
    ],
  };
}

/** What the output holds after `run`; the values are all ones. */
export async function outputOf(
  gpu: Gpu,
  length: number,
  run: (resources: TestResources) => void,
): Promise<number[]> {
  using values = gpu.tensor(new Float32Array(length).fill(1), [length]);
  using output = gpu.empty("f32", [length]);
  run({ values, output });
  return [...await gpu.readOne(output)];
}
