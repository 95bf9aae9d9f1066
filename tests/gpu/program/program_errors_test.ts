import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  DeviceLostError,
  Program,
  UnsupportedError,
} from "../../../src/gpu/mod.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { addKernel, BROKEN, doubleKernel } from "../kernels.ts";
import { addition, outputOf, throughState } from "../programs.ts";

gpuTest("Program.update() that throws changes nothing", async (_t, gpu) => {
  using program = await Program.create(gpu, "test", addition(2, [1, 2]));
  const before = program.explain();
  const { buffers, bytes } = gpu.stats;
  const { dispatches: [dispatch], words } = addition(3, [4, 5, 6]);
  const other = { ...dispatch, source: { ...dispatch.source, code: "none" } };
  const limit = gpu.limits.maxStorageBufferBindingSize;
  const update = (change: object, more: object = {}) => () =>
    program.update({
      dispatches: [{ ...dispatch, ...change }],
      words: words!,
      ...more,
    });
  for (
    const [fault, type, message] of [
      [
        update(other),
        TypeError,
        'dispatches[0].source must be compiled: current value is "add"',
      ],
      [
        update({ uniforms: { factor: 1 } }),
        RangeError,
        "Uniform count must fit u32",
      ],
      [
        update({ grid: [1, 1] }),
        TypeError,
        "dispatches[0].grid must have 3 numbers",
      ],
      [
        update({ grid: [1, 2 ** 20, 1] }),
        RangeError,
        "dispatches[0].grid[1] must be an integer in 0..",
      ],
      [
        update({ aliases: { value: "x" } }),
        TypeError,
        "dispatches[0].aliases must only name bindings of add",
      ],
      [
        update({}, { words: { words: [1] } }),
        TypeError,
        "words.words must be a Uint32Array",
      ],
      [
        update({}, { words: { output: new Uint32Array(1) } }),
        TypeError,
        "words.output must be read-only storage in add",
      ],
      [
        update({}, { scratch: { words: 4 } }),
        TypeError,
        "scratch.words must not be among words too",
      ],
      [
        update({}, { copies: [{ from: "a", to: "output", at: 0 }] }),
        TypeError,
        'copies[0].to must be among scratch or words: current value is "output"',
      ],
      [
        update({}, { copies: [{ from: "a", to: "words", at: 16 }] }),
        RangeError,
        "copies[0].at must be an integer in 0..12",
      ],
      [
        update({}, {
          scratch: { states: 16 },
          copies: [{ from: "a", to: "states", at: 2 }],
        }),
        RangeError,
        "copies[0].at must be a multiple of 4: current value is 2",
      ],
      [
        update({}, { scratch: { states: 1.5 } }),
        RangeError,
        "scratch.states must be an integer",
      ],
      [
        update({}, { scratch: { a: 4, states: limit + 1 } }),
        RangeError,
        `scratch.states must be <= maxStorageBufferBindingSize (${limit})`,
      ],
    ] as const
  ) {
    assertThrows(fault, type, message);
  }
  const { buffers: after, bytes: left } = gpu.stats;
  assertEquals([after, left], [buffers, bytes]);
  assertEquals(program.explain(), before);
  const output = await outputOf(
    gpu,
    2,
    (resources) =>
      gpu.submit("test", (encoder) => program.encode(encoder, resources)),
  );
  assertEquals(output, [3, 4]);
});

gpuTest("Program.create() leaves nothing where it rejects", async (_t, gpu) => {
  const made = await objectsMadeBy(gpu, async () => {
    const [dispatch] = addition(1, [1]).dispatches;
    const features = ["none-such" as "subgroups"];
    const source = { ...doubleKernel("other"), features };
    for (
      const [change, type, message] of [
        [{ source: BROKEN }, Error, "Cannot compile broken"],
        [{ source }, UnsupportedError, "the device lacks none-such"],
        [{ grid: [-1, 1, 1] as const }, RangeError, "dispatches[0].grid[0]"],
      ] as const
    ) {
      const dispatches = [{ ...dispatch, ...change }];
      const { words } = addition(1, [1]);
      await assertRejects(
        () => Program.create(gpu, "test", { dispatches, words }),
        type,
        message,
      );
    }
  });
  assertEquals(made, { buffers: 0, destroyed: 0, bindGroups: 0 });
});

gpuTest("Program.encode() that throws records nothing", async (_t, gpu) => {
  using program = await Program.create(gpu, "test", addition(2, [1, 2]));
  using values = gpu.tensor(new Float32Array(128).fill(1), [128]);
  using output = gpu.empty("f32", [128]);
  const gone = gpu.empty("f32", [2]);
  gone.destroy();
  const names = { values: "inputs[0]" };
  const part = (offset: number) => ({
    buffer: output.buffer,
    offset,
    size: 256,
  });
  gpu.submit("test", (encoder) => {
    const encode = (resources: Parameters<Program["encode"]>[1]) => () =>
      program.encode(encoder, resources, { names });
    for (
      const [fault, type, message] of [
        [
          encode({ values }),
          TypeError,
          "output must be a buffer or a tensor: current value is undefined",
        ],
        [
          encode({ output }),
          TypeError,
          "inputs[0] must be a buffer or a tensor",
        ],
        [encode({ values: gone, output }), TypeError, "has been destroyed"],
        [
          encode({ values, output: part(4) }),
          RangeError,
          "output.offset must be a multiple",
        ],
        [
          encode({ values: output, output }),
          TypeError,
          'output must not share a buffer with inputs[0]: current value is "tensor"',
        ],
        [
          encode({ values: part(256), output: part(0) }),
          TypeError,
          "output must not share a buffer with inputs[0]",
        ],
      ] as const
    ) {
      assertThrows(fault, type, message);
    }
    assertThrows(
      () => program.encode({} as GPUCommandEncoder, { values, output }),
      TypeError,
      "encoder must be a GPUCommandEncoder",
    );
  });
  assertEquals(new Set(await gpu.readOne(output)), new Set([0]));
});

gpuTest("Program throws once it is destroyed", async (_t, gpu) => {
  const parts = throughState(2);
  const program = await Program.create(gpu, "test", parts);
  program.destroy();
  program.destroy();
  const message = 'program must not be destroyed: current value is "test"';
  assertThrows(() => program.update(parts), TypeError, message);
  gpu.submit(
    "test",
    (encoder) =>
      assertThrows(() => program.encode(encoder), TypeError, message),
  );
  await assertRejects(() => program.compile([]), TypeError, message);
  assertEquals(program.explain(), { dispatches: [], scratchBytes: 0 });
});

gpuTest(
  "Program throws a DeviceLostError once its device is lost",
  async () => {
    using gpu = await ownGpu();
    const parts = throughState(2);
    using program = await Program.create(gpu, "test", parts);
    const encoder = gpu.device.createCommandEncoder();
    gpu.destroy();
    assertThrows(() => program.update(parts), DeviceLostError);
    assertThrows(() => program.encode(encoder), DeviceLostError);
    assertThrows(() => gpu.submit(encoder), DeviceLostError);
    assertThrows(() => new Program(gpu, "test"), DeviceLostError);
    await assertRejects(() => program.compile([addKernel()]), DeviceLostError);
    await assertRejects(
      () => Program.create(gpu, "test", parts),
      DeviceLostError,
    );
  },
);
