/**
 * What a plan's dispatches move, foretold from its schedule, and how that
 * compares with what any schedule must move.
 *
 * @module
 */

import { bytesPerElement } from "../../core/dtype.ts";
import { boundOf, type TrafficBound } from "../../planning/traffic/bound.ts";
import {
  addTraffic,
  type Flops,
  totalFlops,
  totalTraffic,
  type Traffic,
  trafficBytes,
  trafficOf,
} from "../../planning/traffic/cost.ts";
import type { RowSizes } from "../../planning/traffic/tiles.ts";
import { movedRows, type MovedWork, sumVisits } from "./moved_work.ts";
import type { AttentionProblem } from "./problem.ts";
import { blockScoresElements, maximaElements } from "./rows.ts";
import type { Algorithm } from "./variants/algorithm.ts";
import type { KeyRun } from "./work/key_runs.ts";
import type { Schedule, ScheduledWork } from "./work/schedule.ts";

/**
 * Predicted traffic between storage buffers and workgroups, in bytes. A load
 * that lanes of a workgroup share counts once, and one that hits a cache counts
 * all the same, as a device's caches are unknown; but for query rows, see
 * `cachedBytes`. Schedules, block tables and what mods capture do not count.
 *
 * @category Attention
 */
export interface ExplainedTraffic {
  /**
   * Whether this is what moves. Where the device selects blocks it is not known
   * here how many: then it is what moves if it selects all, and so is the bound.
   */
  readonly exact: boolean;
  /** Bytes, by tensor. */
  readonly tensors: Traffic;
  /** All of them, reads and writes. */
  readonly bytes: number;
  /**
   * Bytes beyond these that kernels load again, and that a cache of a row tile's
   * queries saves: fused kernels read them at every step.
   */
  readonly cachedBytes: number;
  /** Arithmetic of visited tiles. */
  readonly flops: Flops;
  /** Operations for each byte. */
  readonly intensity: number;
  /**
   * M: elements of workgroup memory that the device allows. Registers come on
   * top, but WebGPU does not say how many.
   */
  readonly fastElements: number;
  /** What any schedule must move for the visited tiles. */
  readonly bound: ExplainedBound;
}

/**
 * The lower bound ("The I/O Complexity of Attention", Saha and Ye 2024).
 *
 * @category Attention
 */
export interface ExplainedBound {
  /** Whether M holds a head dim squared. */
  readonly regime: TrafficBound["regime"];
  /**
   * Bytes of `N S d^2 / M` with a large cache, of `N S d / sqrt(M)` with a
   * small one: an order, its constant left out.
   */
  readonly orderBytes: number;
  /** Bytes of each input that is seen and each output, once. */
  readonly floorBytes: number;
  /** The larger of both. */
  readonly bytes: number;
}

/** Foretells it. */
export function explainTraffic(
  problem: AttentionProblem,
  { algorithm, schedule, workgroupBytes }: {
    readonly algorithm: Algorithm;
    readonly schedule: Schedule;
    readonly workgroupBytes: number;
  },
): ExplainedTraffic {
  const { dtype, headDim, valueHeadDim } = problem;
  const moved = movedWork(problem, algorithm, schedule);
  const { traffic, flops, rowsAgain } = algorithm.cost(moved);
  const scored = blockScoresTraffic(problem, schedule);
  const tensors = trafficBytes(addTraffic(traffic, scored), dtype);
  const bytes = totalTraffic(tensors);
  const { sums, sizes } = moved;
  const fastElements = Math.floor(workgroupBytes / 4);
  const floor = addTraffic(
    floorOf(problem, schedule, sizes),
    trafficOf({ blockScores: [0, blockScoresElements(problem)] }),
  );
  const floorBytes = totalTraffic(trafficBytes(floor, dtype));
  const element = bytesPerElement(dtype);
  const { regime, order } = boundOf({
    pairs: sums.pairs,
    dim: (headDim + valueHeadDim) / 2,
    floor: 0,
    fastElements,
  });
  const orderBytes = element * order;
  return {
    exact: problem.selection === undefined,
    tensors,
    bytes,
    cachedBytes: element * headDim * rowsAgain,
    flops,
    intensity: bytes === 0 ? 0 : totalFlops(flops) / bytes,
    fastElements,
    bound: {
      regime,
      orderBytes,
      floorBytes,
      bytes: Math.max(orderBytes, floorBytes),
    },
  };
}

