/**
 * What a schedule costs: elements that cross between slow and fast memory, by
 * tensor, and arithmetic.
 *
 * Slow memory is what outlives a workgroup (storage buffers); fast memory is
 * what a workgroup has (workgroup memory, registers). A load that several lanes
 * of one workgroup share counts once.
 *
 * @module
 */

import { bytesPerElement, type DType } from "../../core/dtype.ts";

/**
 * A tensor that a schedule moves. `scores` is S, `weights` is P, `statistics`
 * are m and l, `blockMaxima` are the rows' largest scores in blocks of keys and
 * `blockScores` what is made of them, `states` are partial results of splits, or of chunks, `delta` is
 * the row sum of dO and O. Of linear attention, `decay` and `beta` are given,
 * `gates` are log gates summed up within a chunk, `state` begins or ends a
 * sequence, `solved` is what the delta rule's triangle leaves of keys and
 * values, and `residuals` are the values that it writes.
 *
 * @category Planning
 */
export type TrafficTensor =
  | "query"
  | "key"
  | "value"
  | "output"
  | "outputGradient"
  | "queryGradient"
  | "keyGradient"
  | "valueGradient"
  | "lse"
  | "statistics"
  | "blockMaxima"
  | "blockScores"
  | "scores"
  | "weights"
  | "states"
  | "delta"
  | "weightGradient"
  | "scoreGradient"
  | "decay"
  | "beta"
  | "gates"
  | "state"
  | "solved"
  | "residuals"
  | "statesGradient"
  | "decayGradient"
  | "stateGradient";

/** Whether a tensor is float32 whatever the storage type is. */
const SINGLE: Readonly<Record<TrafficTensor, boolean>> = {
  query: false,
  key: false,
  value: false,
  output: false,
  outputGradient: false,
  queryGradient: false,
  keyGradient: false,
  valueGradient: false,
  lse: true,
  statistics: true,
  blockMaxima: true,
  blockScores: true,
  scores: true,
  weights: true,
  states: true,
  delta: true,
  weightGradient: true,
  scoreGradient: true,
  decay: true,
  beta: true,
  gates: true,
  state: true,
  solved: true,
  residuals: true,
  statesGradient: true,
  decayGradient: true,
  stateGradient: true,
};

/**
 * Elements, or bytes, that move each way.
 *
 * @category Planning
 */
export interface Moved {
  /** From slow memory. */
  readonly reads: number;
  /** To slow memory. */
  readonly writes: number;
}

/**
 * What moves, by tensor; a tensor that does not move is not there.
 *
 * @category Planning
 */
export type Traffic = Readonly<Partial<Record<TrafficTensor, Moved>>>;

/**
 * Arithmetic, by kind.
 *
 * @category Planning
 */
export interface Flops {
  /** Multiplications and additions of matrix products, each counted. */
  readonly matmul: number;
  /** Exponentials. */
  readonly exp: number;
  /**
   * Multiplications and divisions that rescale or normalise: the arithmetic
   * beside the products in which FlashAttention-1 and -2 differ.
   */
  readonly rescale: number;
}

/**
 * What a schedule costs.
 *
 * @category Planning
 */
export interface ScheduleCost {
  /** Elements, by tensor. */
  readonly traffic: Traffic;
  /** Arithmetic. */
  readonly flops: Flops;
}

/** A cost of nothing. */
export const NO_FLOPS: Flops = { matmul: 0, exp: 0, rescale: 0 };

/**
 * All tensors, in the order in which they are shown.
 *
 * @category Planning
 */
export const TRAFFIC_TENSORS: readonly TrafficTensor[] = Object.keys(
  SINGLE,
) as TrafficTensor[];

/** Traffic from numbers, without tensors that do not move. */
export function trafficOf(
  moved: Partial<Record<TrafficTensor, readonly [number, number]>>,
): Traffic {
  return Object.fromEntries(
    TRAFFIC_TENSORS.flatMap((name) => {
      const [reads, writes] = moved[name] ?? [0, 0];
      return reads + writes === 0 ? [] : [[name, { reads, writes }]];
    }),
  );
}

