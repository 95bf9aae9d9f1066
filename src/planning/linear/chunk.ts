/**
 * What the dispatches of chunked linear attention cost, for one chunk of one
 * state. Each reads its operands once.
 *
 * @module
 */

import {
  addCosts,
  NO_FLOPS,
  type ScheduleCost,
  trafficOf,
} from "../traffic/cost.ts";
import type { FilledSizes } from "./sizes.ts";

/** A chunk: `n` tokens, in sub-chunks of which the last may be shorter. */
export interface ChunkSizes extends FilledSizes {
  /** n: tokens. */
  readonly n: number;
  /** Tokens of a sub-chunk. */
  readonly subChunk: number;
}

/** Pairs of a token and one not after it; `strict`: before it. */
export function pairsOf(n: number, strict: boolean): number {
  return n * (n + (strict ? -1 : 1)) / 2;
}

/** Exponentials and multiplications. */
interface Scaled {
  readonly exp: number;
  readonly rescale: number;
}

/** Rows times the exponential of their gates. */
export function gatedRows(
  { gates, headDim }: ChunkSizes,
  rows: number,
): number {
  return gates > 0 ? rows * headDim : 0;
}

/**
 * The gates of all pairs: on the pair where a token has one; by the gate of the
 * first row of a sub-chunk between sub-chunks, and element by element within
 * one, where it has one a channel.
 */
export function gatedPairs(
  { n, subChunk, headDim: d, gates, group }: ChunkSizes,
  { strict = false, rows = group }: { strict?: boolean; rows?: number } = {},
): Scaled {
  if (gates === 0) return { exp: 0, rescale: 0 };
  if (gates === 1) {
    const pairs = pairsOf(n, strict);
    return { exp: pairs, rescale: rows * pairs };
  }
  let [exp, rescale] = [0, 0];
  for (let first = 0; first < n; first += subChunk) {
    const count = Math.min(subChunk, n - first);
    const within = pairsOf(count, strict);
    exp += within * d + (first > 0 ? count + first : 0) * d;
    rescale += rows * within * d + (first > 0 ? rows * count + first : 0) * d;
  }
  return { exp, rescale };
}

/** Log gates summed up. */
export function gatesCost({ n, gates }: ChunkSizes): ScheduleCost {
  return {
    traffic: trafficOf({ decay: [n * gates, 0], gates: [0, n * gates] }),
    flops: NO_FLOPS,
  };
}

/** K^T V of the chunk. */
export function statesCost(chunk: ChunkSizes): ScheduleCost {
  const { n, headDim: d, valueHeadDim: e, features, columns } = chunk;
  return {
    traffic: trafficOf({
      key: [n * d, 0],
      value: [n * e, 0],
      gates: [n * chunk.gates, 0],
      states: [0, features * columns],
    }),
    flops: {
      matmul: 2 * n * features * columns,
      exp: n * chunk.gates,
      rescale: gatedRows(chunk, n) + n * chunk.featureFlops,
    },
  };
}

/** The state before the chunk takes the place of what the chunk adds. */
export function scanCost(
  { features, columns, gates }: ChunkSizes,
): ScheduleCost {
  const state = features * columns;
  return {
    traffic: trafficOf({ states: [state, state], gates: [gates, 0] }),
    flops: { matmul: 0, exp: gates, rescale: gates > 0 ? state : 0 },
  };
}

/** A, within the chunk. */
export function scoresCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d } = chunk;
  const pairs = group * pairsOf(n, false);
  const gated = gatedPairs(chunk);
  return {
    traffic: trafficOf({
      query: [n * group * d, 0],
      key: [n * d, 0],
      gates: [n * chunk.gates, 0],
      scores: [0, pairs],
    }),
    flops: {
      matmul: 2 * pairs * d,
      exp: gated.exp,
      rescale: n * group * d + pairs * chunk.scoreFlops + gated.rescale,
    },
  };
}

/** What the state before the chunk, and the chunk itself, answer. */
export function outputCost(chunk: ChunkSizes): ScheduleCost {
  const { n, group, headDim: d, valueHeadDim: e, features, columns } = chunk;
  const rows = n * group;
  const pairs = group * pairsOf(n, false);
  return {
    traffic: trafficOf({
      query: [rows * d, 0],
      gates: [n * chunk.gates, 0],
      states: [features * columns, 0],
      scores: [pairs, 0],
      [chunk.delta ? "residuals" : "value"]: [n * e, 0],
      output: [0, rows * e],
    }),
    flops: {
      matmul: 2 * rows * features * columns + 2 * pairs * columns,
      exp: n * chunk.gates,
      // A feature row has the scale in it.
      rescale: (chunk.featureFlops > 0 ? 0 : rows * d) +
        gatedRows(chunk, rows) + rows * chunk.featureFlops +
        (chunk.normalize ? rows * e : 0),
    },
  };
}

/** The delta rule's triangle: T = (I + L diag(beta))^-1, T V and T K. */
export function solveCost(chunk: ChunkSizes): ScheduleCost {
  const { n, headDim: d, valueHeadDim: e } = chunk;
  const pairs = pairsOf(n, true);
  const gated = gatedPairs(chunk, { strict: true, rows: 1 });
  return {
    traffic: trafficOf({
      key: [n * d, 0],
      value: [n * e, 0],
      beta: [n, 0],
      gates: [n * chunk.gates, 0],
      solved: [0, n * (d + e)],
    }),
    flops: {
      matmul: 2 * pairs * (2 * d + e) + n * (n - 1) * (n - 2) / 3,
      exp: gated.exp + n * chunk.gates,
      rescale: gated.rescale + pairs + gatedRows(chunk, n),
    },
  };
}

/** The delta rule's scan: residuals, and the state that they leave. */
export function deltaScanCost(chunk: ChunkSizes): ScheduleCost {
  const { n, headDim: d, valueHeadDim: e, gates } = chunk;
  return {
    traffic: trafficOf({
      solved: [n * (d + e), 0],
      key: [n * d, 0],
      beta: [n, 0],
      gates: [n * gates, 0],
      states: [0, d * e],
      residuals: [0, n * e],
    }),
    flops: {
      matmul: 4 * n * d * e,
      exp: gates > 0 ? (n + 1) * gates : 0,
      rescale: n * e + gatedRows(chunk, n) + (gates > 0 ? d * e : 0),
    },
  };
}

/** One chunk of forward. */
export function forwardChunk(chunk: ChunkSizes): ScheduleCost {
  return addCosts(
    gatesCost(chunk),
    ...(chunk.delta
      ? [solveCost(chunk), deltaScanCost(chunk)]
      : [statesCost(chunk), scanCost(chunk)]),
    scoresCost(chunk),
    outputCost(chunk),
  );
}
