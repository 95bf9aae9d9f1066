import { assert, assertEquals, assertThrows } from "@std/assert";
import { GpuTensor } from "../../../src/gpu/mod.ts";
import { BufferPool } from "../../../src/gpu/buffers/pool.ts";
import { TENSOR_USAGE } from "../../../src/gpu/buffers/usage.ts";
import { gpuTest } from "../../support/gpu.ts";

gpuTest(
  "BufferPool.acquire() uses a released buffer of the size again",
  (_t, gpu) => {
    const pool = new BufferPool(gpu);
    const first = pool.acquire(100);
    assertEquals(first.size, 112);
    pool.release(first);
    assertEquals(pool.idle, { count: 1, bytes: 112 });
    const other = pool.acquire(200);
    const again = pool.acquire(97);
    assert(again === first);
    assertEquals(pool.idle, { count: 0, bytes: 0 });
    pool.release(again);
    pool.release(other);
    pool.clear();
    assert(first.destroyed && other.destroyed);
    assertEquals(pool.idle, { count: 0, bytes: 0 });
  },
);

gpuTest("BufferPool.release() destroys what is beyond its caps", (_t, gpu) => {
  const byCount = new BufferPool(gpu, { maxCount: 1 });
  const byBytes = new BufferPool(gpu, { maxBytes: 32 });
  for (const [pool, size] of [[byCount, 16], [byBytes, 32]] as const) {
    const [a, b] = [pool.acquire(size), pool.acquire(size)];
    pool.release(a);
    pool.release(b);
    assert(!a.destroyed && b.destroyed);
    assertEquals(pool.idle, { count: 1, bytes: size });
    pool.clear();
  }
});

gpuTest("BufferPool.abandon() counts a buffer no more", (_t, gpu) => {
  const pool = new BufferPool(gpu);
  const { buffers, bytes } = gpu.stats;
  const buffer = pool.acquire(16);
  pool.abandon(buffer);
  buffer.destroy();
  assert(buffer.destroyed);
  assertEquals(pool.idle.count, 0);
  assertEquals([gpu.stats.buffers, gpu.stats.bytes], [buffers, bytes]);
  for (const give of ["release", "abandon"] as const) {
    assertThrows(() => pool[give](buffer), TypeError, `Cannot ${give} a`);
  }
  // Its memory is still there: a copy from it is valid.
  using target = gpu.createBuffer({ size: 16, usage: TENSOR_USAGE });
  gpu.submit(
    "copy",
    (encoder) =>
      encoder.copyBufferToBuffer(buffer.buffer, 0, target.buffer, 0, 16),
  );
});

gpuTest("BufferPool.release() throws for what is not out", (_t, gpu) => {
  const pool = new BufferPool(gpu);
  const buffer = pool.acquire(16);
  pool.release(buffer);
  assertThrows(() => pool.release(buffer), TypeError, "not out of this pool");
  assertEquals(pool.idle.count, 1);
  pool.clear();
});

gpuTest(
  "BufferPool.poison fills what is acquired with NaN",
  async (_t, gpu) => {
    const pool = new BufferPool(gpu);
    pool.poison = true;
    const buffer = pool.acquire(16);
    const tensor = new GpuTensor(gpu, {
      dtype: "f32",
      shape: [4],
      buffer: buffer.buffer,
      offset: 0,
    });
    assert((await gpu.readOne(tensor)).every(Number.isNaN));
    pool.release(buffer);
    pool.clear();
  },
);
