import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  BufferUsage,
  DeviceLostError,
  Gpu,
  openGpu,
  UnsupportedError,
} from "../../src/gpu/mod.ts";
import { isSoftware, openGlReason } from "../../src/gpu/adapter.ts";
import { keptWith } from "../../src/gpu/keep_reachable.ts";
import { gpuTest, ownGpu, webgpu } from "../support/gpu.ts";
import { doubleKernel } from "./kernels.ts";

const STORAGE = BufferUsage.storage;

gpuTest(
  "openGpu() asks for the limits that the adapter offers",
  async (_t, gpu) => {
    const adapter = await (await webgpu()).requestAdapter();
    for (
      const name of [
        "maxBufferSize",
        "maxStorageBuffersPerShaderStage",
        "maxComputeWorkgroupStorageSize",
      ] as const
    ) {
      assertEquals(gpu.limits[name], adapter?.limits[name]);
    }
  },
);

Deno.test("openGpu() rejects where there is no adapter or no WebGPU", async () => {
  const gpu = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;
  await assertRejects(
    () => openGpu({ gpu }),
    UnsupportedError,
    "there is no WebGPU adapter; install",
  );
});

gpuTest(
  "openGpu() keeps what it opened reachable with the device",
  async () => {
    const gpu = await webgpu();
    using opened = await openGpu({ gpu });
    using again = await openGpu({ device: opened.device });
    const kept = keptWith(again.device);
    assert(kept.has(gpu));
    assert([...kept].some((object) => "requestDevice" in object));
  },
);

/** An adapter as far as openGpu() looks at it before it asks for a device. */
function fakeAdapter(
  description: string,
  maxBindingsPerBindGroup: number,
  features: string[],
): GPUAdapter {
  return {
    info: { description },
    features: new Set(features),
    limits: { maxBindingsPerBindGroup },
  } as unknown as GPUAdapter;
}

Deno.test("openGpu() refuses OpenGL adapters", async () => {
  const named = fakeAdapter("ANGLE (OpenGL ES 3.2)", 1000, []);
  const wgpu = fakeAdapter("llvmpipe (LLVM 15.0.6, 256 bits)", 0xffffffff, [
    "depth32float-stencil8",
    "timestamp-query",
  ]);
  for (const adapter of [named, wgpu]) {
    await assertRejects(
      () => openGpu({ adapter }),
      UnsupportedError,
      "OpenGL",
    );
  }
  assertEquals(openGlReason(fakeAdapter("Apple M4", 1000, [])), undefined);
  assertEquals(
    openGlReason(
      fakeAdapter("AMD", 0xffffffff, ["rg11b10ufloat-renderable"]),
    ),
    undefined,
  );
});

Deno.test("openGpu() refuses a software adapter with allowSoftware = false", async () => {
  const adapter = fakeAdapter("llvmpipe (LLVM 15.0.6, 256 bits)", 1000, []);
  await assertRejects(
    () => openGpu({ adapter, allowSoftware: false }),
    UnsupportedError,
    "allowSoftware is false",
  );
  const info = { vendor: "", architecture: "", device: "" };
  assert(isSoftware({ ...info, description: "SwiftShader Device" }));
  assert(!isSoftware({ ...info, description: "NVIDIA H200" }));
});

Deno.test("Gpu() throws for what is no device", () => {
  assertThrows(
    () => new Gpu({} as GPUDevice),
    TypeError,
    "must be a GPUDevice",
  );
});

gpuTest("Gpu.createBuffer() rounds up, counts and frees", (_t, gpu) => {
  const before = gpu.stats;
  const buffer = gpu.createBuffer({ size: 5, usage: STORAGE });
  assertEquals(buffer.size, 8);
  assertEquals(gpu.stats.buffers, before.buffers + 1);
  assertEquals(gpu.stats.bytes, before.bytes + 8);
  assert(gpu.stats.peakBytes >= gpu.stats.bytes);
  buffer.destroy();
  buffer.destroy();
  assertEquals(gpu.stats.buffers, before.buffers);
  assertEquals(gpu.stats.bytes, before.bytes);
  using empty = gpu.createBuffer({ size: 0, usage: STORAGE });
  assertEquals(empty.size, 4);
});

gpuTest(
  "Gpu.createBuffer() throws past maxBufferSize and changes nothing",
  (_t, gpu) => {
    const before = gpu.stats;
    const size = gpu.limits.maxBufferSize + 1;
    assertThrows(
      () => gpu.createBuffer({ size, usage: STORAGE }),
      RangeError,
      "maxBufferSize",
    );
    for (const bad of [-1, 1.5, NaN]) {
      assertThrows(
        () => gpu.createBuffer({ size: bad, usage: STORAGE }),
        RangeError,
        "size must be an integer >= 0",
      );
    }
    assertEquals(gpu.stats, before);
  },
);

