/**
 * The loop of dK and dV, key tiles outside, which backward schedules share:
 * they differ in what they read of a tile of rows, and do with it.
 *
 * @module
 */

import type { BackwardHead } from "./gradients.ts";
import { type ScheduleRun, stretches } from "./run.ts";
import type { FastTile } from "./slow_memory.ts";
import type { ScheduleTiles, Stretch } from "./types.ts";

/** A tile of keys in fast memory, with its gradients as they are so far. */
export interface KeyTileOperands {
  /** Which keys. */
  readonly at: Stretch;
  /** K. */
  readonly key: FastTile;
  /** V. */
  readonly value: FastTile;
  /** dK. */
  readonly keyGradient: FastTile;
  /** dV. */
  readonly valueGradient: FastTile;
}

/**
 * Visits all tiles of rows for each tile of keys, then writes its gradients,
 * which are zeros where nothing was visited, and nothing was read.
 */
export function goAlongKeys(
  { memory }: ScheduleRun,
  head: BackwardHead,
  { rows, keys: size, visits = () => true }: ScheduleTiles,
  visit: (rows: Stretch, keys: KeyTileOperands) => void,
): void {
  for (const at of stretches(head.keys, size)) {
    const part = { row: at.first, rows: at.count };
    const keyGradient = memory.hold(at.count, head.key.columns);
    const valueGradient = memory.hold(at.count, head.value.columns);
    const visiting = stretches(head.rows, rows)
      .filter(({ index }) => visits(index, at.index, head.batch, head.kvHead));
    if (visiting.length > 0) {
      const key = memory.load(head.key, part);
      const value = memory.load(head.value, part);
      for (const own of visiting) {
        visit(own, { at, key, value, keyGradient, valueGradient });
      }
      memory.drop(key, value);
    }
    memory.store(head.keyGradient, part, keyGradient);
    memory.store(head.valueGradient, part, valueGradient);
    memory.drop(keyGradient, valueGradient);
  }
}
