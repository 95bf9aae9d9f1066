import fc from "fast-check";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { BufferUsage } from "../../src/gpu/mod.ts";
import { TENSOR_USAGE } from "../../src/gpu/buffers/usage.ts";
import { gpuTest, ownGpu } from "../support/gpu.ts";
import { checkProperty } from "../support/property.ts";

gpuTest(
  "Gpu.tensor() round-trips every dtype and length in one read",
  async (_t, gpu) => {
    const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 9, 63];
    const arrays = lengths.flatMap((length) => [
      Float32Array.from({ length }, (_, i) => i + 0.5),
      Float16Array.from({ length }, (_, i) => i - 0.5),
      Uint32Array.from({ length }, (_, i) => 2 ** 32 - 1 - i),
    ]);
    const tensors = arrays.map((array) => gpu.tensor(array, [array.length]));
    assertEquals(await gpu.read(tensors), arrays);
    for (const tensor of tensors) tensor.destroy();
  },
);

gpuTest("Gpu.tensor() uploads views that start anywhere", async (_t, gpu) => {
  const name = "Gpu.tensor() uploads views that start anywhere";
  const arbitraries = [fc.nat(9), fc.nat(9)] as [
    fc.Arbitrary<number>,
    fc.Arbitrary<number>,
  ];
  await checkProperty(name, arbitraries, async (start, length) => {
    const all = Float16Array.from({ length: 20 }, (_, i) => i);
    const view = all.subarray(start, start + length);
    using tensor = gpu.tensor(view, [length]);
    assertEquals([...await gpu.readOne(tensor)], [...view]);
  }, { runs: 10 });
});

gpuTest("Gpu.empty() is zero, and a whole number of vec4f", async (_t, gpu) => {
  using tensor = gpu.empty("f16", [3, 3], "mine");
  assertEquals(tensor.byteLength, 18);
  assertEquals(tensor.buffer.size, 32);
  assertEquals(tensor.label, "mine");
  assertEquals([...await gpu.readOne(tensor)], new Array(9).fill(0));
});

gpuTest("Gpu.tensor() throws for wrong arrays and shapes", (_t, gpu) => {
  const before = gpu.stats;
  const array = new Float32Array(6);
  assertThrows(
    () => gpu.tensor(array, [2, 4]),
    TypeError,
    "must be 8, the product of shape [2, 4]",
  );
  assertThrows(() => gpu.tensor(array, [-2, -3]), RangeError, "shape[0]");
  assertThrows(() => gpu.tensor(array, [1.5, 4]), RangeError, "shape[0]");
  assertThrows(
    () => gpu.tensor([1] as unknown as Float32Array, [1]),
    TypeError,
    "array must be a Float32Array",
  );
  assertThrows(() => gpu.empty("f64" as "f32", [1]), TypeError, "dtype");
  assertThrows(() => gpu.empty("f32", [2 ** 30, 2 ** 30]), RangeError);
  assertEquals(gpu.stats, before);
});

gpuTest("GpuTensor throws after destroy()", async (_t, gpu) => {
  const tensor = gpu.tensor(new Float32Array(2), [2], "gone");
  tensor.destroy();
  tensor.destroy();
  assert(tensor.destroyed);
  assertThrows(
    () => tensor.buffer,
    TypeError,
    '"gone" as it has been destroyed',
  );
  assertThrows(() => tensor.write(new Float32Array(2)), TypeError, "destroyed");
  await assertRejects(() => gpu.readOne(tensor), TypeError, "destroyed");
});

gpuTest(
  "GpuTensor.write() overwrites, and throws for another type",
  async (_t, gpu) => {
    using tensor = gpu.empty("f16", [3]);
    tensor.write(Float16Array.of(1, 2, 3));
    assertEquals([...await gpu.readOne(tensor)], [1, 2, 3]);
    assertThrows(() => tensor.write(new Float32Array(3)), TypeError, "f16");
    assertThrows(() => tensor.write(new Float16Array(4)), TypeError, "length");
  },
);

gpuTest(
  "Gpu.wrap() neither counts nor destroys a caller's buffer",
  async (_t, gpu) => {
    const buffer = gpu.device.createBuffer({ size: 300, usage: TENSOR_USAGE });
    try {
      const before = gpu.stats;
      const tensor = gpu.wrap(buffer, "f16", [3], 256);
      tensor.write(Float16Array.of(1, 2, 3));
      assertEquals([...await gpu.readOne(tensor)], [1, 2, 3]);
      tensor.destroy();
      assertThrows(() => tensor.buffer, TypeError, "destroyed");
      const again = gpu.wrap(buffer, "f16", [3], 256);
      assertEquals([...await gpu.readOne(again)], [1, 2, 3]);
      gpu.trim();
      assertEquals(gpu.stats.bytes, before.bytes);
    } finally {
      buffer.destroy();
    }
  },
);

gpuTest("Gpu.wrap() throws for buffers that do not fit", async (_t, gpu) => {
  using other = await ownGpu();
  using foreign = other.createBuffer({ size: 64, usage: TENSOR_USAGE });
  using small = gpu.createBuffer({ size: 64, usage: TENSOR_USAGE });
  using uniform = gpu.createBuffer({ size: 64, usage: BufferUsage.uniform });
  const wrap = (buffer: GPUBuffer, length: number, offset = 0) => () =>
    gpu.wrap(buffer, "f32", [length], offset);
  assertThrows(wrap(foreign.buffer, 4), TypeError, "of this device");
  assertThrows(wrap(uniform.buffer, 4), TypeError, "STORAGE");
  assertThrows(wrap(small.buffer, 17), RangeError, "buffer.size");
  assertThrows(wrap(small.buffer, 1, 4), RangeError, "offset");
  assertEquals(wrap(small.buffer, 16)().size, 16);
});
