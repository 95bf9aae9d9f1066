/** Evaluates score mods on a grid of points, on bare WebGPU. */

import { emitMods, type ScoreMod } from "../../src/mods/mod.ts";

/** One evaluation of a score mod. */
export interface Point {
  readonly score: number;
  readonly batch: number;
  readonly head: number;
  readonly query: number;
  readonly key: number;
}

/** Whether there is WebGPU here. */
export async function isAvailable(): Promise<boolean> {
  return await navigator.gpu?.requestAdapter() != null;
}

/**
 * The values of each mod at each point, or those of its derivative, all from
 * one shader module.
 */
export async function evaluateOnGpu(
  mods: readonly ScoreMod[],
  points: readonly Point[],
  derivative: boolean = false,
): Promise<Float32Array[]> {
  const called = derivative ? "score_derivative" : "score";
  const words: number[] = [];
  const functions: string[] = [];
  const calls: string[] = [];
  for (const [index, mod] of mods.entries()) {
    const { code, data } = emitMods({
      scoreMods: [mod],
      maskMods: [],
      prefix: `case${index}`,
      base: words.length,
      derivative,
    });
    for (const word of data) words.push(word);
    functions.push(code);
    calls.push(
      `  results[${
        index * points.length
      }u + i] = case${index}_${called}(score, p.x, p.y, p.z, p.w);`,
    );
  }
  const code = `
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> positions: array<vec4i>;
@group(0) @binding(2) var<storage, read> captures: array<u32>;
@group(0) @binding(3) var<storage, read_write> results: array<f32>;

${functions.join("\n")}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= arrayLength(&scores)) { return; }
  let score = scores[i];
  let p = positions[i];
  // So that the captures are bound even if no case reads them.
  if (captures[0] == 0xdeadbeefu) { return; }
${calls.join("\n")}
}
`;
  const inputs = [
    Float32Array.from(points, ({ score }) => score),
    Int32Array.from(
      points.flatMap((
        { batch, head, query, key },
      ) => [batch, head, query, key]),
    ),
    Uint32Array.from(words.length > 0 ? words : [0]),
  ];
  const adapter = await navigator.gpu.requestAdapter();
  const device = await adapter!.requestDevice();
  try {
    const flat = await runOnGpu(device, code, inputs, {
      results: mods.length * points.length,
      invocations: points.length,
    });
    return mods.map((_, index) =>
      flat.slice(index * points.length, (index + 1) * points.length)
    );
  } finally {
    device.destroy();
  }
}

async function runOnGpu(
  device: GPUDevice,
  code: string,
  inputs: readonly (Float32Array | Int32Array | Uint32Array)[],
  { results, invocations }: { results: number; invocations: number },
): Promise<Float32Array> {
  device.pushErrorScope("validation");
  const buffers = inputs.map((input) => {
    const buffer = device.createBuffer({
      size: input.byteLength,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
    });
    device.queue.writeBuffer(buffer, 0, input as BufferSource);
    return buffer;
  });
  const output = device.createBuffer({
    size: 4 * results,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC |
      GPUBufferUsage.COPY_DST,
  });
  // An element that no invocation writes shows as NaN.
  device.queue.writeBuffer(output, 0, new Float32Array(results).fill(NaN));
  const staging = device.createBuffer({
    size: 4 * results,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code }) },
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [...buffers, output].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    }),
  );
  pass.dispatchWorkgroups(Math.ceil(invocations / 64));
  pass.end();
  encoder.copyBufferToBuffer(output, 0, staging, 0, 4 * results);
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(`${error.message}\n${code}`);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  for (const buffer of [...buffers, output, staging]) buffer.destroy();
  return values;
}
