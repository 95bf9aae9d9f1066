/**
 * From a score of each block to a bit: set for the `count` highest of each row;
 * of equal ones for those that come first, so that the order is total. A
 * workgroup a row finds the last score that is taken bit by bit, from the
 * highest on, by counting; no sort, no atomics.
 *
 * ```text
 * scores [rows, blocks]   blocks [rows, words]: a bit a block
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { ORDER_OF } from "../fragments/score_order.ts";
import { BLOCKS_A_WORD } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface TopBlocksSpec {
  /** Element type of the scores. */
  readonly dtype: "f32" | "f16";
}

/** Invocations of a workgroup. */
const LANES = 64;

/** Iterations that an invocation's loops take for rows of so many blocks. */
export function topBlocksLoops(blocks: number): number {
  const counted = Math.ceil(blocks / LANES) + 1 + Math.log2(LANES) + 1;
  const chunks = Math.ceil(blocks / BLOCKS_A_WORD / LANES);
  const chunk = 2 * BLOCKS_A_WORD + 2 + Math.log2(LANES) + 2;
  return 34 * (counted + 1) + chunks * chunk + 2;
}

/**
 * The kernel; grid: rows, folded into two dimensions.
 *
 * @example What it binds
 * ```ts
 * import { topBlocksKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = topBlocksKernel({ dtype: "f32" });
 * console.log(bindings.map(({ name }) => name)); // scores blocks params
 * ```
 *
 * @category Kernels
 */
export function topBlocksKernel({ dtype }: TopBlocksSpec): KernelSource {
  const scope = {
    lanes: LANES,
    last: LANES - 1,
    each: BLOCKS_A_WORD,
    orderOf: ORDER_OF,
  };
  return kernelOf({
    label: `selection.top_blocks/${dtype}`,
    fragments: [{
      bindings: [
        { name: "scores", type: `array<${dtype}>`, access: "read" },
        { name: "blocks", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {
        rows: "u32",
        row_words: "u32",
        row_blocks: "u32",
        grid_width: "u32",
        // How many of each row.
        count: "u32",
      },
      code: wgsl(DECLARATIONS, scope),
    }],
    main: wgsl(SELECT, scope),
  });
}

const DECLARATIONS = `
var<workgroup> sums: array<u32, $lanes>;

$orderOf

// The sum over lanes up to this one, in every lane's place of sums.
fn sum_lanes(value: u32, lane: u32) {
  sums[lane] = value;
  workgroupBarrier();
  for (var distance = 1u; distance < $lanes; distance *= 2u) {
    var sum = sums[lane];
    if (lane >= distance) {
      sum += sums[lane - distance];
    }
    workgroupBarrier();
    sums[lane] = sum;
    workgroupBarrier();
  }
}

// How many blocks of a row are at least so high.
fn count_from(least: u32, first: u32, lane: u32) -> u32 {
  var own = 0u;
  for (var i = lane; i < params.row_blocks; i += $lanes) {
    own += select(0u, 1u, order_of(f32(scores[first + i])) >= least);
  }
  sum_lanes(own, lane);
  let all = sums[$last];
  workgroupBarrier();
  return all;
}
`;

const SELECT = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_id.y * params.grid_width + group_id.x;
  if (row >= params.rows) {
    return;
  }
  let first = row * params.row_blocks;
  // The highest number that as many are at least as high as.
  var lowest = 0u;
  for (var bit = 0u; bit < 32u; bit++) {
    let higher = lowest | (0x80000000u >> bit);
    let found = count_from(higher, first, lane);
    lowest = select(lowest, higher, found >= params.count);
  }
  // Those above it are taken, and of those as high the first ones.
  var left = 0u;
  let above = count_from(lowest + 1u, first, lane);
  if (lowest > 0u) {
    left = params.count - above;
  }
  var ties_before = 0u;
  for (var first_word = 0u; first_word < params.row_words; first_word += $lanes) {
    let word = first_word + lane;
    let begin = word * $each;
    let end = min(begin + $each, params.row_blocks);
    var taken = 0u;
    var ties = 0u;
    for (var i = begin; i < end; i++) {
      let order = order_of(f32(scores[first + i]));
      taken |= select(0u, 1u << (i - begin), order > lowest);
      ties |= select(0u, 1u << (i - begin), order == lowest);
    }
    let own = countOneBits(ties);
    sum_lanes(own, lane);
    let before = ties_before + sums[lane] - own;
    var open = left - min(left, before);
    for (var i = 0u; i < $each; i++) {
      let tie = (ties >> i) & 1u;
      if (tie == 1u && open > 0u) {
        taken |= 1u << i;
        open -= 1u;
      }
    }
    if (word < params.row_words) {
      blocks[row * params.row_words + word] = taken;
    }
    ties_before += sums[$last];
    workgroupBarrier();
  }
}
`;
