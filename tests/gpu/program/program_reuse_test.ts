import { assert, assertEquals, assertThrows } from "@std/assert";
import { type Gpu, type GpuTensor, Program } from "../../../src/gpu/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { outputOf, throughState } from "../programs.ts";

const NONE = { buffers: 0, destroyed: 0, bindGroups: 0 };

/** A program that adds words by way of scratch. */
function stateProgram(gpu: Gpu, length = 1): Promise<Program> {
  return Program.create(gpu, "test", throughState(length));
}

/** An encoder that the `Gpu` does not know. */
function foreignEncoder({ device }: Gpu): GPUCommandEncoder {
  return device.createCommandEncoder();
}

gpuTest(
  "Program makes no buffer and no bind group in a step like the last",
  async (_t, gpu) => {
    using values = gpu.tensor(new Float32Array(8).fill(1), [8]);
    using layers = tensors(gpu, 5, 8);
    using program = await stateProgram(gpu, 8);
    const step = (i: number) => {
      program.update(throughState(8 - i, i));
      gpu.submit("test", (encoder) => {
        for (const output of layers.all) {
          program.encode(encoder, { values, output });
        }
      });
    };
    const first = await objectsMadeBy(gpu, () => step(1));
    // One of the words and the state for all, and one of the state for each.
    assertEquals(first.bindGroups, 6);
    for (let i = 2; i < 6; i++) {
      assertEquals(await objectsMadeBy(gpu, () => step(i)), NONE);
    }
    for (const array of await gpu.read(layers.all)) {
      assertEquals([...array], [7, 7, 7, 6, 5, 4, 3, 0]);
    }
  },
);

gpuTest(
  "Program makes nothing where one submit holds several updates",
  async (_t, gpu) => {
    using values = gpu.tensor(new Float32Array(4).fill(1), [4]);
    using outputs = tensors(gpu, 3, 4);
    using program = await stateProgram(gpu, 4);
    const step = (factor: number) =>
      gpu.submit("test", (encoder) =>
        outputs.all.forEach((output, i) => {
          program.update(throughState(4, factor + i));
          program.encode(encoder, { values, output });
        }));
    const { buffers } = await objectsMadeBy(gpu, () => step(1));
    // The first update is met by the slot of `create()`.
    assertEquals(buffers, 2);
    for (const factor of [5, 9]) {
      assertEquals(await objectsMadeBy(gpu, () => step(factor)), NONE);
      const arrays = await gpu.read(outputs.all);
      assertEquals(
        arrays.map((array) => array[3]),
        [factor + 2, factor + 3, factor + 4],
      );
    }
  },
);

gpuTest(
  "Gpu.submit() of a caller's encoder lets a program use its buffers again",
  async (_t, gpu) => {
    using values = gpu.tensor(new Float32Array(4).fill(1), [4]);
    using output = gpu.empty("f32", [4]);
    using program = await stateProgram(gpu, 4);
    const step = (factor: number) => {
      program.update(throughState(4, factor));
      const encoder = foreignEncoder(gpu);
      program.encode(encoder, { values, output });
      program.encode(encoder, { values, output });
      gpu.submit(encoder);
    };
    step(1);
    for (const factor of [4, 7]) {
      assertEquals(await objectsMadeBy(gpu, () => step(factor)), NONE);
      assertEquals(
        [...await gpu.readOne(output)],
        new Array(4).fill(factor + 2),
      );
    }
  },
);

gpuTest(
  "Program gives what a caller submits itself to the garbage collector",
  async (_t, gpu) => {
    using values = gpu.tensor(new Float32Array(4).fill(1), [4]);
    using output = gpu.empty("f32", [4]);
    using program = await stateProgram(gpu, 4);
    const step = (factor: number) => {
      program.update(throughState(4, factor));
      const encoder = foreignEncoder(gpu);
      program.encode(encoder, { values, output });
      gpu.queue.submit([encoder.finish()]);
    };
    step(1);
    const { buffers } = gpu.stats;
    for (const factor of [4, 7]) {
      const made = await objectsMadeBy(gpu, () => step(factor));
      assertEquals(made, { buffers: 1, destroyed: 0, bindGroups: 2 });
      assertEquals(gpu.stats.buffers, buffers);
    }
    assertEquals([...await gpu.readOne(output)], new Array(4).fill(9));
  },
);

