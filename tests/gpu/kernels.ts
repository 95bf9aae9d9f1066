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
  uniforms: {},
  features: [],
};

/** `output[i] = factor * values[i] + words[i]`, one element a workgroup. */
export function addKernel(label = "add"): KernelSource {
  return {
    label,
    code: `
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<f32>;
struct Params { factor: f32, count: u32 }
@group(0) @binding(3) var<uniform> params: Params;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) {
  if (id.x >= params.count) { return; }
  output[id.x] = params.factor * values[id.x] + f32(words[id.x]);
}`,
    bindings: [
      { name: "values", type: "array<f32>", access: "read" },
      { name: "words", type: "array<u32>", access: "read" },
      { name: "output", type: "array<f32>", access: "read_write" },
      { name: "params", type: "Params", access: "uniform" },
    ],
    uniforms: { factor: "f32", count: "u32" },
    features: [],
  };
}

/** Copies `states` to `output`, one element a workgroup. */
export function readStateKernel(label = "read_state"): KernelSource {
  return {
    label,
    code: `
@group(0) @binding(0) var<storage, read> states: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) id: vec3u) {
  output[id.x] = states[id.x];
}`,
    bindings: [
      { name: "states", type: "array<f32>", access: "read" },
      { name: "output", type: "array<f32>", access: "read_write" },
    ],
    uniforms: {},
    features: [],
  };
}

/** Copies the first of `values` to two outputs. */
export function twoOutputsKernel(label = "two_outputs"): KernelSource {
  return {
    label,
    code: `
@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> first: array<f32>;
@group(0) @binding(2) var<storage, read_write> second: array<f32>;
@compute @workgroup_size(1)
fn main() {
  first[0] = values[0];
  second[0] = values[0];
}`,
    bindings: [
      { name: "values", type: "array<f32>", access: "read" },
      { name: "first", type: "array<f32>", access: "read_write" },
      { name: "second", type: "array<f32>", access: "read_write" },
    ],
    uniforms: {},
    features: [],
  };
}
