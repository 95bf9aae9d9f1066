/**
 * The look-up of Squeezed Attention as it is reviewed.
 *
 * @module
 */

import {
  centroidDenominatorsKernel,
  centroidMeansKernel,
  centroidSumsKernel,
  compactKernel,
  keepMembersKernel,
  mergeStatesKernel,
  rowFormat,
} from "../../kernels/mod.ts";
import type { KernelSource } from "../../src/core/kernel.ts";

const whole = rowFormat("f32", 64);
const tail = rowFormat("f32", 7);

const plain = { queryFormat: whole, centroidFormat: whole, listed: false };
const listed = {
  queryFormat: rowFormat("f16", 7),
  centroidFormat: tail,
  listed: true,
};

/** Its kernels. */
export const SQUEEZED_SNAPSHOTS: readonly (readonly [string, KernelSource])[] =
  [
    ["centroid_denominators_f32", centroidDenominatorsKernel(plain)],
    [
      "centroid_denominators_listed_tail_f16",
      centroidDenominatorsKernel(listed),
    ],
    ["centroid_sums_f32", centroidSumsKernel(plain)],
    ["centroid_means", centroidMeansKernel({ listed: false })],
    ["centroid_means_listed", centroidMeansKernel({ listed: true })],
    ["keep_members", keepMembersKernel()],
    ["compact", compactKernel({ paged: false })],
    ["compact_paged", compactKernel({ paged: true })],
    ["merge_states_by_head_f32", mergeStatesKernel(whole, { byHead: true })],
  ];
