/**
 * The cache of a service: many sequences over one pool, sharing what they can
 * and giving way when blocks run short.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { reorderBeams } from "./beam_reorder.ts";
import type { BlockPool } from "../block/block_pool.ts";
import {
  type CacheSequence,
  newState,
  type SequenceState,
} from "./cache_sequence.ts";
import {
  checkBeginning,
  checkManagerOptions,
  checkPerBeam,
  checkSettled,
  checkStatus,
  copyDomain,
} from "./manager_checks.ts";
import { verifyManager } from "./manager_invariants.ts";
import type {
  Admission,
  AdmitOptions,
  CacheManagerOptions,
  ReorderOptions,
  SequenceReservation,
  SequenceReserveOptions,
} from "./manager_types.ts";
import type { PrefixDomain } from "../prefix/prefix_hash.ts";
import type { PrefixIndex } from "../prefix/prefix_index.ts";
import type { PrefixQuery } from "../prefix/prefix_types.ts";
import { SequenceRegistry } from "./sequence_registry.ts";
import { SequenceSizes } from "./sequence_sizes.ts";
import { SequenceStates } from "./sequence_states.ts";
import { SequenceTables } from "./sequence_tables.ts";
import type { StatePool } from "../state/state_pool.ts";
import type { StateTruncateOptions } from "../state/state_types.ts";
import { SwapSpace, type SwapTransfer } from "../swap/swap_space.ts";
import { checkOptions } from "../../core/options.ts";
import { checkTokens } from "../../core/tokens.ts";

/**
 * Sequences over a block pool, with prefix hits, forks, beams, preemption,
 * swapping and sliding windows (Kwon et al. 2023, sections 4.3 to 4.5).
 *
 * It moves no data. Tokens are added in three steps:
 * {@linkcode CacheManager.reserve} gives them slots; the caller carries out the
 * copies that are returned, in order, and writes keys and values to the slots;
 * {@linkcode CacheManager.commit} says that they are written. Only then are
 * blocks found by others, or given up by a window.
 *
 * Groups of kind `"state"` keep one recurrent state of fixed size for each
 * sequence, in slots of a `StatePool`: a reservation says which slot is read and
 * which is written. Beside groups of attention (a hybrid model) a prefix is
 * found as far as its blocks and a state are both there.
 *
 * Every operation succeeds, or throws and changes nothing. One that is short of
 * blocks or states throws an {@linkcode OutOfBlocksError}; the caller preempts or swaps a
 * sequence of its choice and tries again.
 *
 * @example
 * ```ts
 * import { BlockPool, CacheManager, PrefixIndex } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
 * const cache = new CacheManager({ pool, index: new PrefixIndex(pool) });
 * const first = cache.create([1, 2, 3, 4, 5]);
 * cache.reserve(first.sequence, first.pending); // write to its slots, then
 * cache.commit(first.sequence);
 * cache.create([1, 2, 3, 4, 9]).cached; // 4
 * ```
 *
 * @category Cache
 */
export class CacheManager {
  readonly #pool: BlockPool;
  readonly #index: PrefixIndex | undefined;
  readonly #watermark: number;
  readonly #swap: SwapSpace;
  readonly #statePool: StatePool | undefined;
  readonly #stateIndex: PrefixIndex | undefined;
  readonly #stateWatermark: number;
  readonly #sizes: SequenceSizes;
  readonly #states: SequenceStates;
  readonly #tables: SequenceTables;
  readonly #registry: SequenceRegistry;