gpuTest("Gpu.maxLoopIterations is bounded on software adapters", (_t, gpu) => {
  assertEquals(gpu.maxLoopIterations, gpu.software ? 65535 : Infinity);
});

gpuTest(
  "Gpu.scoped() rejects with its label and the device's words",
  async (_t, gpu) => {
    await assertRejects(
      () =>
        gpu.scoped("make it", () => {
          gpu.device.createBuffer({ size: 2 ** 50, usage: STORAGE });
        }),
      Error,
      "Cannot make it: ",
    );
    assertEquals(await gpu.scoped("add", () => Promise.resolve(3)), 3);
    await assertRejects(
      () =>
        gpu.scoped("fail", () => {
          throw new RangeError("mine");
        }),
      RangeError,
      "mine",
    );
  },
);

gpuTest(
  "Gpu.flushErrors() throws an uncaptured error once",
  async (_t, gpu) => {
    gpu.device.createBuffer({ size: 2 ** 50, usage: STORAGE });
    // Any round trip brings the event.
    using tensor = gpu.tensor(new Uint32Array([1]), [1]);
    const error = await assertRejects(
      () => gpu.readOne(tensor),
      Error,
      "Cannot run commands: ",
    );
    assert(error.cause);
    assertEquals([...await gpu.readOne(tensor)], [1]);
  },
  { scopes: false },
);

gpuTest("Gpu.destroy() frees everything and ends every method", async () => {
  const gpu = await ownGpu();
  const tensor = gpu.tensor(new Float32Array(4), [4]);
  const kernel = await gpu.pipeline(doubleKernel());
  gpu.destroy();
  gpu.destroy();
  assert(gpu.lost);
  assert(tensor.destroyed);
  assertEquals(gpu.stats.buffers, 0);
  assertEquals(gpu.stats.bytes, 0);
  const calls: (() => unknown)[] = [
    () => gpu.check(),
    () => gpu.createBuffer({ size: 4, usage: STORAGE }),
    () => gpu.tensor(new Float32Array(4), [4]),
    () => gpu.empty("f32", [4]),
    () => gpu.bind(kernel, {}),
    () => gpu.submit("x", () => {}),
    () => gpu.scratch.acquire(4),
    () => tensor.write(new Float32Array(4)),
  ];
  for (const call of calls) assertThrows(call, DeviceLostError);
  await assertRejects(() => gpu.readOne(tensor), DeviceLostError);
  await assertRejects(() => gpu.pipeline(doubleKernel()), DeviceLostError);
  await assertRejects(() => gpu.scoped("x", () => 1), DeviceLostError);
  await assertRejects(() => gpu.flushErrors(), DeviceLostError);
});

gpuTest(
  "Gpu rejects with DeviceLostError once its device is lost",
  async () => {
    using gpu = await ownGpu();
    using tensor = gpu.tensor(new Float32Array(4), [4]);
    const pending = gpu.readOne(tensor);
    gpu.device.destroy();
    const error = await assertRejects(() => pending, DeviceLostError);
    assertEquals(error.reason, "destroyed");
    assertThrows(() => gpu.check(), DeviceLostError, "as it is lost");
    await assertRejects(() => gpu.pipeline(doubleKernel()), DeviceLostError);
  },
);

gpuTest("Gpu leaves a caller's device alone", async () => {
  using owner = await ownGpu();
  const guest = await openGpu({ device: owner.device });
  guest.tensor(new Float32Array(4), [4]);
  guest.destroy();
  assertEquals(guest.stats.buffers, 0);
  assertThrows(() => guest.check(), DeviceLostError);
  using tensor = owner.tensor(new Float32Array([1, 2]), [2]);
  assertEquals([...await owner.readOne(tensor)], [1, 2]);
});

Deno.test({
  name: "openGpu() refuses wgpu's own OpenGL adapter",
  ignore: (Deno.env.get("QUIRE_WEBGPU") ?? "deno") !== "deno",
  fn: async () => {
    const module = new URL("../../src/gpu/mod.ts", import.meta.url).href;
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: [
        "eval",
        `const { openGpu } = await import(${JSON.stringify(module)});
await openGpu().then(() => console.log("opened"), (e) => console.log(e.name));`,
      ],
      env: { DENO_WEBGPU_BACKEND: "gl" },
      stderr: "null",
    }).output();
    // Where there is no OpenGL either, it is the absence that is refused.
    assertEquals(new TextDecoder().decode(stdout).trim(), "UnsupportedError");
  },
});
