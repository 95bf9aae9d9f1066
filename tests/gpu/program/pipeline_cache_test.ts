import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { type KernelSource, UnsupportedError } from "../../../src/gpu/mod.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { BROKEN, doubleKernel } from "../kernels.ts";

gpuTest(
  "Gpu.pipeline() compiles a source once, also when asked at once",
  async () => {
    using gpu = await ownGpu();
    const [a, b] = await Promise.all([
      gpu.pipeline(doubleKernel()),
      gpu.pipeline(doubleKernel()),
    ]);
    assert(a === b);
    assertEquals(gpu.stats.pipelines, 1);
    const other = await gpu.pipeline(doubleKernel("another"));
    assert(other !== a);
    assert(other.layout === a.layout);
    assertEquals(gpu.stats.pipelines, 2);
  },
);

gpuTest(
  "Gpu.pipeline() rejects with label, place and lines, every time",
  async (_t, gpu) => {
    const { pipelines } = gpu.stats;
    const errors = new Set<Error>();
    for (let i = 0; i < 2; i++) {
      const error = await assertRejects(() => gpu.pipeline(BROKEN));
      errors.add(error);
      assertStringIncludes(error.message, "Cannot compile broken: ");
      assertMatch(error.message, /\b3:\d+ /);
      assertStringIncludes(error.message, ">    3 |   let x: i32 = 1.5;");
      assertStringIncludes(error.message, "     2 | fn main() {");
    }
    assertEquals(errors.size, 2, "a failure was kept");
    assertEquals(gpu.stats.pipelines, pipelines);
  },
);

gpuTest(
  "Gpu.pipeline() rejects where the table lacks a binding",
  async (_t, gpu) => {
    const kernel = { ...doubleKernel("no table"), bindings: [] };
    await assertRejects(
      () => gpu.pipeline(kernel),
      Error,
      "Cannot compile no table: ",
    );
  },
);

gpuTest(
  "Gpu.pipeline() rejects what the device cannot do, uncompiled",
  async (_t, gpu) => {
    const feature = { ...doubleKernel(), features: ["none-such"] };
    const error = await assertRejects(
      () => gpu.pipeline(feature as unknown as KernelSource),
      UnsupportedError,
    );
    assertEquals(error.reason, "the device lacks none-such");
    const count = gpu.limits.maxStorageBuffersPerShaderStage + 1;
    const bindings = Array.from({ length: count }, (_, i) => ({
      name: `b${i}`,
      type: "array<f32>",
      access: "read" as const,
    }));
    await assertRejects(
      () => gpu.pipeline({ ...doubleKernel(), bindings }),
      UnsupportedError,
      "maxStorageBuffersPerShaderStage",
    );
  },
);
