/**
 * A state that is kept, whatever becomes of the sequence it was taken of.
 *
 * @module
 */

import { NULL_STATE, type StatePool } from "./state_pool.ts";

/**
 * A hold on the state of a sequence at one length: `StateSequence.snapshot()`
 * makes it, `StateSequence.restore()` goes back to it, as often as is wanted.
 *
 * @example Drafts that were rejected
 * ```ts
 * import { StatePool, StateSequence } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new StatePool({ numStates: 8 });
 * const sequence = new StateSequence(pool);
 * sequence.reserve(6);
 * sequence.commit();
 * {
 *   using before = sequence.snapshot();
 *   sequence.reserve(4);
 *   sequence.commit();
 *   sequence.restore(before);
 * }
 * assertEquals([sequence.length, sequence.slot, pool.usedBlocks], [6, 1, 1]);
 * ```
 *
 * @category Cache
 */
export class StateSnapshot implements Disposable {
  /** The pool whose slot is held. */
  readonly pool: StatePool;
  /** The slot; 0 for the state before the first token. */
  readonly slot: number;
  /** Tokens that the state stands for. */
  readonly length: number;
  #freed = false;

  /** Made by `StateSequence.snapshot()`, which checks what it passes. */
  constructor(pool: StatePool, slot: number, length: number) {
    if (slot !== NULL_STATE) pool.retain(slot);
    this.pool = pool;
    this.slot = slot;
    this.length = length;
  }

  /** Whether it is freed, and can be restored no more. */
  get freed(): boolean {
    return this.#freed;
  }

  /** Gives the slot back; further calls do nothing. */
  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    if (this.slot !== NULL_STATE) this.pool.release(this.slot);
  }

  /** The same as {@linkcode StateSnapshot.free}. */
  [Symbol.dispose](): void {
    this.free();
  }
}
