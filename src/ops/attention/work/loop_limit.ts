/**
 * Some devices end every loop of an invocation, silently, after so many
 * iterations of all its loops together. Work tiles are cut to stay within.
 *
 * @module
 */

import { clipRuns, type HeadRuns, type KeyRun } from "./key_runs.ts";
import type { PartitionedWork, WorkTile } from "./partition.ts";

/** The sizes on which an invocation's iterations depend. */
export interface LoopSizes {
  /** Keys of a step. */
  readonly step: number;
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** vec4s of a key row and of a value row, together. */
  readonly vecs: number;
}

/**
 * Iterations that a step takes at most in any attention kernel: it goes along
 * its rows' vec4s, and a few times along its keys. Where it is masked, it may
 * also go along the vec4s of each of its keys.
 */
export function stepIterations(
  { step, vecs }: LoopSizes,
  masked: boolean,
): number {
  return vecs + 8 * step + (masked ? step * (2 * vecs + 8) : 0);
}

/** What beginning and ending a work tile of up to 16 rows a lane may take. */
function tileIterations({ lanes, vecs }: LoopSizes): number {
  return 16 * (vecs + 4 * lanes + 8);
}

/**
 * Work with work tiles cut, and workers added, so that no workgroup comes to
 * `maxLoopIterations`. Cuts depend on the work tile alone.
 */
export function withinLoopLimit(
  { tiles, workers }: PartitionedWork,
  maxLoopIterations: number,
  sizes: LoopSizes,
): PartitionedWork {
  if (maxLoopIterations === Infinity) return { tiles, workers };
  const cut = (tile: WorkTile) =>
    cutRuns(tile.runs, maxLoopIterations, sizes)
      .map((runs) => ({ ...tile, runs }));
  if (!workers) return { tiles: tiles.flatMap(cut), workers };
  const all: WorkTile[] = [];
  const bounds = [0];
  for (let worker = 0; worker + 1 < workers.length; worker++) {
    let iterations = 0;
    const own = tiles.slice(workers[worker], workers[worker + 1]);
    for (const tile of own.flatMap(cut)) {
      const more = iterationsOf(tile.runs, sizes);
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
function iterationsOf(lists: HeadRuns, sizes: LoopSizes): number {
  const full = stepIterations(sizes, false);
  const masked = stepIterations(sizes, true);
  const ofRuns = (runs: readonly KeyRun[]) =>
    runs.reduce((sum, run) => {
      const steps = (run.end - run.first) / sizes.step;
      return sum + 1 + steps * (run.full ? full : masked);
    }, tileIterations(sizes));
  return Math.max(...lists.map(ofRuns));
}

/** Halves of the keys, and halves of those, until each is within the limit. */
function cutRuns(lists: HeadRuns, most: number, sizes: LoopSizes): HeadRuns[] {
  const seen = lists.filter((runs) => runs.length > 0);
  const first = Math.min(...seen.map((runs) => runs[0].first));
  const end = Math.max(...seen.map((runs) => runs[runs.length - 1].end));
  const steps = (end - first) / sizes.step;
  if (
    seen.length === 0 || steps <= 1 || iterationsOf(lists, sizes) <= most
  ) return [lists];
  const middle = first + Math.floor(steps / 2) * sizes.step;
  return [[first, middle], [middle, end]]
    .map(([from, to]) => lists.map((list) => clipRuns(list, from, to)))
    .flatMap((half) => cutRuns(half, most, sizes));
}
