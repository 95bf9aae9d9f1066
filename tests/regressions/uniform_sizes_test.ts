/**
 * Kernels of one pass whose uniforms differ in size. Their layouts were one, of
 * which wgpu took the size that the kernel before had wanted.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type { KernelSource } from "../../src/core/kernel.ts";
import { Program } from "../../src/gpu/mod.ts";
import { kernelOf } from "../../kernels/fragment.ts";
import { gpuTest } from "../support/gpu.ts";

/** Adds so many uniforms to an element. */
function adding(count: number): KernelSource {
  const names = Array.from({ length: count }, (_, i) => `addend_${i}`);
  return kernelOf({
    label: `adding.${count}`,
    fragments: [{
      bindings: [{ name: "data", type: "array<u32>", access: "read_write" }],
      uniforms: Object.fromEntries(names.map((name) => [name, "u32"])),
    }],
    main: `
      @compute @workgroup_size(1)
      fn main() {
        data[0] += ${names.map((name) => `params.${name}`).join(" + ")};
      }`,
  });
}

gpuTest(
  "Program runs kernels with fewer and with more uniforms in turn",
  async (_, gpu) => {
    const dispatches = [5, 1, 9].map((count) => ({
      source: adding(count),
      uniforms: Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`addend_${i}`, count]),
      ),
      grid: [1, 1, 1] as const,
    }));
    using program = await Program.create(gpu, "adding", { dispatches });
    using data = gpu.tensor(new Uint32Array(4), [4]);
    gpu.submit("adding", (encoder) => program.encode(encoder, { data }));
    assertEquals((await gpu.readOne(data))[0], 25 + 1 + 81);
  },
);
