/**
 * How much blocks of queries attend to blocks of keys, of what the forward kernel
 * left of its scores (`block_maxima.ts`) and the rows' log-sum-exp: the ground
 * truth that a block gate learns from (SeerAttention, Gao et al. 2024, section
 * 3.2),
 *
 * ```text
 * g_IJ = max over the rows i of block I of exp(r_iJ - L_i)
 * G_IJ = g_IJ / sum over J of g_IJ
 * ```
 *
 * that is the largest weight of any pair of the two blocks, and each row of
 * blocks adds up to 1; one without a pair is 0.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { kernelOf } from "../fragment.ts";
import { laneSum } from "../fragments/lane_sum.ts";
import { placeOf } from "../fragments/rows.ts";
import { schedule, SEQUENCE } from "../fragments/schedule.ts";
import { SCORE_OF } from "../fragments/score_order.ts";
import { wgsl } from "../wgsl.ts";
import { BLOCK_MAXIMA, SCORE_BLOCKS } from "./block_maxima.ts";
import { type EpilogueSpec, lsePlaces } from "./epilogue.ts";

/** `[sequences, heads, queryBlocks, keyBlocks]`. */
export const BLOCK_SCORES = "block_scores";

/** Invocations of a workgroup: a row of blocks. */
const LANES = 64;

/**
 * Iterations that an invocation's loops take, for rows of so many blocks of so
 * many queries.
 */
export function blockScoresLoops(blocks: number, queries: number): number {
  return Math.ceil(blocks / LANES) * (queries + 3) + 2 + LANES + 1;
}

/**
 * The kernel; grid: rows of blocks of all sequences along x, folded into z, and
 * query heads along y.
 */
export function blockScoresKernel(
  { stridedQueries: batches = false }: Pick<EpilogueSpec, "stridedQueries">,
): KernelSource {
  return kernelOf({
    label: "attention.block_scores/f32",
    fragments: [
      {
        bindings: [{
          name: BLOCK_MAXIMA,
          type: "array<u32>",
          access: "read",
        }, {
          name: "lse",
          type: "array<f32>",
          access: "read",
        }],
      },
      schedule,
      {
        bindings: [{
          name: BLOCK_SCORES,
          type: "array<f32>",
          access: "read_write",
        }],
        uniforms: {
          ...SCORE_BLOCKS,
          // Rows of blocks of a sequence.
          score_rows: "u32",
          group_count: "u32",
          grid_width: "u32",
        },
        code: wgsl(SCORE_OF),
      },
      lsePlaces({ stridedQueries: batches }),
      laneSum({ lanes: LANES, width: LANES, type: "f32" }),
    ],
    main: wgsl(POOL, {
      lanes: LANES,
      words: SEQUENCE.words,
      maxima: BLOCK_MAXIMA,
      place: placeOf({ name: "lse", batches }, {
        batch: "sequence.batch",
        token: "sequence.query_start + query",
        head: "head",
      }),
    }),
  });
}

const POOL = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.z * params.grid_width + group_id.x;
  if (group >= params.group_count) {
    return;
  }
  let batch = group / params.score_rows;
  let block_row = group - batch * params.score_rows;
  let head = group_id.y;
  let sequence = read_sequence(params.sequences_at + batch * $words);
  let first = block_row * params.score_block;
  let end = min(first + params.score_block, sequence.query_count);
  let row_at = ((batch * grid.y + head) * params.score_rows + block_row) * params.score_blocks;
  var sum = 0.0;
  for (var block = lane; block < params.score_blocks; block += $lanes) {
    var highest = 0.0;
    for (var query = first; query < end; query++) {
      let row = $place;
      let order = $maxima[row * params.score_blocks + block];
      let log_sum = lse[row];
      if (order != 0u) {
        highest = max(highest, exp(score_of(order) - log_sum));
      }
    }
    block_scores[row_at + block] = highest;
    sum += highest;
  }
  let all = sum_lanes(sum, lane);
  for (var block = lane; block < params.score_blocks; block += $lanes) {
    block_scores[row_at + block] /= select(all, 1.0, all == 0.0);
  }
}
`;
