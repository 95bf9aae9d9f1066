/**
 * Zeros in a buffer, before dispatches that add to what is there.
 *
 * @module
 */

import type { KernelSource } from "../src/core/kernel.ts";
import { kernelOf } from "./fragment.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of a workgroup, each of which clears a word. */
export const CLEAR_LANES = 64;

/** What is cleared. */
export interface ClearSpec {
  /** The kernel's label. */
  readonly label: string;
  /** The binding. */
  readonly binding: string;
}

/**
 * The kernel; grid: workgroups along x, folded into z. The first `words` words
 * become 0, which is no bit in integers and 0 in floats.
 */
export function clearKernel({ label, binding }: ClearSpec): KernelSource {
  return kernelOf({
    label,
    fragments: [
      {
        bindings: [{ name: binding, type: "array<f32>", access: "read_write" }],
        uniforms: { words: "u32", grid_width: "u32" },
      },
    ],
    main: wgsl(
      `
      @compute @workgroup_size($lanes)
      fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
        let word = (group_id.z * params.grid_width + group_id.x) * $lanes + lane;
        if (word < params.words) {
          $binding[word] = 0.0;
        }
      }
      `,
      { lanes: CLEAR_LANES, binding },
    ),
  });
}
