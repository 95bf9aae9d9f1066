/**
 * The kernels of k-means, which are looked at.
 *
 * @module
 */

import {
  kmeansAssignKernel,
  kmeansGatherKernel,
  kmeansSeedDistancesKernel,
  kmeansSeedPickKernel,
  kmeansUpdateKernel,
  rowFormat,
} from "../../kernels/mod.ts";
import type { KernelSource } from "../../src/core/kernel.ts";

const format = rowFormat("f32", 64);

/** Snapshot name to kernel. */
export const KMEANS_SNAPSHOTS: readonly (readonly [string, KernelSource])[] = [
  ["kmeans_assign_f32", kmeansAssignKernel({ format })],
  [
    "kmeans_gather_tail_f16",
    kmeansGatherKernel({
      format: rowFormat("f32", 7),
      source: rowFormat("f16", 7),
    }),
  ],
  ["kmeans_seed_distances_f32", kmeansSeedDistancesKernel({ format })],
  ["kmeans_seed_pick", kmeansSeedPickKernel()],
  [
    "kmeans_update_clusters_f32",
    kmeansUpdateKernel({ format, of: "clusters" }),
  ],
  [
    "kmeans_update_directions_f32",
    kmeansUpdateKernel({ format, of: "directions" }),
  ],
  ["kmeans_update_keys_f32", kmeansUpdateKernel({ format, of: "keys" })],
];
