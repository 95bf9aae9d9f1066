/**
 * What a generated kernel is made of. `kernels/` produces these, `src/gpu/`
 * compiles and dispatches them; neither needs to know the other.
 *
 * @module
 */

import type { UniformFields } from "./uniforms.ts";

/**
 * One resource that a kernel uses; its place in the list is its binding.
 *
 * @category Kernels
 */
export interface Binding {
  /** The WGSL variable name, and the key under which a buffer is given. */
  readonly name: string;
  /** The WGSL type, for example `array<vec4f>` or the uniform struct's name. */
  readonly type: string;
  /** How the shader uses it. */
  readonly access: "read" | "read_write" | "uniform";
}

/**
 * A complete compute shader: source and binding table, no GPU objects.
 *
 * @category Kernels
 */
export interface KernelSource {
  /** A readable name, used as the label of every GPU object made from it. */
  readonly label: string;
  /** The WGSL. It is also the pipeline cache's key. */
  readonly code: string;
  /** Group 0's bindings, in order. The entry point is always `main`. */
  readonly bindings: readonly Binding[];
  /** The fields of the uniform struct, in order; none where there is no struct. */
  readonly uniforms: UniformFields;
  /** Optional WebGPU features that the source needs. */
  readonly features: readonly ("shader-f16" | "subgroups")[];
}
