/**
 * Entry points of kernels whose grid is one row of workgroups, folded where it
 * is longer than a dimension may be.
 *
 * @module
 */

import { wgsl } from "./wgsl.ts";

/** An entry point whose body finds its workgroup's number, `group`, and `lane`. */
export function groupEntry(lanes: number, body: string): string {
  return wgsl(
    `
    @compute @workgroup_size($lanes)
    fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
      @builtin(local_invocation_index) lane: u32) {
      let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
      $body
    }
    `,
    { lanes, body },
  );
}

/** An entry point whose body finds its invocation's number, `index`. */
export function invocationEntry(lanes: number, body: string): string {
  return groupEntry(
    lanes,
    wgsl("let index = group * $lanes + lane;\n$body", { lanes, body }),
  );
}
