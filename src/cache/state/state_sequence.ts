/**
 * One sequence's recurrent state, shared with its forks until one of them goes
 * on.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { type StatePoint, verifyStatePoints } from "./state_invariants.ts";
import { NULL_STATE, StatePool } from "./state_pool.ts";
import { StateSnapshot } from "./state_snapshot.ts";
import type {
  StatePart,
  StateReserveOptions,
  StateTruncateOptions,
} from "./state_types.ts";

/**
 * The state of one sequence: which slot holds it, and for how many tokens it
 * stands.
 *
 * Tokens are added in three steps, as to a block table:
 * {@linkcode StateSequence.reserve} says which slot is read and which is
 * written; the caller runs the layer so; and {@linkcode StateSequence.commit}
 * says that this is done. `length` counts the tokens of the last state reserved,
 * `committed` those of the last that is written.
 *
 * A state that no one else holds is written over in place. A fork, a snapshot or
 * an index shares it, and then the next step reads the shared slot and writes a
 * fresh one: copy-on-write without a copy. What a step reads stays held until
 * its commit, so steps of different sequences can run side by side: none writes
 * what another reads. The parts of one reservation run in order.
 *
 * Unlike keys and values, the state of a shorter prefix is there only where it
 * was kept: by a snapshot, or at the lengths that a reservation names.
 *
 * Every operation succeeds, or throws and changes nothing. After
 * {@linkcode StateSequence.free} every member but `freed` throws a `TypeError`.
 *
 * @example A fork goes on beside its parent
 * ```ts
 * import { StatePool, StateSequence } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new StatePool({ numStates: 8 });
 * const prompt = new StateSequence(pool);
 * assertEquals(prompt.reserve(6), [{ start: 0, count: 6, read: 0, write: 1 }]);
 * prompt.commit();
 * const fork = prompt.fork(); // takes no slot
 * assertEquals(fork.reserve(1), [{ start: 6, count: 1, read: 1, write: 2 }]);
 * fork.commit();
 * assertEquals(fork.reserve(1), [{ start: 7, count: 1, read: 2, write: 2 }]);
 * prompt.free();
 * fork.free();
 * ```
 *
 * @category Cache
 */
export class StateSequence {
  readonly #pool: StatePool;
  /** The committed state, and behind it those that are reserved. */
  #points: StatePoint[] = [{ length: 0, slot: NULL_STATE }];
  #freed = false;

  /**
   * Begins before the first token, with the null state.
   *
   * @throws {TypeError} if `pool` is not a {@linkcode StatePool}.
   */
  constructor(pool: StatePool) {
    checkType(pool instanceof StatePool, "pool", "must be a StatePool", pool);
    this.#pool = pool;
  }

  /**
   * Begins behind `length` tokens, whose state lies in a slot that the caller
   * holds; the hold passes to the sequence.
   *
   * @throws {TypeError} if `pool` is not a {@linkcode StatePool}, or a number is
   * none.
   * @throws {RangeError} if `length` is not an integer >= 0, the slot is not in
   * use, or it is the null state and `length` is not 0.
   */
  static adopt(pool: StatePool, slot: number, length: number): StateSequence {
    const sequence = new StateSequence(pool);
    checkInteger("length", length, 0);
    checkInteger("slot", slot, length === 0 ? 0 : 1, pool.totalBlocks);
    if (slot !== NULL_STATE) {
      checkRange(pool.refCount(slot) > 0, "slot", "must be in use", slot);
    }
    sequence.#points = [{ length, slot }];
    return sequence;
  }

  /** The pool whose slots this sequence holds. */
  get pool(): StatePool {
    this.#checkAlive();
    return this.#pool;
  }

  /** Whether it is freed, and can be used no more. */
  get freed(): boolean {
    return this.#freed;
  }

  /** Tokens that the last state stands for, written or not. */
  get length(): number {
    this.#checkAlive();
    return this.#last.length;
  }

  /** Tokens whose state is written, by the caller's word. */
  get committed(): number {
    this.#checkAlive();
    return this.#points[0].length;
  }

  /** The slot of the last state; 0 for zeros, before the first token. */
  get slot(): number {
    this.#checkAlive();
    return this.#last.slot!;
  }

  /** The slots that this sequence holds, those for fewer tokens before. */
  get slots(): readonly number[] {
    this.#checkAlive();
    return this.#held(this.#points);
  }

