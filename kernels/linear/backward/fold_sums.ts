/**
 * Sums along one dimension, a run of terms at a time: of `[outer, count, inner]`
 * come `[outer, runs, inner]`, and once more until there is one run. The order
 * of additions depends on the sizes alone.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";

/** Invocations of a workgroup. */
export const FOLD_LANES = 64;

/** Terms of a run at most. */
export const FOLD_RUN = 256;

/**
 * The kernel of sums; one invocation a run.
 *
 * @example What it binds
 * ```ts
 * import { foldSumsKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = foldSumsKernel();
 * assertEquals(bindings.map(({ name }) => name), ["terms", "sums", "params"]);
 * ```
 *
 * @category Kernels
 */
export function foldSumsKernel(): KernelSource {
  return kernelOf({
    label: "linear.backward.fold/f32",
    fragments: [{
      bindings: [
        { name: "terms", type: "array<f32>", access: "read" },
        { name: "sums", type: "array<f32>", access: "read_write" },
      ],
      uniforms: { outer: "u32", count: "u32", inner: "u32", runs: "u32" },
    }],
    main: invocationEntry(FOLD_LANES, wgsl(FOLD, { run: FOLD_RUN })),
  });
}

const FOLD = `
if (index >= params.outer * params.runs * params.inner) {
  return;
}
let column = index % params.inner;
let run = index / params.inner % params.runs;
let row = index / (params.inner * params.runs);
let end = min(params.count, (run + 1u) * $run);
var sum = 0.0;
for (var term = run * $run; term < end; term++) {
  sum += terms[(row * params.count + term) * params.inner + column];
}
sums[index] = sum;
`;
