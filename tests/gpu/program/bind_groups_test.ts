import { assert } from "@std/assert";
import { TENSOR_USAGE } from "../../../src/gpu/buffers/usage.ts";
import { BindGroups } from "../../../src/gpu/program/bind_groups.ts";
import { gpuTest } from "../../support/gpu.ts";
import { doubleKernel } from "../kernels.ts";

gpuTest(
  "BindGroups.get() tells buffers, offsets and sizes apart",
  async (_t, gpu) => {
    const kernel = await gpu.pipeline(doubleKernel());
    using one = gpu.createBuffer({ size: 512, usage: TENSOR_USAGE });
    using two = gpu.createBuffer({ size: 512, usage: TENSOR_USAGE });
    const groups = new BindGroups(gpu, 4);
    type Part = readonly [buffer: GPUBuffer, offset: number, size: number];
    const get = ([buffer, offset, size]: Part) =>
      groups.get(kernel, [{ buffer, offset, size }], ({ name }) => name);
    const ranges: Part[] = [
      [one.buffer, 0, 256],
      [one.buffer, 256, 256],
      [one.buffer, 0, 512],
      [two.buffer, 0, 256],
    ];
    const made = ranges.map((range) => get(range));
    assert(new Set(made).size === 4);
    assert(ranges.every((range, i) => get(range) === made[i]));
    // The oldest goes where there is one too many.
    get([two.buffer, 0, 512]);
    assert(ranges.slice(1).every((range, i) => get(range) === made[i + 1]));
    assert(get(ranges[0]) !== made[0]);
    // Another layout for the same bytes.
    const [buffer, offset, size] = ranges[3];
    const other = await gpu.pipeline({
      ...doubleKernel(),
      code: `
@group(0) @binding(0) var<storage, read> values: array<f32>;
@compute @workgroup_size(1)
fn main() { _ = values[0]; }`,
      bindings: [{ name: "values", type: "array<f32>", access: "read" }],
    });
    assert(other.layout !== kernel.layout);
    const group = groups.get(other, [{ buffer, offset, size }], (b) => b.name);
    assert(group !== get(ranges[3]));
    groups.clear();
    assert(get(ranges[3]) !== made[3]);
  },
);
