/**
 * The nearest centroid of each member's direction: of equally near ones the
 * first. With u one long, |u - c|^2 is least where <u, c> - |c|^2 / 2 is most,
 * and so that is what is compared; `halves` holds |c|^2 / 2, or more than any
 * product for a cluster that never had a member.
 *
 * Clusters from `first` to `end` are looked at, after those before: what is best
 * among these stands in `best` and `labels`. So a dispatch's loops are as short as
 * a device wants them, and the result is the same.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { SENTINEL_WGSL } from "../../../src/core/sentinel.ts";
import { groupEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import {
  centroidRows,
  clusterCount,
  type KmeansSpec,
  memberRows,
  scales,
  sizes,
} from "./members.ts";

/** Invocations of a workgroup, a member each. */
export const ASSIGN_LANES = 64;

/** Clusters that a member is held against in one go through its row. */
export const ASSIGN_CLUSTERS = 4;

/** Iterations that its loops take for so many clusters. */
export function assignLoops(clusters: number, headVecs: number): number {
  return Math.ceil(clusters / ASSIGN_CLUSTERS) * (headVecs + 2) + 1;
}

/**
 * The kernel; a workgroup 64 members of a head.
 *
 * @example What it binds
 * ```ts
 * import { kmeansAssignKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const format = rowFormat("f32", 64);
 * const { bindings } = kmeansAssignKernel({ format });
 * console.log(bindings.map(({ name }) => name));
 * // rows centroids scales halves best labels params
 * ```
 *
 * @category Kernels
 */
export function kmeansAssignKernel({ format }: KmeansSpec): KernelSource {
  return kernelOf({
    label: "selection.kmeans.assign/f32",
    fragments: [
      memberRows(format),
      centroidRows(format),
      scales,
      sizes,
      clusterCount,
      {
        bindings: [
          { name: "halves", type: "array<f32>", access: "read" },
          { name: "best", type: "array<f32>", access: "read_write" },
          { name: "labels", type: "array<u32>", access: "read_write" },
        ],
        uniforms: {
          // Workgroups of a head.
          groups: "u32",
          first: "u32",
          end: "u32",
        },
      },
    ],
    main: groupEntry(
      ASSIGN_LANES,
      wgsl(ASSIGN, {
        lanes: ASSIGN_LANES,
        each: ASSIGN_CLUSTERS,
        sentinel: SENTINEL_WGSL,
      }),
    ),
  });
}

const ASSIGN = `
let head = group / params.groups;
let member = (group - head * params.groups) * $lanes + lane;
if (head >= params.heads || member >= params.members) {
  return;
}
let own = head * params.members + member;
let own_at = own * params.row_stride;
let scale = scales[own];
var most = $sentinel;
var nearest = 0u;
if (params.first > 0u) {
  most = best[own];
  nearest = labels[own];
}
let clusters_at = head * params.clusters;
for (var first = params.first; first < params.end; first += $each) {
  @each j in each
  let cluster_$j = clusters_at + min(first + $j, params.end - 1u);
  var product_$j = 0.0;
  @end
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let row = load_row(own_at, vec) * scale;
    @each j in each
    product_$j += dot(row, load_centroid(cluster_$j * params.row_stride, vec));
    @end
  }
  @each j in each
  let nearness_$j = product_$j - halves[cluster_$j];
  if (nearness_$j > most) {
    most = nearness_$j;
    nearest = cluster_$j - clusters_at;
  }
  @end
}
best[own] = most;
labels[own] = nearest;
`;
