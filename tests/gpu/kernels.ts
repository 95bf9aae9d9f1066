/** Small kernels for the tests of the device layer. @module */

import type { KernelSource } from "../../src/gpu/mod.ts";

/** Doubles `values` in place, one element a workgroup. */
export function doubleKernel(label = "double"): KernelSource {
  return {
    label,
    code: `// ${label}
@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) {
  values[id.x] *= 2.0;
}`,
    bindings: [
      { name: "values", type: "array<f32>", access: "read_write" },
    ],
    uniforms: {},
    features: [],
  };
}

/** Does not compile: an i32 is given a fraction in line 3. */
export const BROKEN: KernelSource = {
  label: "broken",
  code: `@compute @workgroup_size(1)
fn main() {
  let x: i32 = 1.5;
}`,
  bindings: [],
  features: [],
};
