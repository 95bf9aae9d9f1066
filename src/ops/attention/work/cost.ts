/**
 * What a partition is expected to take, in steps of the kernel that runs
 * it: workgroups go in order to whoever is free first, each begins and ends at
 * a price, and partial states have to be merged by another dispatch.
 *
 * @module
 */

import { stepsOf } from "./key_runs.ts";
import type { PartitionedWork } from "./partition.ts";

/** What the model knows of a device. */
export interface CostModel {
  /** Workgroups that run at the same time. */
  readonly workers: number;
  /** What a work tile costs besides its steps, in steps. */
  readonly tileSteps: number;
  /** What one more dispatch costs, in steps. */
  readonly dispatchSteps: number;
}

/**
 * An estimate.
 *
 * @category Plans
 */
export interface PartitionCost {
  /** What it is of. */
  readonly splits: string;
  /** Workgroups. */
  readonly workgroups: number;
  /** Steps until the last workgroup is done. */
  readonly makespan: number;
  /** Steps for the merge, where there is one. */
  readonly merge: number;
}

/** The sum of an estimate's parts. */
export function totalCost({ makespan, merge }: PartitionCost): number {
  return makespan + merge;
}

/** Estimates partitioned work. */
export function partitionCost(
  { tiles, workers }: PartitionedWork,
  options: {
    readonly text: string;
    readonly step: number;
    readonly kvHeads: number;
    readonly partial: boolean;
    readonly model: CostModel;
  },
): PartitionCost {
  const { text, step, kvHeads, partial, model } = options;
  const load = (tile: number, head: number) => {
    const { runs } = tiles[tile];
    return model.tileSteps + stepsOf(runs[runs.length > 1 ? head : 0], step);
  };
  const loads = workers
    ? workers.slice(1).map((end, worker) => {
      let sum = 0;
      for (let tile = workers[worker]; tile < end; tile++) {
        sum += load(tile, 0);
      }
      return sum;
    })
    : Array.from(
      { length: kvHeads },
      (_, head) => tiles.map((_, tile) => load(tile, head)),
    ).flat();
  return {
    splits: text,
    workgroups: loads.length,
    makespan: makespan(loads, model.workers),
    merge: partial ? model.dispatchSteps : 0,
  };
}

/** When the last is done, where each goes in order to who is free first. */
function makespan(loads: readonly number[], workers: number): number {
  // A binary heap of the times at which workers are free.
  const free = new Float64Array(Math.max(1, Math.min(workers, loads.length)));
  let last = 0;
  for (const load of loads) {
    const done = free[0] + load;
    last = Math.max(last, done);
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < free.length && free[child + 1] < free[child]) child++;
      if (child >= free.length || free[child] >= done) break;
      free[at] = free[child];
      at = child;
    }
    free[at] = done;
  }
  return last;
}