/**
 * Traffic one after the other.
 *
 * @example The keys twice
 * ```ts
 * import { addTraffic } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const once = { key: { reads: 64, writes: 0 } };
 * assertEquals(addTraffic(once, once), { key: { reads: 128, writes: 0 } });
 * ```
 *
 * @category Planning
 */
export function addTraffic(...all: readonly Traffic[]): Traffic {
  return trafficOf(Object.fromEntries(
    TRAFFIC_TENSORS.map((name) => [
      name,
      [
        all.reduce((sum, one) => sum + (one[name]?.reads ?? 0), 0),
        all.reduce((sum, one) => sum + (one[name]?.writes ?? 0), 0),
      ],
    ]),
  ));
}

/**
 * Costs one after the other, for instance of forward and backward.
 *
 * @example Forward and backward
 * ```ts
 * import { addCosts, standardBackwardCost, standardCost } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const sizes = { queries: 64, keys: 64, headDim: 16 };
 * const [forward, backward] = [standardCost(sizes), standardBackwardCost(sizes)];
 * const { flops } = addCosts(forward, backward);
 * assertEquals(flops.matmul, forward.flops.matmul + backward.flops.matmul);
 * ```
 *
 * @category Planning
 */
export function addCosts(...all: readonly ScheduleCost[]): ScheduleCost {
  const sum = (kind: keyof Flops) =>
    all.reduce((total, { flops }) => total + flops[kind], 0);
  return {
    traffic: addTraffic(...all.map(({ traffic }) => traffic)),
    flops: {
      matmul: sum("matmul"),
      exp: sum("exp"),
      rescale: sum("rescale"),
    },
  };
}

/** The cost of `count` times the same. */
export function timesCost(
  { traffic, flops }: ScheduleCost,
  count: number,
): ScheduleCost {
  return {
    traffic: trafficOf(Object.fromEntries(
      Object.entries(traffic).map(([name, { reads, writes }]) => [
        name,
        [count * reads, count * writes],
      ]),
    )),
    flops: {
      matmul: count * flops.matmul,
      exp: count * flops.exp,
      rescale: count * flops.rescale,
    },
  };
}

/**
 * All elements, or bytes, of all tensors, both ways.
 *
 * @example Both ways
 * ```ts
 * import { totalTraffic } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const traffic = {
 *   key: { reads: 64, writes: 0 },
 *   output: { reads: 0, writes: 16 },
 * };
 * assertEquals(totalTraffic(traffic), 80);
 * ```
 *
 * @category Planning
 */
export function totalTraffic(traffic: Traffic): number {
  return Object.values(traffic).reduce(
    (sum, { reads, writes }) => sum + reads + writes,
    0,
  );
}

/**
 * The same traffic in bytes. Scores, statistics and states are float32 in every
 * schedule here.
 *
 * @example float16 keys, float32 statistics
 * ```ts
 * import { trafficBytes } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * const bytes = trafficBytes({
 *   key: { reads: 64, writes: 0 },
 *   lse: { reads: 0, writes: 8 },
 * }, "f16");
 * assertEquals(bytes, {
 *   key: { reads: 128, writes: 0 },
 *   lse: { reads: 0, writes: 32 },
 * });
 * ```
 *
 * @category Planning
 */
export function trafficBytes(traffic: Traffic, dtype: DType): Traffic {
  const stored = bytesPerElement(dtype);
  const single = bytesPerElement("f32");
  return trafficOf(Object.fromEntries(
    (Object.entries(traffic) as [TrafficTensor, Moved][]).map(
      ([name, { reads, writes }]) => {
        const bytes = SINGLE[name] ? single : stored;
        return [name, [bytes * reads, bytes * writes]];
      },
    ),
  ));
}

/**
 * All arithmetic, each operation counted as one.
 *
 * @example All kinds
 * ```ts
 * import { totalFlops } from "@quire/attention/planning";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(totalFlops({ matmul: 100, exp: 10, rescale: 1 }), 111);
 * ```
 *
 * @category Planning
 */
export function totalFlops({ matmul, exp, rescale }: Flops): number {
  return matmul + exp + rescale;
}