gpuTest(
  "Gpu.submit() lets go of what was recorded where its callback throws",
  async (_t, gpu) => {
    using values = gpu.tensor(new Float32Array(4).fill(1), [4]);
    using output = gpu.empty("f32", [4]);
    using program = await stateProgram(gpu, 4);
    const fail = () =>
      gpu.submit("test", (encoder) => {
        program.encode(encoder, { values, output });
        throw new Error("mine");
      });
    assertThrows(fail, Error, "mine");
    assertEquals(
      await objectsMadeBy(gpu, () => program.update(throughState(4))),
      NONE,
    );
  },
);

for (const grown of [2, 3000]) {
  const what = grown === 2 ? "that fits" : "that does not fit";
  for (const kind of ["followed", "foreign"] as const) {
    gpuTest(
      `what was recorded before an update ${what} stays valid, ${kind}`,
      async (_t, gpu) => {
        using values = gpu.tensor(new Float32Array(grown).fill(1), [grown]);
        using outputs = tensors(gpu, 3, grown);
        const [first, second, third] = outputs.all;
        using program = await stateProgram(gpu, 2);
        const record = (encoder: GPUCommandEncoder) => {
          program.update(throughState(2, 10));
          program.encode(encoder, { values, output: first });
          program.update(throughState(grown, 20));
          program.encode(encoder, { values, output: second });
          program.update(throughState(2, 30));
          program.encode(encoder, { values, output: third });
        };
        if (kind === "followed") gpu.submit("test", record);
        else {
          const encoder = foreignEncoder(gpu);
          record(encoder);
          program.update(throughState(2, 40));
          gpu.queue.submit([encoder.finish()]);
        }
        const arrays = await gpu.read(outputs.all);
        assertEquals(arrays.map((array) => array[1]), [12, 22, 32]);
        assertEquals(arrays[1][grown - 1], 22);
      },
    );
  }
}

for (const kind of ["followed", "foreign"] as const) {
  gpuTest(
    `what was recorded before destroy() stays valid, ${kind}`,
    async (_t, gpu) => {
      const output = await outputOf(gpu, 2, (resources) => {
        const record = (encoder: GPUCommandEncoder, program: Program) => {
          program.encode(encoder, resources);
          program.destroy();
        };
        const program = new Program(gpu, "test");
        program.update(throughState(2, 5));
        if (kind === "followed") {
          gpu.submit("test", (encoder) => record(encoder, program));
        } else {
          const encoder = foreignEncoder(gpu);
          record(encoder, program);
          gpu.trim();
          gpu.queue.submit([encoder.finish()]);
        }
      });
      assertEquals(output, [7, 7]);
    },
  );
}

gpuTest("Program keeps few buffers as it grows", async (_t, gpu) => {
  using program = new Program(gpu, "test");
  await program.compile(throughState(1).dispatches.map((d) => d.source));
  const { buffers, destroyed } = await objectsMadeBy(gpu, () => {
    for (let length = 1; length < 2000; length++) {
      program.update(throughState(length));
    }
    program.destroy();
    gpu.trim();
  });
  assert(buffers < 40, `${buffers}`);
  assertEquals(destroyed, buffers);
});

/** Empty f32 tensors that go together. */
function tensors(gpu: Gpu, count: number, length: number) {
  const all: GpuTensor[] = Array.from(
    { length: count },
    () => gpu.empty("f32", [length]),
  );
  return {
    all,
    [Symbol.dispose]: () => all.forEach((tensor) => tensor.destroy()),
  };
}
