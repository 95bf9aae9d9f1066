/**
 * What a plan's work tiles move, summed up: what an algorithm's cost is made of.
 *
 * @module
 */

import { type ScheduleCost, trafficOf } from "../../planning/traffic/cost.ts";
import type { RowSizes, VisitSums } from "../../planning/traffic/tiles.ts";
import { type AttentionProblem, packedRows, vecsOf } from "./problem.ts";
import { type KeyRun, stepsOf } from "./work/key_runs.ts";
import type { RowTile } from "./work/partition.ts";
import type { ScheduledWork } from "./work/schedule.ts";

/** What is moved, summed over work tiles, and what any schedule would. */
export interface MovedWork {
  /** Of work tiles: visited steps, their rows and keys. */
  readonly sums: VisitSums;
  /** Rows of all heads, and what is stored of them. */
  readonly sizes: RowSizes;
  /** Rows of partial states, written and merged. */
  readonly stateRows: number;
}

/** A kernel's work, and the step of its runs. */
export interface Visits {
  /** What is scheduled. */
  readonly work: Pick<ScheduledWork, "rowTiles" | "workTiles">;
  /** Its step. */
  readonly step: number;
}

/** Sums over the visited steps of kernels; nothing is visited in blanks. */
export function sumVisits(
  { kvHeads }: Pick<AttentionProblem, "kvHeads">,
  visits: readonly Visits[],
): VisitSums {
  const sums = {
    rows: 0,
    keys: 0,
    pairs: 0,
    seeingRows: 0,
    seenKeys: 0,
    tiles: 0,
  };
  for (const { work: { rowTiles, workTiles }, step } of visits) {
    for (const work of workTiles) {
      const own = rowTiles[work.rowTile];
      // Kv heads that each list of runs stands for.
      const heads = work.kvHead === undefined && work.runs.length === 1
        ? kvHeads
        : 1;
      for (const list of work.runs) {
        const runs = list.filter(({ blank }) => !blank);
        const keys = heads * keysOf(runs, own);
        const steps = heads * stepsOf(runs, step);
        sums.rows += steps * own.rows;
        sums.keys += keys;
        sums.pairs += keys * own.rows;
        sums.seenKeys += keys;
        sums.tiles += steps;
        if (runs.length > 0) sums.seeingRows += heads * own.rows;
      }
    }
  }
  return sums;
}

function keysOf(runs: readonly KeyRun[], { range }: RowTile): number {
  return runs.reduce(
    (sum, { first, end }) => sum + Math.min(end, range.end) - first,
    0,
  );
}

/** The rows of a problem. */
export function movedRows(problem: AttentionProblem): RowSizes {
  const { headDim, valueHeadDim, lse, kvHeads, sequences } = problem;
  const rows = sequences
    .reduce((sum, sequence) => sum + packedRows(problem, sequence), 0);
  return { allRows: rows * kvHeads, headDim, valueHeadDim, lse };
}

/** What partial states cost: an A, and m and l as one more vec4, each way. */
export function statesCost(
  stateRows: number,
  { valueHeadDim }: Pick<RowSizes, "valueHeadDim">,
): ScheduleCost {
  const elements = stateRows * 4 * (vecsOf(valueHeadDim) + 1);
  return {
    traffic: trafficOf({ states: [elements, elements] }),
    flops: {
      matmul: 0,
      exp: stateRows,
      rescale: stateRows * valueHeadDim,
    },
  };
}
