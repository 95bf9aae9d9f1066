// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * What scratch linear attention takes, and how many chunks are worked on at a
 * time so that it fits.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import type { ChunkSizes } from "./chunks.ts";
import type { LinearContext, LinearDevice } from "./context.ts";
import type { LinearProblem } from "./problem.ts";

/** Chunks of a block, and from how many on a sequence is divided into such. */
const BLOCK = 32;
const LONG = 128;

/** Bytes of one scratch buffer at most, where a binding could hold more. */
const MOST_BYTES = 2 ** 27;

type Values = Readonly<Record<string, number>>;

/** Bytes that a chunk takes of each scratch buffer. */
function chunkBytes(
  { chunk, stateHeads, outputHeads, decay }: LinearProblem,
  values: Values,
): Record<"states" | "gates" | "scores", number> {
  return {
    states: stateBytes(stateHeads, values),
    gates: decay ? 4 * chunk * stateHeads * values.gate_width : 0,
    scores: 16 * chunk * outputHeads * values.score_vecs,
  };
}

function stateBytes(
  stateHeads: number,
  { state_rows, value_vecs }: Values,
): number {
  return 16 * stateHeads * state_rows * value_vecs;
}

/**
 * How chunks of a problem are divided.
 *
 * @throws {RangeError} if scratch of a single chunk does not fit a binding
 */
export function chunkSizes(
  problem: LinearProblem,
  values: Values,
  { maxStorageBufferBindingSize }: LinearDevice["limits"],
): ChunkSizes {
  const most = Math.min(maxStorageBufferBindingSize, MOST_BYTES);
  const bytes = chunkBytes(problem, values);
  const largest = Math.max(...Object.values(bytes));
  checkRange(
    largest <= most,
    "chunk",
    `must need at most ${most} bytes of scratch at a time; ${
      bytes.states === largest
        ? "its states need more: compute some of the heads at a time"
        : `a chunk of ${problem.chunk} tokens needs ${largest}: make it smaller, or compute some of the heads at a time`
    }`,
    problem.chunk,
  );
  return { segment: Math.floor(most / largest), block: BLOCK, long: LONG };
}

/** Bytes of scratch, by name. */
export function linearScratch(
  { problem, schedule, values }: LinearContext,
): Record<string, number> {
  const { stateHeads, outputHeads, decay } = problem;
  const { segments, mostBlocks, kept } = schedule;
  const { gate_width, score_vecs } = values;
  const most = (of: (segment: typeof segments[number]) => number) =>
    Math.max(1, ...segments.map(of));
  const rows = most((segment) => segment.rows);
  const state = stateBytes(stateHeads, values);
  return {
    states: state * most(({ chunks }) => chunks.count),
    scores: 16 * rows * outputHeads * score_vecs,
    ...decay && { gates: 4 * rows * stateHeads * gate_width },
    ...kept && { kept_states: state * (mostBlocks + 2) },
    ...decay && mostBlocks > 0 &&
      { block_gates: 4 * mostBlocks * stateHeads * gate_width },
  };
}