  /**
   * Makes a manager with no sequences.
   *
   * @throws {TypeError} if an option is of the wrong type, an index is not over
   * its pool, or there are `states` without a group of them or the other way.
   * @throws {RangeError} if `watermark` is not in `0..1`, a count is not an
   * integer >= 0, `groups` is empty or its states not last, the pools' block
   * sizes differ, or `"max"` growth has no `maxLength`.
   */
  constructor(options: CacheManagerOptions) {
    const checked = checkManagerOptions(options);
    const { pool, index, watermark, hostBlocks, states } = checked;
    const groups = checked.groups.filter(({ kind }) => kind !== "state");
    const firstGroup = groups.length;
    this.#pool = pool;
    this.#index = index;
    this.#watermark = Math.floor(watermark * pool.totalBlocks);
    this.#statePool = states?.pool;
    this.#stateIndex = states?.index;
    this.#stateWatermark = Math.floor(
      watermark * (states?.pool.totalBlocks ?? 0),
    );
    const swapped = states && { ...states, firstGroup };
    this.#swap = new SwapSpace(pool, hostBlocks, swapped);
    const { blockSize } = pool;
    this.#sizes = new SequenceSizes({ ...checked, groups, blockSize });
    const recurrent = checked.groups.flatMap(({ kind }, group) =>
      kind === "state" ? [group] : []
    );
    this.#states = new SequenceStates(
      states && { ...states, groups: recurrent },
    );
    this.#tables = new SequenceTables({
      ...checked,
      groups,
      states: this.#states,
    });
    this.#registry = new SequenceRegistry(pool);
  }

  /** The pool. */
  get pool(): BlockPool {
    return this.#pool;
  }

  /** The index, if there is one. */
  get index(): PrefixIndex | undefined {
    return this.#index;
  }

  /** The slots of states, if there are groups of them. */
  get statePool(): StatePool | undefined {
    return this.#statePool;
  }

  /** The index of states, if there is one. */
  get stateIndex(): PrefixIndex | undefined {
    return this.#stateIndex;
  }

  /** Groups of states, each of which takes a slot of a sequence. */
  get stateGroups(): number {
    return this.#states.count;
  }

  /** The sequences that are not freed, the oldest first. */
  get sequences(): readonly CacheSequence[] {
    return this.#registry.sequences;
  }

  /** Blocks that admitting a sequence leaves free. */
  get watermarkBlocks(): number {
    return this.#watermark;
  }

  /** Slots of states that admitting a sequence leaves free. */
  get watermarkStates(): number {
    return this.#stateWatermark;
  }

  /** Whether less is free than admitting a sequence leaves. */
  get belowWatermark(): boolean {
    const { freeBlocks = 0 } = this.#statePool ?? {};
    return this.#pool.freeBlocks < this.#watermark ||
      freeBlocks < this.#stateWatermark;
  }

  /** Blocks of host memory that hold nothing. */
  get freeHostBlocks(): number {
    return this.#swap.blocks.freeBlocks;
  }

  /** Slots of host memory that hold no state. */
  get freeHostStates(): number {
    return this.#swap.states?.freeBlocks ?? 0;
  }

  /** The longest length of a sequence; `Infinity` where it is unbounded. */
  get maxLength(): number {
    return this.#sizes.maxLength;
  }

  /**
   * Blocks that a sequence holds at most on its way to `length` tokens, in all
   * layer groups together: those that a window has passed are given back by each
   * commit. Where room is taken ahead, windows are not counted on.
   *
   * @param options.chunk Tokens that are reserved before a commit, at most.
   * Defaults to all.
   * @throws {TypeError} if a size is not a number.
   * @throws {RangeError} if `length` is not an integer in `0..maxLength`, or
   * `chunk` is not an integer >= 1.
   */
  peakBlocks(
    length: number,
    options: { readonly chunk?: number } = {},
  ): number {
    return this.#sizes.peak(length, options.chunk ?? Math.max(1, length));
  }

  /**
   * Says whether there are blocks and states for a sequence of these tokens and
   * the watermark besides: `"now"`; `"later"`, when others have ended; or
   * `"never"`.
   *
   * @throws {TypeError} if `tokens` are no array of numbers, or the salt or a
   * key is of a wrong type.
   * @throws {RangeError} if a token or `chunk` is out of its range.
   */
  canAdmit(
    tokens: readonly number[],
    options: AdmitOptions = {},
  ): "now" | "later" | "never" {
    const { domain = {}, chunk = Math.max(1, tokens.length) } = options;
    checkInteger("chunk", chunk, 1);
    checkBeginning(tokens, domain);
    this.#expirePins();
    if (tokens.length > this.#sizes.maxLength) return "never";
    const needed = this.#sizes.peak(tokens.length, chunk);
    if (this.#pool.totalBlocks - needed < this.#watermark) return "never";
    // Whoever goes on from a state alone needs no other slot.
    const { totalBlocks = 0, freeBlocks = 0 } = this.#statePool ?? {};
    const states = this.#states.count;
    if (totalBlocks - states < this.#stateWatermark) return "never";
    const { blocks } = this.#tables.match(tokens, domain);
    const shared = blocks.flat().filter((id) => this.#pool.refCount(id) > 0);
    const left = this.#pool.freeBlocks - (needed - shared.length);
    return left >= this.#watermark &&
        freeBlocks - states >= this.#stateWatermark
      ? "now"
      : "later";
  }

  /**
   * Begins a sequence with the cached start of `tokens`; the rest is pending.
   * A partial block is only copied if there is a block for it.
   *
   * @throws as {@linkcode CacheManager.canAdmit} does.
   * @throws {RangeError} if there are more tokens than `maxLength`.
   */
  create(tokens: readonly number[], domain: PrefixDomain = {}): Admission {
    const state = newState(copyDomain(domain));
    const admission = this.#begin(state, tokens);
    const sequence = this.#registry.add(state);
    this.#record({ tokens: tokens.length, hits: admission.cached });
    return { sequence, ...admission };
  }

  /**
   * Gives more tokens of a running sequence their slots.
   *
   * @throws {TypeError} if the sequence is not one that runs here, or `tokens`
   * are no array of numbers.
   * @throws {RangeError} if a token is out of range, or the sequence would be
   * longer than `maxLength`.
   * @throws {OutOfBlocksError} if all groups together need more blocks, or slots
   * of states, than are free. Before that, states that an index would find are
   * not kept, and one that the sequence alone holds is written over.
   */
  reserve(
    sequence: CacheSequence,
    tokens: readonly number[],
    options: SequenceReserveOptions = {},
  ): SequenceReservation {
    const state = this.#registry.running(sequence);
    checkTokens(tokens);
    checkOptions("reserve()", options, { known: ["drafts"] });
    this.#sizes.checkLength(state.tokens.length + tokens.length);
    this.#expirePins();
    const needs = state.tables.map((table) =>
      table.blocksNeeded(tokens.length) +
      this.#sizes.ahead(table.length + tokens.length, table.capacity)
    );
    const request = { state, count: tokens.length, ...options };
    const plan = this.#states.plan([request]);
    const fresh = this.#pool.allocate(needs.reduce((sum, n) => sum + n, 0));
    const [states] = this.#states.reserve(plan);
    return this.#tables.reserve(state, tokens, {
      blocks: needs.map((n) => fresh.splice(0, n)),
      states,
    });
  }

  /**
   * Takes the caller's word that keys and values are written up to `length`:
   * full blocks can be found from now on, and blocks that lie wholly before
   * what the next token sees are given back.
   *
   * @param length Defaults to all tokens.
   * @throws {TypeError} if the sequence is not one that runs here, or `length`
   * is not a number.
   * @throws {RangeError} if it is not an integer in `committed..length`, or one
   * at which a state was reserved.
   */
  commit(sequence: CacheSequence, length?: number): void {
    const state = this.#registry.running(sequence);
    const end = length ?? state.tokens.length;
    checkInteger("length", end, state.committed, state.tokens.length);
    for (const held of state.states) held.checkCommit(end);
    this.#tables.commit(state, end);
  }

  /**
   * Forgets tokens that are reserved and not committed, as drafts that were
   * rejected.
   *
   * @throws {TypeError} if the sequence is not one that runs here, `length` is
   * not a number, or the state there is written over: reserve with `drafts`, or
   * say that the tokens are `unwritten`.
   * @throws {RangeError} if it is not an integer in `committed..length`, or one
   * at which a state was reserved.
   */
  truncate(
    sequence: CacheSequence,
    length: number,
    options: StateTruncateOptions = {},
  ): void {
    const state = this.#registry.running(sequence);
    checkOptions("truncate()", options, { known: ["unwritten"] });
    checkInteger("length", length, state.committed, state.tokens.length);
    for (const held of state.states) held.checkTruncate(length, options);
    this.#tables.truncate(state, length, options);
  }

  /**
   * Makes `count` sequences that go on from the same tokens, for parallel
   * samples. Allocates nothing.
   *
   * @throws {TypeError} if the sequence is not one that runs here, `count` is
   * not a number, or with groups of states not all tokens are committed.
   * @throws {RangeError} if `count` is not an integer >= 1, or the sequence is
   * empty.
   */
  fork(sequence: CacheSequence, count = 1): CacheSequence[] {
    const state = this.#registry.running(sequence);
    checkInteger("count", count, 1);
    checkSettled("sequence.committed", state);
    checkRange(
      state.tokens.length > 0,
      "sequence.length",
      "must be more than 0 to fork",
      state.tokens.length,
    );
    return Array.from(
      { length: count },
      () => this.#registry.add(this.#tables.fork(state)),
    );
  }

  /**
   * Replaces every beam by a continuation of one of them, and adds tokens to
   * each: one step of a beam search. Beams that no one goes on from give their blocks
   * back first, so that these serve for the others' copies.
   *
   * @returns For each beam where its tokens go. All copies come before all
   * writes.
   * @throws {TypeError} if a beam is not a sequence that runs here or comes
   * twice, an index or token is not a number, or with groups of states not all
   * tokens of a beam are committed.
   * @throws {RangeError} if there are not as many parents and token lists as
   * beams, or one is out of range.
   * @throws {OutOfBlocksError} if all beams together need more blocks than are
   * free then.
   */
  reorder(options: ReorderOptions): SequenceReservation[] {
    const { beams, parents, tokens = beams.map(() => []) } = options;
    const states = this.#registry.distinct("beams", beams);
    checkPerBeam("parents", parents, beams);
    checkPerBeam("tokens", tokens, beams);
    states.forEach((s, i) => checkSettled(`beams[${i}].committed`, s));
    parents.forEach((parent, i) => {
      checkInteger(`parents[${i}]`, parent, 0, beams.length - 1);
      checkTokens(tokens[i]);
      this.#sizes.checkLength(states[parent].tokens.length + tokens[i].length);
    });
    this.#expirePins();
    const sources = {
      pool: this.#pool,
      tables: this.#tables,
      sizes: this.#sizes,
      recurrent: this.#states,
    };
    return reorderBeams({ states, parents, tokens }, sources);
  }

  /**
   * Ends a sequence, wherever it is but in a transfer.
   *
   * @throws {TypeError} if the sequence is not one of this manager, is freed,
   * or is in a transfer.
   */
  free(sequence: CacheSequence): void {
    const state = this.#registry.get(sequence);
    checkStatus(state, ["running", "preempted", "swapped"]);
    this.#tables.drop(state);
    this.#swap.releaseHost(state);
    state.tokens = [];
    state.committed = 0;
    state.status = "freed";
    this.#registry.remove(sequence);
  }

  /**
   * Takes a running sequence's blocks away, to be computed again later; or a
   * swapped one's host slots, if what lies in them is lost. What is cached of
   * it may still be there then.
   *
   * @throws {TypeError} if the sequence is not one that runs or is swapped here.
   */
  preempt(sequence: CacheSequence): void {
    const state = this.#registry.get(sequence);
    checkStatus(state, ["running", "swapped"]);
    this.#tables.drop(state);
    this.#swap.releaseHost(state);
    state.tokens = [];
    state.committed = 0;
    state.status = "preempted";
  }

  /**
   * Begins a preempted sequence again, as {@linkcode CacheManager.create} does.
   * What is still cached is not counted as a hit.
   *
   * @param tokens All of its tokens.
   * @throws {TypeError} if the sequence is not preempted, or as `create` does.
   * @throws {RangeError} as `create` does.
   */
  resume(sequence: CacheSequence, tokens: readonly number[]): Admission {
    const state = this.#registry.get(sequence);
    checkStatus(state, ["preempted"]);
    const admission = this.#begin(state, tokens);
    const query = { tokens: tokens.length, hits: admission.cached };
    this.#record({ ...query, resumed: true });
    return { sequence, ...admission };
  }

  /**
   * Begins to move running sequences to host memory. They keep their blocks
   * until {@linkcode CacheManager.completeSwap}, and cannot be used meanwhile.
   *
   * @throws {TypeError} if one is not a sequence that runs here, or comes twice,
   * or with groups of states not all of its tokens are committed.
   * @throws {OutOfBlocksError} if host memory has too few blocks, or slots.
   */
  beginSwapOut(sequences: readonly CacheSequence[]): SwapTransfer {
    const states = this.#registry.distinct("sequences", sequences);
    states.forEach((s, i) => checkSettled(`sequences[${i}].committed`, s));
    const copies = this.#swap.beginOut(states);
    return this.#registry.open({ direction: "out", sequences, ...copies });
  }

  /**
   * Begins to bring sequences back from host memory; they keep their slots
   * until {@linkcode CacheManager.completeSwap}.
   *
   * @throws {TypeError} if one is not a swapped sequence, or comes twice.
   * @throws {OutOfBlocksError} if a pool has too few blocks, or slots.
   */
  beginSwapIn(sequences: readonly CacheSequence[]): SwapTransfer {
    const states = this.#registry.distinct("sequences", sequences, "swapped");
    this.#expirePins();
    const copies = this.#swap.beginIn(states);
    return this.#registry.open({ direction: "in", sequences, ...copies });
  }

  /**
   * Ends a transfer whose copies are all done: out, the sequences are swapped
   * and their blocks free; in, they run, and their slots are free.
   *
   * @throws {TypeError} if the transfer is not under way here.
   */
  completeSwap(transfer: SwapTransfer): void {
    for (const state of this.#registry.close(transfer)) {
      if (transfer.direction === "out") {
        this.#tables.drop(state);
        state.status = "swapped";
      } else {
        this.#swap.releaseHost(state);
        this.#tables.enter(state);
        state.status = "running";
      }
    }
  }

  /**
   * Ends a transfer as if it had not begun.
   *
   * @throws {TypeError} if the transfer is not under way here.
   */
  abortSwap(transfer: SwapTransfer): void {
    for (const state of this.#registry.close(transfer)) {
      if (transfer.direction === "out") {
        this.#swap.releaseHost(state);
        state.status = "running";
      } else {
        this.#tables.drop(state);
        state.status = "swapped";
      }
    }
  }

  /**
   * Checks every invariant of the manager, its index and its pools.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#pool.verify();
    this.#index?.verify();
    this.#statePool?.verify();
    this.#stateIndex?.verify();
    this.#swap.verify();
    verifyManager({
      pool: this.#pool,
      host: this.#swap.blocks,
      states: this.#registry.states,
      pins: this.#index?.pins ?? [],
      indexed: this.#index !== undefined,
      ...(this.#statePool && {
        recurrent: {
          pool: this.#statePool,
          host: this.#swap.states!,
          pins: this.#stateIndex?.pins ?? [],
        },
      }),
    });
  }

  /** Gives back the pins whose time is over. */
  #expirePins(): void {
    this.#index?.expirePins();
    this.#stateIndex?.expirePins();
  }

  /** Counts a look-up in both indexes. */
  #record(query: PrefixQuery): void {
    this.#index?.record(query);
    this.#stateIndex?.record(query);
  }

  /** Checks what a state without blocks begins with, and lets it. */
  #begin(
    state: SequenceState,
    tokens: readonly number[],
  ): Omit<Admission, "sequence"> {
    checkBeginning(tokens, state.domain);
    this.#sizes.checkLength(tokens.length);
    this.#expirePins();
    return this.#tables.begin(state, tokens);
  }
}
