/**
 * From the means of clusters to a bit of each member: set where its cluster's
 * mean is above a threshold, and for members that are in no cluster.
 *
 * ```text
 * means [heads, clusters]   labels [heads, labelled]   bits [heads, words]
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { invocationEntry } from "../entry.ts";
import { kernelOf } from "../fragment.ts";
import { BLOCKS_A_WORD } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/** Invocations of a workgroup, a word each. */
export const KEEP_MEMBERS_LANES = 64;

/**
 * The kernel; grid: words, 64 a workgroup, folded.
 *
 * @example What it binds
 * ```ts
 * import { keepMembersKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = keepMembersKernel();
 * console.log(bindings.map(({ name }) => name)); // means labels bits params
 * ```
 *
 * @category Kernels
 */
export function keepMembersKernel(): KernelSource {
  return kernelOf({
    label: "selection.keep_members/f32",
    fragments: [{
      bindings: [
        { name: "means", type: "array<f32>", access: "read" },
        { name: "labels", type: "array<u32>", access: "read" },
        { name: "bits", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {
        words: "u32",
        row_words: "u32",
        // Members, and how many of them are in clusters: the first.
        members: "u32",
        labelled: "u32",
        clusters: "u32",
        threshold: "f32",
      },
    }],
    main: invocationEntry(
      KEEP_MEMBERS_LANES,
      wgsl(KEEP, { each: BLOCKS_A_WORD }),
    ),
  });
}

const KEEP = `
if (index >= params.words) {
  return;
}
let head = index / params.row_words;
let first = (index - head * params.row_words) * $each;
let count = min($each, params.members - first);
var kept = 0u;
for (var i = 0u; i < count; i++) {
  var keep = true;
  if (first + i < params.labelled) {
    let cluster = labels[head * params.labelled + first + i];
    keep = means[head * params.clusters + cluster] > params.threshold;
  }
  kept |= select(0u, 1u << i, keep);
}
bits[index] = kept;
`;
