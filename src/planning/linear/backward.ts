/**
 * What backward of chunked linear attention costs: states computed once more,
 * their gradients from the last chunk to the one before it, and gradients
 * within chunks.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import {
  addCosts,
  NO_FLOPS,
  type ScheduleCost,
  timesCost,
  trafficOf,
} from "../traffic/cost.ts";
import {
  type ChunkSizes,
  gatedPairs,
  gatedRows,
  gatesCost,
  pairsOf,
  scanCost,
  scoresCost,
  statesCost,
} from "./chunk.ts";
import { type LinearChunks, sumOfChunks } from "./cost.ts";
import { filledSizes, type LinearSizes } from "./sizes.ts";

/** What the chunk's outputs say of the state before it. */
function stateGradientsCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d, valueHeadDim: e, gates } = chunk;
  const rows = n * group;
  return {
    traffic: trafficOf({
      query: [rows * d, 0],
      outputGradient: [rows * e, 0],
      gates: [n * gates, 0],
      statesGradient: [0, d * e],
    }),
    flops: {
      matmul: 2 * rows * d * e,
      exp: n * gates,
      rescale: rows * d + gatedRows(chunk, rows),
    },
  };
}

/** The gradient of the state after the chunk takes the place of the former. */
function reverseScanCost(chunk: ChunkSizes): ScheduleCost {
  const { traffic, flops } = scanCost(chunk);
  const { states, ...others } = traffic;
  return { traffic: { ...others, statesGradient: states! }, flops };
}

/** dO V^T, within the chunk. */
function scoreGradientsCost(
  { n, group, valueHeadDim: e }: ChunkSizes,
): ScheduleCost {
  const pairs = group * pairsOf(n, false);
  return {
    traffic: trafficOf({
      outputGradient: [n * group * e, 0],
      value: [n * e, 0],
      scoreGradient: [0, pairs],
    }),
    flops: { matmul: 2 * pairs * e, exp: 0, rescale: 0 },
  };
}

/** dQ: from the state before the chunk, and from the chunk's keys. */
function queryGradientCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d, valueHeadDim: e, gates } = chunk;
  const rows = n * group;
  const pairs = group * pairsOf(n, false);
  const gated = gatedPairs(chunk);
  return {
    traffic: trafficOf({
      scoreGradient: [pairs, 0],
      outputGradient: [rows * e, 0],
      key: [n * d, 0],
      gates: [n * gates, 0],
      states: [d * e, 0],
      queryGradient: [0, rows * d],
    }),
    flops: {
      matmul: 2 * rows * d * e + 2 * pairs * d,
      exp: gated.exp + n * gates,
      rescale: gated.rescale + rows * d + gatedRows(chunk, rows),
    },
  };
}

/** dK: from the gradient of the state after the chunk, and from its queries. */
function keyGradientCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d, valueHeadDim: e, gates } = chunk;
  const rows = n * group;
  const pairs = group * pairsOf(n, false);
  const gated = gatedPairs(chunk);
  return {
    traffic: trafficOf({
      scoreGradient: [pairs, 0],
      query: [rows * d, 0],
      value: [n * e, 0],
      gates: [n * gates, 0],
      statesGradient: [d * e, 0],
      keyGradient: [0, n * d],
    }),
    flops: {
      matmul: 2 * n * d * e + 2 * pairs * d,
      exp: gated.exp + n * gates,
      rescale: gated.rescale + rows * d + gatedRows(chunk, n),
    },
  };
}

/** dV. */
function valueGradientCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d, valueHeadDim: e, gates } = chunk;
  const pairs = group * pairsOf(n, false);
  return {
    traffic: trafficOf({
      scores: [pairs, 0],
      outputGradient: [n * group * e, 0],
      key: [n * d, 0],
      gates: [n * gates, 0],
      statesGradient: [d * e, 0],
      valueGradient: [0, n * e],
    }),
    flops: {
      matmul: 2 * n * d * e + 2 * pairs * e,
      exp: n * gates,
      rescale: gatedRows(chunk, n),
    },
  };
}

/** dg: q dq - k dk, summed up from the chunk's end, and what the state says. */
function decayGradientCost(
  { n, group, headDim: d, valueHeadDim: e, gates }: ChunkSizes,
): ScheduleCost {
  const rows = n * group;
  return {
    traffic: trafficOf({
      query: [rows * d, 0],
      queryGradient: [rows * d, 0],
      key: [n * d, 0],
      keyGradient: [n * d, 0],
      states: [d * e, 0],
      statesGradient: [d * e, 0],
      decayGradient: [0, n * gates],
    }),
    flops: { matmul: 2 * (rows + n) * d + 2 * d * e, exp: 0, rescale: 0 },
  };
}

/**
 * The cost of backward of chunked linear attention, with or without gates. The
 * states are computed anew, so that nothing but inputs is kept from forward;
 * `initialState` asks for its gradient, and `returnState` says that the last
 * state has one.
 *
 * @throws {TypeError} if a size is unknown or no number
 * @throws {RangeError} if one is out of range, or there is a delta rule, a
 * feature map or a normaliser, whose backward is not counted here
 *
 * @example Linear in the length
 * ```ts
 * import { linearBackwardCost } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const products = (tokens: number) =>
 *   linearBackwardCost({ tokens, headDim: 64 }, { chunk: 64 }).flops.matmul;
 * assertEquals(products(4096), 4 * products(1024));
 * ```
 *
 * @category Planning
 */
export function linearBackwardCost(
  sizes: LinearSizes,
  chunks: LinearChunks,
): ScheduleCost {
  const filled = filledSizes(sizes);
  const { delta, featureFlops, normalize, states, gates } = filled;
  checkRange(
    !delta && featureFlops === 0 && !normalize,
    "sizes",
    "must have no delta rule, feature map or normaliser; leave them out",
    sizes,
  );
  const state = filled.headDim * filled.valueHeadDim;
  const ends = {
    traffic: trafficOf({
      // With gates the last state is a chunk's like the others.
      state: [filled.initialState ? state : 0, 0],
      states: [0, gates > 0 ? state : 0],
      stateGradient: [
        filled.returnState ? state : 0,
        filled.initialState ? state : 0,
      ],
    }),
    flops: NO_FLOPS,
  };
  return addCosts(
    timesCost(ends, states),
    sumOfChunks(filled, chunks, (chunk) =>
      addCosts(
        gatesCost(chunk),
        statesCost(chunk),
        scanCost(chunk),
        stateGradientsCost(chunk),
        reverseScanCost(chunk),
        scoresCost(chunk),
        scoreGradientsCost(chunk),
        queryGradientCost(chunk),
        keyGradientCost(chunk),
        valueGradientCost(chunk),
        ...(gates > 0 ? [decayGradientCost(chunk)] : []),
      )),
  );
}
