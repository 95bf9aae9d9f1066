/**
 * The mean of each cluster's members. A workgroup a cluster goes through the
 * labels of its head, a chunk at a time, and adds the rows of those that are its
 * own, in their order: no atomics on numbers, and the same sum every time.
 *
 * Of `directions` it is the step of k-means: a cluster without members keeps its
 * centroid, and `moved` says whether any element changed, so that nobody needs to
 * go on where none did. Of `keys` and of `clusters` below, which count as often
 * as they have keys, it is the centroid that queries are held against; new keys
 * are added to what a cluster has where there is `more`.
 *
 * ```text
 * labels [heads, members]   counts [heads, clusters]: keys of each cluster
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { groupEntry } from "../../entry.ts";
import { type Fragment, kernelOf } from "../../fragment.ts";
import { laneSum } from "../../fragments/lane_sum.ts";
import { wgsl } from "../../wgsl.ts";
import {
  centroidRows,
  clusterCount,
  type KmeansSpec,
  memberRows,
  scales,
  sizes,
  storedRows,
} from "./members.ts";

/** Invocations of a workgroup: labels of a chunk, and four columns each. */
export const UPDATE_LANES = 64;

/** Iterations that its loops take for so many members. */
export function updateLoops(members: number): number {
  // A cluster may have all of them.
  const words = UPDATE_LANES / 32;
  const chunk = 1 + words + 1 + words;
  return Math.ceil(members / UPDATE_LANES) * chunk + members + UPDATE_LANES + 2;
}

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface KmeansUpdateSpec extends KmeansSpec {
  /** What the mean is of. */
  readonly of: "directions" | "keys" | "clusters";
}

/**
 * The kernel; a workgroup a cluster of a head. Rows have at most 256 elements.
 *
 * @example What it binds
 * ```ts
 * import { kmeansUpdateKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const format = rowFormat("f32", 64);
 * const { bindings } = kmeansUpdateKernel({ format, of: "keys" });
 * console.log(bindings.map(({ name }) => name));
 * // rows centroids labels counts params
 * ```
 *
 * @category Kernels
 */
export function kmeansUpdateKernel(
  { format, of }: KmeansUpdateSpec,
): KernelSource {
  const directions = of === "directions";
  const scope = {
    lanes: UPDATE_LANES,
    words: UPDATE_LANES / 32,
    directions,
    grows: of === "keys",
    // What a member counts, in its own row and in the cluster's sum.
    keys: of === "clusters" ? "weights[own]" : "1u",
    factor: directions
      ? "scales[own]"
      : of === "clusters"
      ? "f32(weights[own])"
      : "1.0",
  };
  return kernelOf({
    label: `selection.kmeans.update/f32.${of}`,
    fragments: [
      memberRows(format),
      ...(directions ? [scales] : []),
      centroidRows(format, "read_write"),
      storedRows("centroid", "centroids", format),
      sizes,
      clusterCount,
      {
        bindings: [
          { name: "labels", type: "array<u32>", access: "read" },
          { name: "counts", type: "array<u32>", access: "read_write" },
        ],
        code: wgsl(DECLARATIONS, scope),
      },
      OWN[of],
    ],
    main: groupEntry(UPDATE_LANES, wgsl(UPDATE, scope)),
  });
}

const OWN: Readonly<Record<KmeansUpdateSpec["of"], Fragment>> = {
  directions: {
    needs: [laneSum({
      lanes: UPDATE_LANES,
      width: UPDATE_LANES,
      type: "vec2f",
    })],
    bindings: [
      { name: "halves", type: "array<f32>", access: "read_write" },
      { name: "moved", type: "array<u32>", access: "read_write" },
    ],
  },
  keys: { uniforms: { more: "u32" } },
  clusters: {
    bindings: [{ name: "weights", type: "array<u32>", access: "read" }],
  },
};

const DECLARATIONS = `
// Which members of a chunk are the cluster's, a bit each.
var<workgroup> own_bits: array<atomic<u32>, $words>;
`;

const UPDATE = `
let head = group / params.clusters;
if (head >= params.heads) {
  return;
}
let cluster = group - head * params.clusters;
let centroid_at = group * params.row_stride;
let live = lane < params.head_vecs;
var sum = vec4f(0.0);
var total = 0u;
@if grows
if (params.more != 0u) {
  total = counts[group];
  if (live) {
    sum = load_centroid(centroid_at, lane) * f32(total);
  }
}
@end
for (var first = 0u; first < params.members; first += $lanes) {
  if (lane < $words) {
    atomicStore(&own_bits[lane], 0u);
  }
  workgroupBarrier();
  let member = first + lane;
  if (member < params.members && labels[head * params.members + member] == cluster) {
    atomicOr(&own_bits[lane / 32u], 1u << (lane % 32u));
  }
  workgroupBarrier();
  for (var word = 0u; word < $words; word++) {
    var bits = atomicLoad(&own_bits[word]);
    while (bits != 0u) {
      let own = head * params.members + first + 32u * word + countTrailingZeros(bits);
      bits &= bits - 1u;
      total += $keys;
      if (live) {
        sum += load_row(own * params.row_stride, lane) * $factor;
      }
    }
  }
  workgroupBarrier();
}
@if directions
var centroid = vec4f(0.0);
var change = 0.0;
if (live) {
  centroid = load_centroid(centroid_at, lane);
  if (total > 0u) {
    let mean = sum / f32(total);
    change = select(0.0, 1.0, any(mean != centroid));
    centroid = mean;
    store_centroid(centroid_at, lane, mean);
  }
}
let sums = sum_lanes(vec2f(dot(centroid, centroid), change), lane);
if (lane == 0u) {
  counts[group] = total;
  moved[group] = select(0u, 1u, sums.y > 0.0);
  if (total > 0u) {
    halves[group] = 0.5 * sums.x;
  }
}
@else
// Every lane has read the count by now.
storageBarrier();
if (live) {
  store_centroid(centroid_at, lane, sum / f32(max(total, 1u)));
}
if (lane == 0u) {
  counts[group] = total;
}
@end
`;
