// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * How many chunks are worked on at a time, so that their scratch fits.
 *
 * @module
 */

import { checkRange } from "../../../core/check.ts";
import type { ChunkSizes } from "./chunks.ts";
import type { LinearProblem } from "../options/problem.ts";

/** Chunks of a block, and from how many on a sequence is divided into such. */
const BLOCK = 32;
const LONG = 128;

/** Bytes of one scratch buffer at most, where a binding could hold more. */
const MOST_BYTES = 2 ** 27;

type Values = Readonly<Record<string, number>>;

/** Bytes that a chunk takes of each scratch buffer. */
function chunkBytes(
  { chunk, stateHeads, outputHeads, decay, beta }: LinearProblem,
  values: Values,
): Readonly<Record<string, number>> {
  return {
    states: stateBytes(stateHeads, values),
    gates: decay ? 4 * chunk * stateHeads * values.gate_width : 0,
    scores: 16 * chunk * outputHeads * values.score_vecs,
    ...beta && deltaBytes(chunk * stateHeads, values),
  };
}

/** Bytes that so many rows take of each scratch buffer of the delta rules. */
export function deltaBytes(
  rows: number,
  { score_vecs, value_vecs, head_vecs }: Values,
): Record<string, number> {
  return {
    key_scores: 16 * rows * score_vecs,
    written: 16 * rows * value_vecs,
    erased: 16 * rows * head_vecs,
  };
}

/** Bytes of the states of all heads, in whole vec4s. */
export function stateBytes(
  stateHeads: number,
  { state_rows, state_vecs }: Values,
): number {
  return 16 * stateHeads * state_rows * state_vecs;
}

/**
 * How chunks of a problem are divided; `besides` are bytes that a chunk takes of
 * further scratch buffers.
 *
 * @throws {RangeError} if scratch of a single chunk does not fit a binding
 */
export function chunkSizes(
  problem: LinearProblem,
  values: Values,
  { maxStorageBufferBindingSize }: {
    readonly maxStorageBufferBindingSize: number;
  },
  besides: Readonly<Record<string, number>> = {},
): Omit<ChunkSizes, "recurrentTokens"> {
  const most = Math.min(maxStorageBufferBindingSize, MOST_BYTES);
  const bytes = { ...chunkBytes(problem, values), ...besides };
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
  return {
    segment: Math.floor(most / largest),
    block: BLOCK,
    // A chunk's state after the delta rules is not a sum that blocks could have.
    long: problem.beta ? Infinity : LONG,
  };
}
