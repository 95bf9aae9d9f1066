/**
 * Parts of several sequences' states, in the form that kernels take.
 *
 * @module
 */

import { checkType } from "../../core/check.ts";
import { NULL_STATE } from "./state_pool.ts";
import type { StatePart } from "./state_types.ts";

/**
 * Parts that can run side by side: at most one of each sequence.
 *
 * @category Cache
 */
export interface StateRound {
  /** Which sequence each part is of, ascending. */
  readonly sequences: Uint32Array;
  /** The position of each part's first token in its sequence. */
  readonly starts: Uint32Array;
  /** Tokens of each part. */
  readonly counts: Uint32Array;
  /**
   * The slot that each part reads, -1 for zeros: `stateIndices` of
   * `linearAttention()`.
   */
  readonly read: Int32Array;
  /** The slot that each part writes: its `finalStateIndices`. */
  readonly write: Int32Array;
}

/**
 * Puts the parts of a step's reservations into rounds, to be run one after the
 * other: in each one the next part of every sequence that has one. Mostly there
 * is one round; a sequence whose state is kept on the way has more.
 *
 * @param reservations The parts of each sequence, as reserved.
 * @throws {TypeError} if it is not an array of arrays.
 *
 * @example A prompt whose state is kept at 16 tokens, beside a decode
 * ```ts
 * import { StatePool, StateSequence, stateRounds } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new StatePool({ numStates: 8 });
 * const [prompt, other] = [new StateSequence(pool), new StateSequence(pool)];
 * const rounds = stateRounds([
 *   prompt.reserve(20, { at: [16] }),
 *   other.reserve(1),
 * ]);
 * assertEquals(rounds.map(({ counts }) => [...counts]), [[16, 1], [4]]);
 * assertEquals(rounds.map(({ write }) => [...write]), [[1, 3], [2]]);
 * ```
 *
 * @category Cache
 */
export function stateRounds(
  reservations: readonly (readonly StatePart[])[],
): StateRound[] {
  const name = "reservations";
  checkType(
    Array.isArray(reservations),
    name,
    "must be an array",
    reservations,
  );
  reservations.forEach((parts, i) =>
    checkType(Array.isArray(parts), `${name}[${i}]`, "must be an array", parts)
  );
  const count = Math.max(0, ...reservations.map(({ length }) => length));
  return Array.from({ length: count }, (_, round) => {
    const parts = reservations.flatMap((parts, sequence) =>
      round < parts.length ? [{ ...parts[round], sequence }] : []
    );
    const column = (of: (part: typeof parts[number]) => number) =>
      Uint32Array.from(parts, of);
    const slots = (of: (part: typeof parts[number]) => number) =>
      Int32Array.from(parts, of);
    return {
      sequences: column(({ sequence }) => sequence),
      starts: column(({ start }) => start),
      counts: column(({ count }) => count),
      read: slots(({ read }) => read === NULL_STATE ? -1 : read),
      write: slots(({ write }) => write),
    };
  });
}