function movedWork(
  problem: AttentionProblem,
  { kernels }: Algorithm,
  schedule: Schedule,
): MovedWork {
  const visits = schedule.kernels.map((work, i) => ({
    work,
    step: kernels[i].loops.step,
  }));
  return {
    sums: sumVisits(problem, visits),
    sizes: movedRows(problem),
    stateRows: schedule.stateRows,
  };
}

/**
 * What scores of blocks move: maxima that are cleared, met where a run ends or
 * its block does, and read, with a log-sum-exp for each; and the scores, written
 * twice.
 */
function blockScoresTraffic(
  problem: AttentionProblem,
  { kernels }: Schedule,
): Traffic {
  const { blockScores, kvHeads } = problem;
  if (!blockScores) return trafficOf({});
  const { block } = blockScores;
  let met = 0;
  for (const { rowTiles, workTiles } of kernels) {
    for (const { rowTile, kvHead, runs } of workTiles) {
      const { rows } = rowTiles[rowTile];
      const heads = kvHead === undefined && runs.length === 1 ? kvHeads : 1;
      for (const { first, end, blank } of runs.flat()) {
        if (blank) continue;
        met += heads * rows *
          (Math.ceil(end / block) - Math.floor(first / block));
      }
    }
  }
  const maxima = maximaElements(problem);
  const scores = blockScoresElements(problem);
  return trafficOf({
    blockMaxima: [met + maxima, met + maxima],
    lse: [maxima, 0],
    blockScores: [scores, 2 * scores],
  });
}

/** Each row that sees a key once, each key that is seen once, each output. */
function floorOf(
  problem: AttentionProblem,
  { kernels }: Schedule,
  { allRows, headDim, valueHeadDim, lse }: RowSizes,
): Traffic {
  const { rows, keys } = seenOnce(problem, kernels);
  return trafficOf({
    query: [Math.min(rows, allRows) * headDim, 0],
    key: [keys * headDim, 0],
    value: [keys * valueHeadDim, 0],
    output: [0, allRows * valueHeadDim],
    lse: [0, lse ? allRows : 0],
  });
}

/** Rows that see a key and keys that are seen, of all heads, each once. */
export function seenOnce(
  { kvHeads }: Pick<AttentionProblem, "kvHeads">,
  kernels: readonly Pick<ScheduledWork, "rowTiles">[],
): { readonly rows: number; readonly keys: number } {
  let rows = 0;
  const seen = new Map<
    string,
    { runs: KeyRun[]; heads: number; end: number }
  >();
  for (const { rowTiles } of kernels) {
    for (const tile of rowTiles) {
      const { record, from, end } = tile.range;
      const heads = tile.runs.length === 1 ? kvHeads : 1;
      tile.runs.forEach((runs, list) => {
        // Rows that share a prefix are rows of their own ranges too.
        if (runs.length > 0 && from === 0) rows += heads * tile.rows;
        const key = `${record}/${list}`;
        const known = seen.get(key) ?? { runs: [], heads, end };
        known.runs.push(...runs.filter(({ blank }) => !blank));
        seen.set(key, known);
      });
    }
  }
  let keys = 0;
  for (const { runs, heads, end } of seen.values()) {
    keys += heads * unionOf(runs, end);
  }
  return { rows, keys };
}

/** Keys that are in any of the runs. */
function unionOf(runs: KeyRun[], length: number): number {
  runs.sort((a, b) => a.first - b.first);
  let [keys, until] = [0, 0];
  for (const { first, end } of runs) {
    const last = Math.min(end, length);
    keys += Math.max(0, last - Math.max(first, until));
    until = Math.max(until, last);
  }
  return keys;
}
