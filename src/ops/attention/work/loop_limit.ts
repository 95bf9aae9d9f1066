/**
 * Some devices end every loop of an invocation, silently, after so many
 * iterations of all its loops together. Work tiles are cut to stay within.
 *
 * @module
 */

import { clipRuns, type HeadRuns, type KeyRun } from "./key_runs.ts";
import type { PartitionedWork, WorkTile } from "./partition.ts";

/**
 * Iterations of all loops of one invocation, at most. A variant knows them of its
 * tile; a loop's last look at its condition counts too.
 */
export interface LoopCounts {
  /** Keys of a step. */
  readonly step: number;
  /** Of a step whose mask is skipped. */
  readonly fullStep: number;
  /** Of any other step. */
  readonly maskedStep: number;
  /** Of a work tile besides its steps. */
  readonly tile: number;
}

/**
 * Work with work tiles cut, and workers added, so that no workgroup comes to
 * `maxLoopIterations`. Cuts depend on the work tile alone.
 */
export function withinLoopLimit(
  { tiles, workers }: PartitionedWork,
  maxLoopIterations: number,
  counts: LoopCounts,
): PartitionedWork {
  if (maxLoopIterations === Infinity) return { tiles, workers };
  const cut = (tile: WorkTile) =>
    cutRuns(tile.runs, maxLoopIterations, counts)
      .map((runs) => ({ ...tile, runs }));
  if (!workers) return { tiles: tiles.flatMap(cut), workers };
  const all: WorkTile[] = [];
  const bounds = [0];
  for (let worker = 0; worker + 1 < workers.length; worker++) {
    let iterations = 0;
    const own = tiles.slice(workers[worker], workers[worker + 1]);
    for (const tile of own.flatMap(cut)) {
      const more = iterationsOf(tile.runs, counts);
      if (iterations > 0 && iterations + more > maxLoopIterations) {
        bounds.push(all.length);
        iterations = 0;
      }
      iterations += more;
      all.push(tile);
    }
    bounds.push(all.length);
  }
  return { tiles: all, workers: bounds };
}

/** Iterations of a work tile at most, of the kv head with most of them. */
function iterationsOf(lists: HeadRuns, counts: LoopCounts): number {
  const { step, fullStep, maskedStep, tile } = counts;
  const ofRuns = (runs: readonly KeyRun[]) =>
    runs.reduce((sum, run) => {
      const steps = (run.end - run.first) / step;
      return sum + 1 + steps * (run.full ? fullStep : maskedStep);
    }, tile);
  return Math.max(...lists.map(ofRuns));
}

/** Halves of the keys, and halves of those, until each is within the limit. */
function cutRuns(
  lists: HeadRuns,
  most: number,
  counts: LoopCounts,
): HeadRuns[] {
  const seen = lists.filter((runs) => runs.length > 0);
  const first = Math.min(...seen.map((runs) => runs[0].first));
  const end = Math.max(...seen.map((runs) => runs[runs.length - 1].end));
  const steps = (end - first) / counts.step;
  if (
    seen.length === 0 || steps <= 1 || iterationsOf(lists, counts) <= most
  ) return [lists];
  const middle = first + Math.floor(steps / 2) * counts.step;
  return [[first, middle], [middle, end]]
    .map(([from, to]) => lists.map((list) => clipRuns(list, from, to)))
    .flatMap((half) => cutRuns(half, most, counts));
}
