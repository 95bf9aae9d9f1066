/**
 * The next seed of k-means++, drawn by a number of the seed's own: the member at
 * which the sum of squared distances, from the first on, passes that part of all
 * of it. An invocation a head, which adds in the order of the members, so that
 * the draw is repeatable.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { clusterCount } from "./members.ts";
import { SEED_GROUP } from "./seed_distances.ts";

/** Invocations of a workgroup, a head each. */
export const SEED_PICK_LANES = 32;

/** Iterations that its loops take for so many members. */
export function seedPickLoops(members: number): number {
  return 2 * (Math.ceil(members / SEED_GROUP) + 1) + SEED_GROUP + 1;
}

/**
 * The kernel.
 *
 * @example What it binds
 * ```ts
 * import { kmeansSeedPickKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = kmeansSeedPickKernel();
 * console.log(bindings.map(({ name }) => name));
 * // draws distances sums picks params
 * ```
 *
 * @category Kernels
 */
export function kmeansSeedPickKernel(): KernelSource {
  return kernelOf({
    label: "selection.kmeans.seed_pick/f32",
    fragments: [clusterCount, {
      bindings: [
        { name: "draws", type: "array<f32>", access: "read" },
        { name: "distances", type: "array<f32>", access: "read" },
        { name: "sums", type: "array<f32>", access: "read" },
        { name: "picks", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {
        heads: "u32",
        members: "u32",
        groups: "u32",
      },
    }],
    main: invocationEntry(SEED_PICK_LANES, wgsl(PICK, { each: SEED_GROUP })),
  });
}

const PICK = `
let head = index;
if (head >= params.heads) {
  return;
}
let picks_at = head * (params.clusters + 1u);
let taken = picks[picks_at];
if (taken >= params.clusters) {
  return;
}
let sums_at = head * params.groups;
var all = 0.0;
for (var i = 0u; i < params.groups; i++) {
  all += sums[sums_at + i];
}
let aim = draws[head * params.clusters + taken] * all;
// The last group that has a distance, if rounding leaves none that passes.
var before = 0.0;
var chosen = 0u;
var chosen_before = 0.0;
for (var i = 0u; i < params.groups; i++) {
  let sum = sums[sums_at + i];
  if (sum > 0.0) {
    chosen = i;
    chosen_before = before;
    before += sum;
    if (before > aim) {
      break;
    }
  }
}
let first = chosen * $each;
let count = min($each, params.members - first);
let distances_at = head * params.members + first;
var pick = first;
var passed = chosen_before;
for (var i = 0u; i < count; i++) {
  let distance = distances[distances_at + i];
  if (distance > 0.0) {
    pick = first + i;
    passed += distance;
    if (passed > aim) {
      break;
    }
  }
}
picks[picks_at + 1u + taken] = pick;
picks[picks_at] = taken + 1u;
`;
