/**
 * From a score of each block to a bit: set where the score is at or above a
 * threshold, or where a word is not 0.
 *
 * ```text
 * scores [rows, blocks]   blocks [rows, words]: a bit a block
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { BLOCKS_A_WORD } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface SelectBlocksSpec {
  /** Scores, or words: 0, or not. */
  readonly dtype: "f32" | "f16" | "u32";
}

/** Invocations of a workgroup, a word each. */
export const SELECT_BLOCKS_LANES = 64;

/**
 * The kernel; grid: words, 64 a workgroup, folded into two dimensions.
 *
 * @example What it binds
 * ```ts
 * import { selectBlocksKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = selectBlocksKernel({ dtype: "f32" });
 * console.log(bindings.map(({ name }) => name)); // scores blocks params
 * ```
 *
 * @category Kernels
 */
export function selectBlocksKernel({ dtype }: SelectBlocksSpec): KernelSource {
  return kernelOf({
    label: `selection.select_blocks/${dtype}`,
    fragments: [{
      bindings: [
        { name: "scores", type: `array<${dtype}>`, access: "read" },
        { name: "blocks", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {
        words: "u32",
        row_words: "u32",
        row_blocks: "u32",
        grid_width: "u32",
        ...(dtype !== "u32" && { threshold: "f32" }),
      },
      code: dtype === "u32" ? "" : AT_LEAST,
    }],
    main: wgsl(SELECT, {
      lanes: SELECT_BLOCKS_LANES,
      each: BLOCKS_A_WORD,
      seen: dtype === "u32"
        ? "scores[first + i] != 0u"
        : "at_least(f32(scores[first + i]))",
    }),
  });
}

// By its bits, as WGSL may assume that there is no NaN.
const AT_LEAST = `
fn at_least(score: f32) -> bool {
  let number = (bitcast<u32>(score) & 0x7fffffffu) <= 0x7f800000u;
  return number && score >= params.threshold;
}
`;

const SELECT = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let word = (group_id.y * params.grid_width + group_id.x) * $lanes + lane;
  if (word >= params.words) {
    return;
  }
  let row = word / params.row_words;
  let first_block = (word - row * params.row_words) * $each;
  let first = row * params.row_blocks + first_block;
  let count = min($each, params.row_blocks - first_block);
  var bits = 0u;
  for (var i = 0u; i < count; i++) {
    bits |= select(0u, 1u << i, $seen);
  }
  blocks[word] = bits;
}
`;
