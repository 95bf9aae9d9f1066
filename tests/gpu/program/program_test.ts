import { assertEquals, assertThrows } from "@std/assert";
import {
  BufferUsage,
  type GpuTensor,
  Program,
  type ProgramParts,
} from "../../../src/gpu/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { addKernel, doubleKernel } from "../kernels.ts";
import { addition, outputOf, throughState } from "../programs.ts";

gpuTest(
  "Program records dispatches in order, with their uniforms and words",
  async (_t, gpu) => {
    const { dispatches: [dispatch], words } = addition(3, [1, 2]);
    using program = await Program.create(gpu, "test", {
      words,
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
    const output = await outputOf(gpu, 2, (resources) =>
      gpu.submit(
        "test",
        (encoder) => program.encode(encoder, { ...resources, other }),
      ));
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
  "Program.encode() records a pass for each dispatch that is described",
  async (_t, gpu) => {
    const { words, dispatches } = addition(1, [1]);
    using program = await Program.create(gpu, "test", {
      words,
      dispatches: [
        ...dispatches,
        { ...dispatches[0], source: addKernel("again") },
      ],
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
    assertEquals(described, ["add", "again"]);
    assertEquals(output, [2]);
  },
);

gpuTest("Program records nothing where it has no dispatches", (_t, gpu) => {
  using program = new Program(gpu, "test");
  gpu.submit("test", (encoder) => program.encode(encoder));
  assertEquals(program.explain(), { dispatches: [], scratchBytes: 0 });
  program.update({ dispatches: [] });
  gpu.submit("test", (encoder) => program.encode(encoder));
});

gpuTest("Program.update() grows and shrinks", async (_t, gpu) => {
  using program = new Program(gpu, "test");
  await program.compile([addKernel()]);
  for (const length of [1, 3, 100, 2, 1000, 70, 1001, 5]) {
    const words = Array.from({ length }, (_, i) => i + length);
    program.update(addition(2, words));
    const output = await outputOf(
      gpu,
      length,
      (resources) =>
        gpu.submit("test", (encoder) => program.encode(encoder, resources)),
    );
    assertEquals(output, words.map((word) => 2 + word));
  }
});

gpuTest("Program.update() takes words by any names", async (_t, gpu) => {
  using program = new Program(gpu, "test");
  await program.compile([addKernel()]);
  for (const name of ["a", "b", "words", "a"]) {
    const { dispatches, words } = addition(1, [name.length, 2]);
    program.update({
      dispatches: [{ ...dispatches[0], aliases: { words: name } }],
      words: { [name]: words!.words, more: new Uint32Array() },
    });
    const output = await outputOf(
      gpu,
      2,
      (resources) =>
        gpu.submit("test", (encoder) => program.encode(encoder, resources)),
    );
    assertEquals(output, [1 + name.length, 3]);
  }
});

gpuTest("Program holds scratch while it fits", async (_t, gpu) => {
  const program = new Program(gpu, "test");
  await program.compile(throughState(1).dispatches.map((d) => d.source));
  const made: number[] = [];
  for (const length of [4, 2, 1000, 3]) {
    const { buffers } = await objectsMadeBy(
      gpu,
      () => program.update(throughState(length)),
    );
    made.push(buffers);
    assertEquals(program.explain().scratchBytes, 4 * length);
    const output = await outputOf(
      gpu,
      length,
      (resources) =>
        gpu.submit("test", (encoder) => program.encode(encoder, resources)),
    );
    assertEquals(output, new Array(length).fill(3));
  }
  // A buffer for the words, and one of scratch.
  assertEquals(made, [2, 0, 2, 0]);
  assertEquals(gpu.scratch.idle.count, 1);
  program.destroy();
  assertEquals(gpu.scratch.idle.count, 2);
});

gpuTest(
  "Program poisons its scratch before each run, where the pool does",
  async (_t, gpu) => {
    // More than one copy of poison.
    const length = 20000;
    const { dispatches, scratch, words } = throughState(length);
    const read = { dispatches: dispatches.slice(1), scratch };
    using program = await Program.create(gpu, "test", read);
    const run = async (parts: ProgramParts) => {
      program.update(parts);
      const output = await outputOf(
        gpu,
        length,
        (resources) =>
          gpu.submit("test", (encoder) => program.encode(encoder, resources)),
      );
      return [...new Set(output)];
    };
    await program.compile([addKernel()]);
    assertEquals(await run(read), [NaN]);
    assertEquals(await run({ dispatches, scratch, words }), [3]);
    assertEquals(await run(read), [NaN]);
    gpu.scratch.poison = false;
    try {
      assertEquals(await run({ dispatches, scratch, words }), [3]);
      assertEquals(await run(read), [3]);
    } finally {
      gpu.scratch.poison = true;
    }
  },
);

gpuTest(
  "Program binds what a caller gives, whole or in part",
  async (_t, gpu) => {
    using program = await Program.create(gpu, "test", addition(2, [1, 5]));
    using buffer = gpu.createBuffer({
      size: 512,
      usage: BufferUsage.storage | BufferUsage.copyDst,
    });
    gpu.wrap(buffer.buffer, "f32", [2], 256).write(new Float32Array([4, 6]));
    using output = gpu.empty("f32", [2]);
    gpu.submit("test", (encoder) =>
      program.encode(encoder, {
        values: { buffer: buffer.buffer, offset: 256, size: 8 },
        output: output as GpuTensor,
        another: undefined,
      }));
    assertEquals([...await gpu.readOne(output)], [9, 17]);
  },
);

gpuTest(
  "Program.encode() copies into words, which the next update writes again",
  async (_t, gpu) => {
    const { dispatches, words } = addition(1, [10, 0, 0, 0, 0]);
    using program = await Program.create(gpu, "test", {
      dispatches,
      words,
      copies: [{ from: "ids", to: "words", at: 4 }],
    });
    using ids = gpu.tensor(Uint32Array.of(1, 2, 3, 4), [4]);
    using others = gpu.tensor(Uint32Array.of(5, 6, 7, 8), [4]);
    const outputs: number[][] = [];
    for (const copied of [ids, others]) {
      outputs.push(
        await outputOf(
          gpu,
          5,
          (resources) =>
            gpu.submit(
              "test",
              (encoder) =>
                program.encode(encoder, { ...resources, ids: copied }),
            ),
        ),
      );
    }
    program.update({ dispatches, words });
    outputs.push(
      await outputOf(
        gpu,
        5,
        (resources) =>
          gpu.submit("test", (encoder) => program.encode(encoder, resources)),
      ),
    );
    assertEquals(outputs, [
      [11, 2, 3, 4, 5],
      [11, 6, 7, 8, 9],
      [11, 1, 1, 1, 1],
    ]);
    // Scratch may have the name that words had.
    const [sum] = dispatches;
    program.update({
      dispatches: [{ ...sum, uniforms: { factor: 1, count: 4 } }],
      scratch: { words: 16 },
      copies: [{ from: "ids", to: "words", at: 0 }],
    });
    const after = await outputOf(
      gpu,
      4,
      (resources) =>
        gpu.submit(
          "test",
          (encoder) => program.encode(encoder, { ...resources, ids }),
        ),
    );
    assertEquals(after, [2, 3, 4, 5]);
  },
);

gpuTest(
  "Program.encode() copies no more than words have room for",
  async (_t, gpu) => {
    const { dispatches, words } = addition(1, [0, 0, 0, 0]);
    using program = await Program.create(gpu, "test", {
      dispatches,
      words,
      copies: [{ from: "ids", to: "words", at: 4 }],
    });
    using ids = gpu.tensor(Uint32Array.of(1, 2, 3, 4), [4]);
    using values = gpu.empty("f32", [4]);
    using output = gpu.empty("f32", [4]);
    assertThrows(
      () =>
        gpu.submit(
          "test",
          (encoder) => program.encode(encoder, { values, output, ids }),
        ),
      RangeError,
      "ids.size must be a multiple of 4 within the 16 bytes of words from 4",
    );
  },
);
