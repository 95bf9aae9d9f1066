import { assert, assertEquals, assertRejects } from "@std/assert";
import { BufferUsage, type GpuTensor } from "../../../src/gpu/mod.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";

gpuTest("Gpu.read() uses its staging buffers again", async (_t, gpu) => {
  using tensor = gpu.tensor(new Uint32Array([1, 2, 3]), [3]);
  const { buffers } = gpu.stats;
  await gpu.readOne(tensor);
  assertEquals(gpu.stats.buffers, buffers + 1);
  const arrays = await gpu.read([tensor, tensor]);
  assertEquals(arrays.map((array) => [...array]), [[1, 2, 3], [1, 2, 3]]);
  assertEquals(gpu.stats.buffers, buffers + 1);
});

gpuTest("Gpu.read() may run many at once", async (_t, gpu) => {
  const tensors = [1, 2, 3, 4, 5, 6].map((value) =>
    gpu.tensor(Uint32Array.of(value), [1])
  );
  const arrays = await Promise.all(
    tensors.map((tensor) => gpu.readOne(tensor)),
  );
  assertEquals(arrays.map((array) => array[0]), [1, 2, 3, 4, 5, 6]);
  for (const tensor of tensors) tensor.destroy();
  // Four staging buffers are kept at most.
  assert(gpu.stats.buffers <= 4);
});

gpuTest("Gpu.read() of nothing, and of empty tensors", async (_t, gpu) => {
  using empty = gpu.empty("u32", [0, 5]);
  assertEquals(await gpu.read([]), []);
  assertEquals(await gpu.read([empty]), [new Uint32Array(0)]);
});

gpuTest(
  "Gpu.read() rejects for foreign tensors and other things",
  async (_t, gpu) => {
    using other = await ownGpu();
    using foreign = other.tensor(new Float32Array(1), [1]);
    await assertRejects(() => gpu.read([foreign]), TypeError, "of this Gpu");
    await assertRejects(
      () => gpu.read([{} as unknown as GpuTensor]),
      TypeError,
      "tensors[0] must be a GpuTensor",
    );
    using buffer = gpu.createBuffer({ size: 16, usage: BufferUsage.storage });
    const tensor = gpu.wrap(buffer.buffer, "f32", [4]);
    await assertRejects(() => gpu.readOne(tensor), TypeError, "COPY_SRC");
  },
);

gpuTest(
  "Gpu.read() rejects with the device's error and frees its staging",
  async (_t, gpu) => {
    using buffer = gpu.createBuffer({
      size: 16,
      usage: BufferUsage.storage | BufferUsage.copySrc,
    });
    const tensor = gpu.wrap(buffer.buffer, "f32", [4]);
    buffer.buffer.destroy();
    const { buffers } = gpu.stats;
    await assertRejects(() => gpu.readOne(tensor), Error, "Cannot read back: ");
    assertEquals(gpu.stats.buffers, buffers);
  },
);

gpuTest("Gpu.read() rejects with the reason of its signal", async (_t, gpu) => {
  using tensor = gpu.tensor(new Uint32Array([7]), [1]);
  const before = new AbortController();
  before.abort(new RangeError("before"));
  await assertRejects(
    () => gpu.readOne(tensor, { signal: before.signal }),
    RangeError,
    "before",
  );
  const during = new AbortController();
  const pending = gpu.readOne(tensor, { signal: during.signal });
  during.abort(new RangeError("during"));
  await assertRejects(() => pending, RangeError, "during");
  assertEquals([...await gpu.readOne(tensor)], [7]);
  const unused = new AbortController();
  assertEquals([...await gpu.readOne(tensor, { signal: unused.signal })], [7]);
});
