/**
 * What must hold in a sequence of states at any time, as checks over plain
 * state.
 *
 * @module
 */

import { invariant } from "../../core/invariant.ts";

/** A length at which a sequence has, or had, a state. */
export interface StatePoint {
  /** Tokens that the state stands for. */
  readonly length: number;
  /** Its slot; none once tokens to come are written over it. */
  slot: number | undefined;
}

/** As much of a pool as is asked. */
interface Slots {
  refCount(id: number): number;
  isCached(id: number): boolean;
}

/**
 * Checks that the lengths ascend; that each slot is held, and named once; that
 * the last state is there; and that what is not committed is no one else's.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyStatePoints(
  points: readonly StatePoint[],
  pool: Slots,
): void {
  const slots = points.flatMap(({ slot }) => slot ?? []).filter((id) => id > 0);
  invariant(
    points.every(({ length }, i) => i === 0 || points[i - 1].length < length),
    "the lengths of a sequence's states ascend",
    `${points.map(({ length }) => length)}`,
  );
  invariant(
    points.length > 0 && points.at(-1)!.slot !== undefined,
    "the last state of a sequence is there",
    `${points.length} states`,
  );
  invariant(
    new Set(slots).size === slots.length,
    "a sequence names a slot once",
    `${slots}`,
  );
  for (const id of slots) {
    invariant(
      pool.refCount(id) > 0,
      "the slots of a sequence are held",
      `slot ${id}`,
    );
  }
  for (const { slot, length } of points.slice(1)) {
    if (slot === undefined) continue;
    invariant(
      pool.refCount(slot) === 1 && !pool.isCached(slot),
      "a slot that is written is no one else's",
      `slot ${slot} for ${length} tokens has ${pool.refCount(slot)} holders`,
    );
  }
}
