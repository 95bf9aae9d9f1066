/**
 * One step of k-means++ (Arthur and Vassilvitskii 2007): how far each member is
 * from the seed that was taken last, squared, if that is nearer than all before;
 * and the sum of these distances, by which the next seed is drawn. Before the
 * first seed every member that has a direction is as far as any.
 *
 * ```text
 * picks [heads, 1 + clusters]: how many are taken, then which members
 * distances [heads, members]    labels [heads, members]: the nearest seed
 * sums [heads, groups]: of the distances of each group of members
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { groupEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { laneSum } from "../../fragments/lane_sum.ts";
import { wgsl } from "../../wgsl.ts";
import {
  clusterCount,
  type KmeansSpec,
  memberRows,
  scales,
  sizes,
} from "./members.ts";

/** Invocations of a workgroup, and members of one that are summed together. */
export const SEED_GROUP = 64;

/**
 * The kernel; a workgroup 64 members of a head.
 *
 * @example What it binds
 * ```ts
 * import { kmeansSeedDistancesKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const format = rowFormat("f32", 64);
 * const { bindings } = kmeansSeedDistancesKernel({ format });
 * console.log(bindings.map(({ name }) => name));
 * // rows scales picks distances labels sums params
 * ```
 *
 * @category Kernels
 */
export function kmeansSeedDistancesKernel(
  { format }: KmeansSpec,
): KernelSource {
  return kernelOf({
    label: "selection.kmeans.seed_distances/f32",
    fragments: [
      memberRows(format),
      scales,
      sizes,
      clusterCount,
      laneSum({ lanes: SEED_GROUP, width: SEED_GROUP, type: "f32" }),
      {
        bindings: [
          { name: "picks", type: "array<u32>", access: "read" },
          { name: "distances", type: "array<f32>", access: "read_write" },
          { name: "labels", type: "array<u32>", access: "read_write" },
          { name: "sums", type: "array<f32>", access: "read_write" },
        ],
        // Groups of a head.
        uniforms: { groups: "u32" },
      },
    ],
    main: groupEntry(SEED_GROUP, wgsl(DISTANCES, { lanes: SEED_GROUP })),
  });
}

const DISTANCES = `
let head = group / params.groups;
if (head >= params.heads) {
  return;
}
let member = (group - head * params.groups) * $lanes + lane;
let own = head * params.members + member;
let picks_at = head * (params.clusters + 1u);
let taken = picks[picks_at];
var distance = 0.0;
// What has no direction is no seed.
if (member < params.members && scales[own] > 0.0) {
  if (taken == 0u) {
    distance = 1.0;
  } else {
    let seed = head * params.members + picks[picks_at + taken];
    let seed_at = seed * params.row_stride;
    let own_at = own * params.row_stride;
    for (var vec = 0u; vec < params.head_vecs; vec++) {
      let apart = load_row(own_at, vec) * scales[own] - load_row(seed_at, vec) * scales[seed];
      distance += dot(apart, apart);
    }
    if (taken == 1u || distance < distances[own]) {
      labels[own] = taken - 1u;
    } else {
      distance = distances[own];
    }
  }
  distances[own] = distance;
} else if (member < params.members) {
  labels[own] = 0u;
}
let sum = sum_lanes(distance, lane);
if (lane == 0u) {
  sums[group] = sum;
}
`;
