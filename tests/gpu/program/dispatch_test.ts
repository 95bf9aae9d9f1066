import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type BindingResource, BufferUsage } from "../../../src/gpu/mod.ts";
import { foldGrid } from "../../../src/gpu/program/dispatch.ts";
import { TENSOR_USAGE } from "../../../src/gpu/buffers/usage.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { property } from "../../support/property.ts";
import { doubleKernel, twoOutputsKernel } from "../kernels.ts";

gpuTest(
  "Gpu.bind() takes tensors, buffers and parts of buffers",
  async (_t, gpu) => {
    const kernel = await gpu.pipeline(doubleKernel());
    using buffer = gpu.createBuffer({ size: 512, usage: TENSOR_USAGE });
    const all = gpu.wrap(buffer.buffer, "f32", [128]);
    all.write(new Float32Array(128).fill(1));
    using tensor = gpu.tensor(new Float32Array([3]), [1]);
    const resources: BindingResource[] = [
      tensor,
      buffer,
      buffer.buffer,
      { buffer: buffer.buffer, offset: 256, size: 16 },
    ];
    gpu.submit("double", (encoder) => {
      for (const values of resources) {
        const pass = encoder.beginComputePass();
        pass.setPipeline(kernel.pipeline);
        pass.setBindGroup(0, gpu.bind(kernel, { values }));
        pass.dispatchWorkgroups(1);
        pass.end();
      }
    });
    const [one, many] = await gpu.read([tensor, all]);
    assertEquals([...one], [6]);
    assertEquals([many[0], many[1], many[64], many[65]], [4, 1, 2, 1]);
  },
);

gpuTest("Gpu.bind() throws for each wrong resource", async (_t, gpu) => {
  const kernel = await gpu.pipeline(doubleKernel());
  using other = await ownGpu();
  using foreign = other.empty("f32", [4]);
  using uniform = gpu.createBuffer({ size: 64, usage: BufferUsage.uniform });
  using good = gpu.createBuffer({ size: 512, usage: TENSOR_USAGE });
  const gone = gpu.createBuffer({ size: 64, usage: TENSOR_USAGE });
  gone.destroy();
  const lost = gpu.empty("f32", [4]);
  lost.destroy();
  const bind = (values: unknown, more = {}) => () =>
    gpu.bind(kernel, { values: values as BindingResource, ...more });
  const part = (offset: number, size: number) =>
    bind({ buffer: good.buffer, offset, size });
  assertThrows(() => gpu.bind(kernel, {}), TypeError, "resources.values must");
  assertThrows(bind(good, { extra: good }), TypeError, '"extra"');
  assertThrows(bind(foreign), TypeError, "of this Gpu");
  assertThrows(bind(foreign.buffer), TypeError, "of this device");
  assertThrows(bind(uniform), TypeError, "must include STORAGE");
  assertThrows(bind(gone), TypeError, "must not be destroyed");
  assertThrows(bind(lost), TypeError, "has been destroyed");
  assertThrows(part(4, 16), RangeError, "minStorageBufferOffsetAlignment");
  assertThrows(part(256, 512), RangeError, "within the buffer's 512 bytes");
  assertThrows(part(0, 0), RangeError, "resources.values.size");
  assertThrows(part(0, 6), RangeError, "multiple of 4");
});

gpuTest(
  "Gpu.bind() throws where what is written is bound twice",
  async (_t, gpu) => {
    const kernel = await gpu.pipeline(twoOutputsKernel());
    using buffer = gpu.createBuffer({
      size: 1024,
      label: "all",
      usage: TENSOR_USAGE,
    });
    using other = gpu.createBuffer({ size: 1024, usage: TENSOR_USAGE });
    const part = (offset: number, size: number) => ({
      buffer: buffer.buffer,
      offset,
      size,
    });
    const bind =
      (values: BindingResource, ...outputs: BindingResource[]) => () =>
        gpu.bind(kernel, { values, first: outputs[0], second: outputs[1] });
    const apart = [part(0, 256), part(256, 256)] as const;
    bind(other, ...apart)();
    bind(other, apart[1], apart[0])();
    // WebGPU looks at the whole buffer where one is written and one is read.
    assertThrows(
      bind(part(512, 256), other, apart[0]),
      TypeError,
      'resources.second must not share a buffer with resources.values: current value is "all"',
    );
    for (const [offset, size] of [[0, 256], [0, 512], [256, 4], [256, 512]]) {
      assertThrows(
        bind(other, part(offset, size), part(0, 260)),
        TypeError,
        'resources.first must not overlap resources.second: current value is "all"',
      );
    }
  },
);

property(
  "foldGrid() covers the count within the limit, with little excess",
  [fc.nat(70000), fc.integer({ min: 1, max: 300 })],
  (count, max) => {
    if (count > max ** 3) {
      assertThrows(
        () => foldGrid(count, { maxComputeWorkgroupsPerDimension: max }),
        RangeError,
      );
      return;
    }
    const [x, y, z] = foldGrid(count, {
      maxComputeWorkgroupsPerDimension: max,
    });
    assert(Math.max(x, y, z) <= max);
    assert(x * y * z >= count);
    assert(x * y * z - count < y * z);
  },
  { examples: [[0, 1], [65536, 300], [8, 2], [9, 2]] },
);

Deno.test("foldGrid() folds past 65535 workgroups", () => {
  const limits = { maxComputeWorkgroupsPerDimension: 65535 };
  assertEquals(foldGrid(65535, limits), [65535, 1, 1]);
  assertEquals(foldGrid(65536, limits), [32768, 2, 1]);
  assertThrows(() => foldGrid(-1, limits), RangeError, "count");
});
