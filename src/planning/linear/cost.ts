/**
 * What linear attention costs, token by token and by chunks.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import {
  addCosts,
  NO_FLOPS,
  type ScheduleCost,
  timesCost,
  trafficOf,
} from "../traffic/cost.ts";
import {
  type ChunkSizes,
  forwardChunk,
  gatesCost,
  scanCost,
  statesCost,
} from "./chunk.ts";
import { type FilledSizes, filledSizes, type LinearSizes } from "./sizes.ts";

/**
 * How a sequence is cut.
 *
 * @category Planning
 */
export interface LinearChunks {
  /** C: tokens of a chunk; the last may be shorter. */
  readonly chunk: number;
  /** Tokens of a sub-chunk, of gates that differ by channel; default a chunk. */
  readonly subChunk?: number;
}

/** The state that begins each sequence, and the one that ends it. */
function endsCost(
  { states, features, columns, initialState, returnState }: FilledSizes,
): ScheduleCost {
  const state = states * features * columns;
  return {
    traffic: trafficOf({
      state: [initialState ? state : 0, returnState ? state : 0],
    }),
    flops: NO_FLOPS,
  };
}

/**
 * The sum over the chunks of all states.
 *
 * @throws {TypeError} if a chunk size is unknown or no number
 * @throws {RangeError} if one is out of range
 */
export function sumOfChunks(
  sizes: FilledSizes,
  chunks: LinearChunks,
  costOf: (chunk: ChunkSizes) => ScheduleCost,
): ScheduleCost {
  checkOptions("chunks", chunks, {
    known: ["chunk", "subChunk"],
    hints: { size: "write chunk" },
  });
  const { chunk, subChunk = chunk } = chunks;
  checkInteger("chunks.chunk", chunk, 1);
  checkInteger("chunks.subChunk", subChunk, 1);
  const whole = Math.floor(sizes.tokens / chunk);
  const rest = sizes.tokens % chunk;
  return addCosts(
    timesCost(costOf({ ...sizes, n: chunk, subChunk }), sizes.states * whole),
    ...(rest > 0
      ? [timesCost(costOf({ ...sizes, n: rest, subChunk }), sizes.states)]
      : []),
  );
}

/**
 * The cost of linear attention by chunks, in a dispatch each: gates summed up;
 * what each chunk adds to the state; a scan over the chunks, which leaves the
 * state before each; scores within a chunk; outputs. The delta rule solves a
 * triangle instead of the second, and its scan finds the values that it writes.
 * Scores are counted for pairs of a token and one not after it, and each
 * dispatch reads each operand once; a key head's rows are read for each state
 * that shares them.
 *
 * ```text
 * states  2 n D e      scores  n (n + 1) d
 * output  2 n D e + n (n + 1) e
 * ```
 *
 * operations of a chunk of n tokens, linear in the length for a fixed n.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example Against softmax attention, whose products grow with the square
 * ```ts
 * import { flash2Cost, linearCost } from "@quire/attention/planning";
 *
 * for (const tokens of [1024, 4096, 16384]) {
 *   const linear = linearCost({ tokens, headDim: 64 }, { chunk: 64 });
 *   const softmax = flash2Cost(
 *     { queries: tokens, keys: tokens, headDim: 64 },
 *     { rows: 64, keys: 64, visits: (row, key) => key <= row },
 *   );
 *   console.log(tokens, softmax.flops.matmul / linear.flops.matmul);
 * }
 * ```
 *
 * @category Planning
 */
export function linearCost(
  sizes: LinearSizes,
  chunks: LinearChunks,
): ScheduleCost {
  const filled = filledSizes(sizes);
  return addCosts(endsCost(filled), sumOfChunks(filled, chunks, forwardChunk));
}

/**
 * The cost of a state by chunks, without outputs, as of the prefix that JRT's
 * encoder reads.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range, or there is a delta rule
 *
 * @example Less than half of all that forward does
 * ```ts
 * import { linearCost, linearStateCost } from "@quire/attention/planning";
 *
 * const sizes = { tokens: 1024, headDim: 64 };
 * const [state, all] = [linearStateCost, linearCost]
 *   .map((cost) => cost(sizes, { chunk: 64 }).flops.matmul);
 * console.log(state / all); // 0.33
 * ```
 *
 * @category Planning
 */
export function linearStateCost(
  sizes: LinearSizes,
  chunks: LinearChunks,
): ScheduleCost {
  const filled = filledSizes(sizes);
  checkRange(
    !filled.delta,
    "sizes.delta",
    "must not be given, as its values need the scan; leave it out",
    filled.delta,
  );
  return addCosts(
    endsCost(filled),
    sumOfChunks(
      filled,
      chunks,
      (chunk) => addCosts(gatesCost(chunk), statesCost(chunk), scanCost(chunk)),
    ),
  );
}

/**
 * The cost of linear attention token by token, as in decode: one dispatch that
 * holds the state, and per token adds to it and asks it.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range
 *
 * @example A token costs the same after any number of them
 * ```ts
 * import { recurrentCost } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const { flops, traffic } = recurrentCost({
 *   tokens: 1,
 *   headDim: 64,
 *   initialState: true,
 *   returnState: true,
 * });
 * assertEquals(flops.matmul, 4 * 64 * 64);
 * assertEquals(traffic.state, { reads: 64 * 64, writes: 64 * 64 });
 * ```
 *
 * @category Planning
 */
export function recurrentCost(sizes: LinearSizes): ScheduleCost {
  const filled = filledSizes(sizes);
  const { headDim: d, valueHeadDim: e, group, gates, delta } = filled;
  const state = filled.features * filled.columns;
  const token: ScheduleCost = {
    traffic: trafficOf({
      query: [group * d, 0],
      key: [d, 0],
      value: [e, 0],
      decay: [gates, 0],
      beta: [delta ? 1 : 0, 0],
      output: [0, group * e],
    }),
    flops: {
      matmul: 2 * (1 + group) * state + (delta ? 2 * d * e : 0),
      exp: gates,
      rescale: (gates > 0 ? state : 0) + (delta ? e : 0) +
        // A feature row has the scale in it.
        (filled.featureFlops > 0
          ? (1 + group) * filled.featureFlops
          : group * d) +
        (filled.normalize ? group * e : 0),
    },
  };
  return addCosts(
    endsCost(filled),
    timesCost(token, filled.states * filled.tokens),
  );
}
