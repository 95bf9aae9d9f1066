import { assertEquals } from "@std/assert";
import {
  type Dispatch,
  type Gpu,
  type GpuTensor,
  Program,
  type ProgramParts,
} from "../../src/gpu/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import { addKernel, doubleKernel } from "./kernels.ts";

/** `output[i] = factor * values[i] + words[i]` for as many as there are words. */
function add(
  factor: number,
  words: readonly number[],
  aliases?: Dispatch["aliases"],
): ProgramParts {
  return {
    dispatches: [{
      source: addKernel(),
      uniforms: { factor, count: words.length, unused: 1 },
      grid: [words.length, 1, 1],
      aliases,
    }],
    words: { words: Uint32Array.from(words) },
  };
}

/** Runs `record` with an input of ones and gives what the output then holds. */
async function outputOf(
  gpu: Gpu,
  length: number,
  run: (resources: { values: GpuTensor; output: GpuTensor }) => void,
): Promise<number[]> {
  using values = gpu.tensor(new Float32Array(length).fill(1), [length]);
  using output = gpu.empty("f32", [length]);
  run({ values, output });
  return [...await gpu.readOne(output)];
}

gpuTest(
  "Program records dispatches in order, with their uniforms and words",
  async (_t, gpu) => {
    const [dispatch] = add(3, [1, 2]).dispatches;
    using program = await Program.create(gpu, "test", {
      ...add(3, [1, 2]),
      dispatches: [
        dispatch,
        {
          source: doubleKernel(),
          uniforms: {},
          grid: [1, 1, 1],
          aliases: { values: "output" },
        },
        {
          ...dispatch,
          uniforms: { factor: 7, count: 1 },
          aliases: { output: "other" },
        },
      ],
    });
    using other = gpu.empty("f32", [2]);
    const output = await outputOf(
      gpu,
      2,
      (resources) =>
        gpu.submit(
          "test",
          (encoder) => program.encode(encoder, { ...resources, other }),
        ),
    );
    assertEquals(output, [8, 5]);
    assertEquals([...await gpu.readOne(other)], [8, 0]);
    assertEquals(program.explain(), {
      dispatches: [
        { kernel: "add", grid: [2, 1, 1] },
        { kernel: "double", grid: [1, 1, 1] },
        { kernel: "add", grid: [2, 1, 1] },
      ],
      scratchBytes: 0,
    });
  },
);

gpuTest(
  "Program records a pass for each dispatch where they are described",
  async (_t, gpu) => {
    using program = await Program.create(gpu, "test", {
      ...add(1, [1]),
      dispatches: [...add(1, [1]).dispatches, ...add(2, [1]).dispatches],
    });
    const described: string[] = [];
    const output = await outputOf(
      gpu,
      1,
      (resources) =>
        gpu.submit("test", (encoder) =>
          program.encode(encoder, resources, {
            describe: (label) => (described.push(label), { label }),
          })),
    );
    assertEquals(described, ["add", "add"]);
    assertEquals(output, [3]);
  },
);

gpuTest("Program records nothing before its first update", async (_t, gpu) => {
  using program = new Program(gpu, "test");
  gpu.submit("test", (encoder) => program.encode(encoder));
  assertEquals(program.explain(), { dispatches: [], scratchBytes: 0 });
  program.update({ dispatches: [] });
  gpu.submit("test", (encoder) => program.encode(encoder));
  await gpu.flushErrors();
});