  /**
   * The slot of the state behind `length` tokens; 0 if there is none, or if it
   * is the null state.
   *
   * @throws {TypeError} if the sequence is freed.
   */
  slotAt(length: number): number {
    this.#checkAlive();
    return this.#points.find((point) => point.length === length)?.slot ??
      NULL_STATE;
  }

  /**
   * Slots that reserving `count` tokens takes from the pool.
   *
   * @throws as {@linkcode StateSequence.reserve} does.
   */
  slotsNeeded(count: number, options: StateReserveOptions = {}): number {
    this.#checkAlive();
    const { at = [] } = options;
    this.#checkReserve(count, at);
    if (count === 0) return 0;
    return at.length + (this.#writesInPlace(options) ? 0 : 1);
  }

  /**
   * Says where the state of `count` more tokens is read and written.
   *
   * @returns The parts, to be run in order; none for no tokens.
   * @throws {TypeError} if a number is none, or the sequence is freed.
   * @throws {RangeError} if `count` is not an integer >= 0, `at` does not ascend
   * between the present length and the one to come, or there are not as many
   * `slots` as it takes.
   * @throws {OutOfStatesError} if fewer slots are free.
   */
  reserve(count: number, options: StateReserveOptions = {}): StatePart[] {
    const needed = this.slotsNeeded(count, options);
    if (count === 0) return [];
    const { at = [] } = options;
    const inPlace = this.#writesInPlace(options);
    const fresh = this.#take(needed, options.slots);
    const last = this.#last;
    const end = last.length + count;
    let { length: start, slot: read } = last;
    const parts: StatePart[] = [];
    for (const length of [...at, end]) {
      const write = parts.length === 0 && inPlace ? read! : fresh.shift()!;
      parts.push({ start, count: length - start, read: read!, write });
      this.#points.push({ length, slot: write });
      [start, read] = [length, write];
    }
    if (inPlace) last.slot = undefined;
    return parts;
  }

  /**
   * Takes the caller's word that states are written up to `length` tokens. Those
   * for fewer are given back, the last first.
   *
   * @param length One at which a state was reserved; defaults to the last.
   * @throws {TypeError} if `length` is not a number, or the sequence is freed.
   * @throws {RangeError} if no state was reserved there.
   */
  commit(length: number = this.length): void {
    const at = this.#pointAt(length);
    this.#releaseAll(this.#points.slice(0, at));
    this.#points = this.#points.slice(at);
  }

  /**
   * Forgets the tokens from `length` on, which are reserved and not committed.
   *
   * @param length One at which a state was reserved, or the committed one.
   * @throws {TypeError} if `length` is not a number, the sequence is freed, or
   * the state there is written over: reserve with `keep`, or say that it is
   * `unwritten`.
   * @throws {RangeError} if no state was reserved there.
   */
  truncate(length: number, options: StateTruncateOptions = {}): void {
    const at = this.checkTruncate(length, options);
    const point = this.#points[at];
    const gone = this.#points.slice(at + 1);
    if (point.slot === undefined) {
      // The slot goes from state to state until one is kept.
      const heir = gone.find(({ slot }) => slot !== undefined)!;
      point.slot = heir.slot;
      heir.slot = undefined;
    }
    this.#releaseAll(gone);
    this.#points = this.#points.slice(0, at + 1);
  }

  /**
   * Throws what {@linkcode StateSequence.truncate} would throw.
   *
   * @returns How many states are for fewer tokens.
   * @throws as {@linkcode StateSequence.truncate} does.
   */
  checkTruncate(length: number, options: StateTruncateOptions = {}): number {
    const at = this.#pointAt(length);
    const { slot } = this.#points[at];
    checkType(
      slot !== undefined || options.unwritten === true,
      "length",
      "must be one whose state is kept: reserve with keep (a CacheManager's drafts), or say that what follows is unwritten",
      length,
    );
    return at;
  }

  /**
   * Throws what {@linkcode StateSequence.commit} would throw.
   *
   * @throws as {@linkcode StateSequence.commit} does.
   */
  checkCommit(length: number): void {
    this.#pointAt(length);
  }

  /**
   * Makes a sequence that goes on from the same state; takes no slot.
   *
   * @throws {TypeError} if the sequence is freed, or has reserved what is not
   * committed: no one may read what another is writing.
   */
  fork(): StateSequence {
    const { length, slot } = this.#settled("fork");
    const fork = new StateSequence(this.#pool);
    if (slot !== NULL_STATE) this.#pool.retain(slot!);
    fork.#points = [{ length, slot }];
    return fork;
  }

  /**
   * Holds the present state, which the next step then leaves as it is.
   *
   * @throws {TypeError} if the sequence is freed, or has reserved what is not
   * committed.
   */
  snapshot(): StateSnapshot {
    const { length, slot } = this.#settled("take a snapshot of");
    return new StateSnapshot(this.#pool, slot!, length);
  }

  /**
   * Goes back to a snapshot, which stays: drafts were rejected, say. What was
   * reserved or committed since is forgotten.
   *
   * @throws {TypeError} if it is not a live snapshot over the same pool, or the
   * sequence is freed.
   */
  restore(snapshot: StateSnapshot): void {
    this.#checkAlive();
    checkType(
      snapshot instanceof StateSnapshot && !snapshot.freed &&
        snapshot.pool === this.#pool,
      "snapshot",
      "must be a live StateSnapshot over the same pool",
      snapshot,
    );
    const { length, slot } = snapshot;
    if (slot !== NULL_STATE) this.#pool.retain(slot);
    this.#releaseAll(this.#points);
    this.#points = [{ length, slot }];
  }

  /**
   * Ends the sequence without giving its slots back.
   *
   * @returns The slots that it held; the holds pass to the caller.
   * @throws {TypeError} if the sequence is freed.
   */
  detach(): number[] {
    this.#checkAlive();
    this.#freed = true;
    return this.#held(this.#points);
  }

  /**
   * Gives back every slot, the last state's first.
   *
   * @throws {TypeError} if the sequence is already freed.
   */
  free(): void {
    this.#checkAlive();
    this.#releaseAll(this.#points);
    this.#freed = true;
  }

  /**
   * Checks every invariant of the sequence.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#checkAlive();
    verifyStatePoints(this.#points, this.#pool);
  }

  get #last(): StatePoint {
    return this.#points.at(-1)!;
  }

  /** Whether the next state may be written where the present one is. */
  #writesInPlace({ keep = false }: StateReserveOptions): boolean {
    // No one holds the null state.
    const slot = this.#last.slot!;
    return !keep && this.#pool.refCount(slot) === 1 &&
      !this.#pool.isCached(slot);
  }

  #checkReserve(count: number, at: readonly number[]): void {
    checkInteger("count", count, 0);
    const { length } = this.#last;
    let before = length;
    at.forEach((stop, i) => {
      checkInteger(`at[${i}]`, stop, before + 1, length + count - 1);
      before = stop;
    });
  }

  /** The slots for a reservation: those given, else fresh ones. */
  #take(needed: number, given?: readonly number[]): number[] {
    if (given === undefined) return this.#pool.allocate(needed);
    checkRange(
      given.length === needed,
      "slots.length",
      `must be ${needed}`,
      given.length,
    );
    for (const id of given) {
      checkRange(
        this.#pool.refCount(id) === 1,
        "slots",
        "must be held once",
        id,
      );
    }
    return [...given];
  }

  /** Where the state of `length` tokens stands among the points. */
  #pointAt(length: number): number {
    this.#checkAlive();
    const lengths = this.#points.map((point) => point.length);
    checkInteger("length", length, lengths[0], lengths.at(-1)!);
    const at = lengths.indexOf(length);
    checkRange(
      at >= 0,
      "length",
      `must be one at which there is a state (${lengths.join(", ")})`,
      length,
    );
    return at;
  }

  /** The only state that there is. */
  #settled(verb: string): StatePoint {
    this.#checkAlive();
    if (this.#points.length > 1) {
      throw new TypeError(
        `Cannot ${verb} the state as ${this.length} tokens are reserved and ${this.committed} committed`,
      );
    }
    return this.#last;
  }

  #held(points: readonly StatePoint[]): number[] {
    return points.flatMap(({ slot }) =>
      slot === undefined || slot === NULL_STATE ? [] : [slot]
    );
  }

  #releaseAll(points: readonly StatePoint[]): void {
    for (const id of this.#held(points).toReversed()) this.#pool.release(id);
  }

  #checkAlive(): void {
    if (this.#freed) {
      throw new TypeError("Cannot use the state as it is freed");
    }
  }
}
