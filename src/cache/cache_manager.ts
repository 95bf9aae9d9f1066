/**
 * The cache of a service: many sequences over one pool, sharing what they can
 * and giving way when blocks run short.
 *
 * @module
 */

import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../core/check.ts";
import { OutOfBlocksError } from "../core/errors.ts";
import { BlockPool, NULL_BLOCK } from "./block_pool.ts";
import { BlockTable } from "./block_table.ts";
import {
  CacheSequence,
  newState,
  type SequenceState,
  type SequenceStatus,
} from "./cache_sequence.ts";
import {
  checkGroups,
  emptyMatch,
  firstSeen,
  type GroupMatch,
  type LayerGroup,
  matchGroups,
} from "./group_match.ts";
import {
  checkGrowthPolicy,
  grownCapacity,
  type GrowthPolicy,
} from "./growth.ts";
import type {
  Admission,
  AdmitOptions,
  CacheManagerOptions,
  ReorderOptions,
  SequenceAppend,
} from "./manager_types.ts";
import { verifyManager } from "./manager_invariants.ts";
import { encodeDomain, type PrefixDomain } from "./prefix_hash.ts";
import { checkTokens, PrefixIndex } from "./prefix_index.ts";
import { SwapSpace, type SwapTransfer } from "./swap_space.ts";

/**
 * Sequences over a block pool, with prefix hits, forks, beams, preemption,
 * swapping and sliding windows (Kwon et al. 2023, sections 4.3 to 4.5).
 *
 * It keeps books only. The caller carries out the copies that are returned, in
 * order, writes keys and values to the slots, and says by
 * {@linkcode CacheManager.commit} that they are written: only then are blocks
 * found by others, or given up by a window.
 *
 * Every operation succeeds, or throws and changes nothing. One that is short of
 * blocks throws an {@linkcode OutOfBlocksError}; the caller preempts or swaps a
 * sequence of its choice and tries again.
 *
 * @example
 * ```ts
 * import { BlockPool, CacheManager, PrefixIndex } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 9, blockSize: 2 });
 * const cache = new CacheManager({ pool, index: new PrefixIndex(pool) });
 * const first = cache.create([1, 2, 3, 4, 5]);
 * cache.append(first.sequence, first.pending); // write to its slots, then
 * cache.commit(first.sequence);
 * cache.create([1, 2, 3, 4, 9]).cached; // 4
 * ```
 */
export class CacheManager {
  readonly #pool: BlockPool;
  readonly #index: PrefixIndex | undefined;
  readonly #groups: readonly LayerGroup[];
  readonly #watermark: number;
  readonly #swap: SwapSpace;
  readonly #growth: GrowthPolicy;
  readonly #maxLength: number;
  readonly #states: Map<CacheSequence, SequenceState> = new Map();
  readonly #transfers: Set<SwapTransfer> = new Set();

  /**
   * Makes a manager with no sequences.
   *
   * @throws {TypeError} if an option is of the wrong type, or `index` is not
   * over `pool`.
   * @throws {RangeError} if `watermark` is not in `0..1`, a count is not an
   * integer >= 0, `groups` is empty, or `"max"` growth has no `maxLength`.
   */
  constructor(options: CacheManagerOptions) {
    const { pool, index, groups = [{}], watermark = 0.01 } = options;
    const { hostBlocks = 0, growth = "page", maxLength = Infinity } = options;
    checkType(pool instanceof BlockPool, "pool", "must be a BlockPool", pool);
    checkType(
      index === undefined ||
        index instanceof PrefixIndex && index.pool === pool,
      "index",
      "must be a PrefixIndex over the pool",
      index,
    );
    checkGroups(groups);
    checkFinite("watermark", watermark);
    checkRange(
      watermark >= 0 && watermark <= 1,
      "watermark",
      "must be in 0..1",
      watermark,
    );
    checkInteger("hostBlocks", hostBlocks, 0, 2 ** 31 - 2);
    checkGrowthPolicy(growth);
    if (maxLength !== Infinity || growth === "max") {
      checkInteger("maxLength", maxLength, 0);
    }
    this.#pool = pool;
    this.#index = index;
    this.#groups = groups.map((group) => ({ ...group }));
    this.#watermark = Math.floor(watermark * pool.totalBlocks);
    this.#swap = new SwapSpace(pool, hostBlocks);
    this.#growth = growth;
    this.#maxLength = maxLength;
  }

  /** The pool. */
  get pool(): BlockPool {
    return this.#pool;
  }

  /** The index, if there is one. */
  get index(): PrefixIndex | undefined {
    return this.#index;
  }

  /** The sequences that are not freed, the oldest first. */
  get sequences(): readonly CacheSequence[] {
    return [...this.#states.keys()];
  }

  /** Blocks that admitting a sequence leaves free. */
  get watermarkBlocks(): number {
    return this.#watermark;
  }

  /** Blocks of host memory that hold nothing. */
  get freeHostBlocks(): number {
    return this.#swap.freeBlocks;
  }

  /**
   * Says whether there are blocks for a sequence of these tokens and the
   * watermark besides: `"now"`; `"later"`, when others have ended; or
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
    checkRequest(tokens, domain);
    this.#index?.expirePins();
    if (tokens.length > this.#maxLength) return "never";
    const needed = this.#groups.reduce(
      (sum, group) => sum + this.#peakBlocks(group, tokens.length, chunk),
      0,
    );
    if (this.#pool.totalBlocks - needed < this.#watermark) return "never";
    const { blocks } = this.#match(tokens, domain);
    const shared = blocks.flat().filter((id) => this.#pool.refCount(id) > 0);
    const left = this.#pool.freeBlocks - (needed - shared.length);
    return left >= this.#watermark ? "now" : "later";
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
    const sequence = new CacheSequence(state);
    const admission = this.#begin(sequence, state, tokens);
    this.#states.set(sequence, state);
    this.#index?.record({ tokens: tokens.length, hits: admission.cached });
    return admission;
  }

  /**
   * Makes room for more tokens of a running sequence.
   *
   * @throws {TypeError} if the sequence is not one that runs here, or `tokens`
   * are no array of numbers.
   * @throws {RangeError} if a token is out of range, or the sequence would be
   * longer than `maxLength`.
   * @throws {OutOfBlocksError} if all groups together need more blocks than
   * are free.
   */
  append(
    sequence: CacheSequence,
    tokens: readonly number[],
  ): SequenceAppend {
    const state = this.#running(sequence);
    checkTokens(tokens);
    this.#checkLength(state.tokens.length + tokens.length);
    this.#index?.expirePins();
    const needs = state.tables.map((table) =>
      table.blocksNeeded(tokens.length) +
      this.#reserve(table.length + tokens.length, table.capacity)
    );
    const fresh = this.#pool.allocate(needs.reduce((sum, n) => sum + n, 0));
    return this.#write(state, tokens, needs.map((n) => fresh.splice(0, n)));
  }

  /**
   * Takes the caller's word that keys and values are written up to `length`:
   * full blocks can be found from now on, and blocks that lie wholly before
   * what the next token sees are given back.
   *
   * @param length Defaults to all tokens.
   * @throws {TypeError} if the sequence is not one that runs here, or `length`
   * is not a number.
   * @throws {RangeError} if it is not an integer in `committed..length`.
   */
  commit(sequence: CacheSequence, length?: number): void {
    const state = this.#running(sequence);
    const end = length ?? state.tokens.length;
    checkInteger("length", end, state.committed, state.tokens.length);
    state.committed = end;
    this.#store(state);
    this.#dropUnseen(state);
  }

  /**
   * Forgets tokens that were appended and not committed, as drafts that were
   * rejected.
   *
   * @throws {TypeError} if the sequence is not one that runs here, or `length`
   * is not a number.
   * @throws {RangeError} if it is not an integer in `committed..length`.
   */
  truncate(sequence: CacheSequence, length: number): void {
    const state = this.#running(sequence);
    checkInteger("length", length, state.committed, state.tokens.length);
    for (const table of state.tables) table.truncate(length);
    state.tokens.length = length;
  }

  /**
   * Makes `count` sequences that go on from the same tokens, for parallel
   * samples. Allocates nothing.
   *
   * @throws {TypeError} if the sequence is not one that runs here, or `count`
   * is not a number.
   * @throws {RangeError} if `count` is not an integer >= 1, or the sequence is
   * empty.
   */
  fork(sequence: CacheSequence, count = 1): CacheSequence[] {
    const state = this.#running(sequence);
    checkInteger("count", count, 1);
    checkRange(
      state.tokens.length > 0,
      "sequence.length",
      "must be more than 0 to fork",
      state.tokens.length,
    );
    return Array.from({ length: count }, () => {
      const copy = newState(state.domain);
      this.#inherit(copy, state, state.tables.map((table) => table.fork()));
      return this.#register(copy);
    });
  }

  /**
   * Replaces every beam by a continuation of one of them, and appends to each:
   * one step of a beam search. Beams that no one goes on from give their blocks
   * back first, so that these serve for the others' copies.
   *
   * @returns For each beam where its tokens go. All copies come before all
   * writes.
   * @throws {TypeError} if a beam is not a sequence that runs here or comes
   * twice, or an index or token is not a number.
   * @throws {RangeError} if there are not as many parents and token lists as
   * beams, or one is out of range.
   * @throws {OutOfBlocksError} if all beams together need more blocks than are
   * free then.
   */
  reorder(options: ReorderOptions): SequenceAppend[] {
    const { beams, parents, tokens = beams.map(() => []) } = options;
    const states = this.#distinct("beams", beams);
    checkPerBeam("parents", parents, beams);
    checkPerBeam("tokens", tokens, beams);
    parents.forEach((parent, i) => {
      checkInteger(`parents[${i}]`, parent, 0, beams.length - 1);
      checkTokens(tokens[i]);
      this.#checkLength(states[parent].tokens.length + tokens[i].length);
    });
    this.#index?.expirePins();
    const forks = parents.map((p) => states[p].tables.map((t) => t.fork()));
    const release = states.flatMap(({ tables }) =>
      tables.flatMap((table) => heldBlocks(table).toReversed())
    );
    const needs = this.#reorderNeeds(forks, tokens, release);
    let fresh: number[];
    try {
      fresh = this.#pool.allocate(needs.flat().reduce((a, n) => a + n, 0), {
        release,
      });
    } catch (error) {
      for (const table of forks.flat()) table.free();
      throw error;
    }
    const before = states.map((state) => ({ ...state }));
    for (const { tables } of before) tables.forEach((table) => table.detach());
    parents.forEach((p, i) => this.#inherit(states[i], before[p], forks[i]));
    for (const { cursors } of before) cursors.forEach((c) => c.close());
    return states.map((state, i) =>
      this.#write(state, tokens[i], needs[i].map((n) => fresh.splice(0, n)))
    );
  }

  /**
   * Ends a sequence, wherever it is but in a transfer.
   *
   * @throws {TypeError} if the sequence is not one of this manager, is freed,
   * or is in a transfer.
   */
  free(sequence: CacheSequence): void {
    const state = this.#state(sequence);
    checkStatus(state, ["running", "preempted", "swapped"]);
    this.#dropDevice(state);
    this.#swap.releaseHost(state);
    state.tokens = [];
    state.committed = 0;
    state.status = "freed";
    this.#states.delete(sequence);
  }

  /**
   * Takes a running sequence's blocks away, to be computed again later. What
   * is cached of it may still be there then.
   *
   * @throws {TypeError} if the sequence is not one that runs here.
   */
  preempt(sequence: CacheSequence): void {
    const state = this.#running(sequence);
    this.#dropDevice(state);
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
    const state = this.#state(sequence);
    checkStatus(state, ["preempted"]);
    const admission = this.#begin(sequence, state, tokens);
    const query = { tokens: tokens.length, hits: admission.cached };
    this.#index?.record({ ...query, resumed: true });
    return admission;
  }

  /**
   * Begins to move running sequences to host memory. They keep their blocks
   * until {@linkcode CacheManager.completeSwap}, and cannot be used meanwhile.
   *
   * @throws {TypeError} if one is not a sequence that runs here, or comes twice.
   * @throws {OutOfBlocksError} if host memory has too few blocks.
   */
  beginSwapOut(sequences: readonly CacheSequence[]): SwapTransfer {
    const states = this.#distinct("sequences", sequences);
    const copies = this.#swap.beginOut(states);
    return this.#open({ direction: "out", sequences, copies });
  }

  /**
   * Begins to bring sequences back from host memory; they keep their slots
   * until {@linkcode CacheManager.completeSwap}.
   *
   * @throws {TypeError} if one is not a swapped sequence, or comes twice.
   * @throws {OutOfBlocksError} if the pool has too few blocks.
   */
  beginSwapIn(sequences: readonly CacheSequence[]): SwapTransfer {
    const states = this.#distinct("sequences", sequences, "swapped");
    this.#index?.expirePins();
    const copies = this.#swap.beginIn(states);
    return this.#open({ direction: "in", sequences, copies });
  }

  /**
   * Ends a transfer whose copies are all done: out, the sequences are swapped
   * and their blocks free; in, they run, and their slots are free.
   *
   * @throws {TypeError} if the transfer is not under way here.
   */
  completeSwap(transfer: SwapTransfer): void {
    for (const state of this.#close(transfer)) {
      if (transfer.direction === "out") {
        this.#dropDevice(state);
        state.status = "swapped";
      } else {
        this.#swap.releaseHost(state);
        this.#openCursors(state);
        this.#store(state);
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
    for (const state of this.#close(transfer)) {
      if (transfer.direction === "out") {
        this.#swap.releaseHost(state);
        state.status = "running";
      } else {
        this.#dropDevice(state);
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
    this.#swap.verify();
    verifyManager({
      pool: this.#pool,
      host: this.#swap,
      states: [...this.#states.values()],
      pins: this.#index?.pins ?? [],
      indexed: this.#index !== undefined,
    });
  }

  #match(tokens: readonly number[], domain: PrefixDomain): GroupMatch {
    return this.#index === undefined
      ? emptyMatch(this.#groups)
      : matchGroups(this.#index, this.#groups, { tokens, domain });
  }

  /** Holds the cached start of `tokens` for a state without blocks. */
  #begin(
    sequence: CacheSequence,
    state: SequenceState,
    tokens: readonly number[],
  ): Admission {
    checkRequest(tokens, state.domain);
    this.#checkLength(tokens.length);
    this.#index?.expirePins();
    const match = this.#match(tokens, state.domain);
    const { fresh, rows } = this.#take(match);
    const full = match.blocks[0].length * this.#pool.blockSize;
    const cached = full + rows;
    const copies = fresh.map((destination, group) => ({
      source: match.sources[group],
      destination,
      rows,
      group,
    }));
    state.tables = match.blocks.map((blocks, i) =>
      BlockTable.adopt(
        this.#pool,
        [...blocks, ...fresh.slice(i, i + 1)],
        cached,
      )
    );
    state.tokens = tokens.slice(0, cached);
    state.committed = cached;
    state.status = "running";
    this.#openCursors(state);
    this.#store(state);
    this.#dropUnseen(state);
    return { sequence, cached, pending: tokens.slice(cached), copies };
  }

  /** Holds what was matched, with a fresh block for each partial one. */
  #take(match: GroupMatch): { fresh: number[]; rows: number } {
    const blocks = match.blocks.flat().filter((id) => id !== NULL_BLOCK);
    const { sources, rows } = match;
    try {
      // The sources are held, lest one be handed out as its own destination.
      const reuse = [...blocks, ...sources];
      const fresh = this.#pool.allocate(sources.length, { reuse });
      for (const id of sources) this.#pool.release(id);
      return { fresh, rows };
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      this.#pool.allocate(0, { reuse: blocks });
      return { fresh: [], rows: 0 };
    }
  }

  /** Appends to every table, each with blocks of its own. */
  #write(
    state: SequenceState,
    tokens: readonly number[],
    blocks: readonly (readonly number[])[],
  ): SequenceAppend {
    const appends = state.tables.map((table, i) =>
      table.append(tokens.length, { blocks: blocks[i] })
    );
    for (const token of tokens) state.tokens.push(token);
    return {
      slots: appends.map(({ slots }) => slots),
      copies: appends.flatMap(({ copies }, group) =>
        copies.map((copy) => ({ ...copy, group }))
      ),
    };
  }

  /** Notes the committed full blocks that the index does not know yet. */
  #store({ cursors, tables, tokens, committed }: SequenceState): void {
    const { blockSize } = this.#pool;
    cursors.forEach((cursor, i) => {
      // Most commits fill no block: those must not copy the table.
      if ((cursor.blocks + 1) * blockSize > committed) return;
      const { blocks } = tables[i];
      while ((cursor.blocks + 1) * blockSize <= committed) {
        const start = cursor.blocks * blockSize;
        const block = tokens.slice(start, start + blockSize);
        cursor.advance(block, blocks[cursor.blocks]);
      }
    });
  }

  /** Gives back the blocks that no token to come sees. */
  #dropUnseen({ tables, committed }: SequenceState): void {
    tables.forEach((table, i) =>
      table.dropBefore(firstSeen(this.#groups[i], committed))
    );
  }

  #openCursors(state: SequenceState): void {
    const index = this.#index;
    if (index === undefined) return;
    state.cursors = this.#groups.map((_, group) =>
      index.cursor({ ...state.domain, group })
    );
  }

  #inherit(to: SequenceState, from: SequenceState, tables: BlockTable[]): void {
    to.status = "running";
    to.tables = tables;
    to.tokens = [...from.tokens];
    to.committed = from.committed;
    to.cursors = from.cursors.map((cursor) => cursor.fork());
  }

  #dropDevice(state: SequenceState): void {
    for (const table of state.tables) table.free();
    for (const cursor of state.cursors) cursor.close();
    state.tables = [];
    state.cursors = [];
  }

  /** Blocks for each beam and group, as its appends will ask for them. */
  #reorderNeeds(
    forks: readonly BlockTable[][],
    tokens: readonly (readonly number[])[],
    release: readonly number[],
  ): number[][] {
    const gone = new Map<number, number>();
    for (const id of release) gone.set(id, (gone.get(id) ?? 0) + 1);
    return forks.map((tables, i) =>
      tables.map((table) => {
        const { blockSize } = this.#pool;
        const { length: count } = tokens[i];
        const reserve = this.#reserve(table.length + count, table.capacity);
        const needed = table.blocksNeeded(count);
        const tail = table.blocks[Math.floor(table.length / blockSize)];
        if (count === 0 || tail === undefined) return needed + reserve;
        // A copy takes one holder off, so the last one left needs none.
        const holders = this.#pool.refCount(tail) - (gone.get(tail) ?? 0);
        const alone = holders === 1 && !this.#pool.isCached(tail);
        if (!alone) gone.set(tail, (gone.get(tail) ?? 0) + 1);
        return needed - (alone ? 1 : 0) + reserve;
      })
    );
  }

  /** Blocks that growth takes beyond those for `length` tokens. */
  #reserve(length: number, capacity: number): number {
    const { blockSize } = this.#pool;
    const wanted = grownCapacity(length, {
      policy: this.#growth,
      blockSize,
      maxLength: this.#maxLength,
    });
    const reached = Math.max(
      capacity,
      Math.ceil(length / blockSize) * blockSize,
    );
    return Math.max(0, wanted - reached) / blockSize;
  }

  /** The most blocks that a sequence of a group holds while it is computed. */
  #peakBlocks(group: LayerGroup, length: number, chunk: number): number {
    const { blockSize } = this.#pool;
    if (this.#growth !== "page") {
      return this.#reserve(length, 0) +
        Math.ceil(length / blockSize);
    }
    const { left = Infinity } = group;
    const windowed = Math.ceil((left + chunk) / blockSize) + 1;
    return Math.min(Math.ceil(length / blockSize), windowed);
  }

  #checkLength(length: number): void {
    checkRange(
      length <= this.#maxLength,
      "tokens.length",
      `must not take the sequence past maxLength, ${this.#maxLength}`,
      length,
    );
  }

  #register(state: SequenceState): CacheSequence {
    const sequence = new CacheSequence(state);
    this.#states.set(sequence, state);
    return sequence;
  }

  #state(sequence: CacheSequence, name = "sequence"): SequenceState {
    const state = this.#states.get(sequence);
    checkType(
      state !== undefined,
      name,
      "must be a live sequence of this manager",
      sequence,
    );
    return state;
  }

  #running(sequence: CacheSequence): SequenceState {
    const state = this.#state(sequence);
    checkStatus(state, ["running"]);
    return state;
  }

  #distinct(
    name: string,
    sequences: readonly CacheSequence[],
    status: SequenceStatus = "running",
  ): SequenceState[] {
    checkType(Array.isArray(sequences), name, "must be an array", sequences);
    const states = sequences.map((s, i) => this.#state(s, `${name}[${i}]`));
    for (const state of states) checkStatus(state, [status]);
    checkType(
      new Set(states).size === states.length,
      name,
      "must not name a sequence twice",
      sequences,
    );
    return states;
  }

  #open(transfer: SwapTransfer): SwapTransfer {
    const sequences = Object.freeze([...transfer.sequences]);
    const frozen = Object.freeze({ ...transfer, sequences });
    this.#transfers.add(frozen);
    return frozen;
  }

  #close(transfer: SwapTransfer): SequenceState[] {
    checkType(
      this.#transfers.delete(transfer),
      "transfer",
      "must be under way in this manager",
      transfer,
    );
    return transfer.sequences.map((sequence) => this.#state(sequence));
  }
}

/** What a table holds, dropped blocks left out. */
function heldBlocks(table: BlockTable): number[] {
  return table.blocks.filter((id) => id !== NULL_BLOCK);
}

function copyDomain(domain: PrefixDomain): PrefixDomain {
  encodeDomain(domain);
  return structuredClone(domain);
}

function checkRequest(tokens: readonly number[], domain: PrefixDomain): void {
  checkTokens(tokens);
  encodeDomain(domain);
}

function checkStatus(
  { status }: SequenceState,
  allowed: readonly SequenceStatus[],
): void {
  checkType(
    allowed.includes(status),
    "sequence.status",
    `must be ${allowed.join(" or ")}`,
    status,
  );
}

function checkPerBeam(
  name: string,
  items: readonly unknown[],
  beams: readonly unknown[],
): void {
  checkType(Array.isArray(items), name, "must be an array", items);
  checkRange(
    items.length === beams.length,
    `${name}.length`,
    `must be the number of beams, ${beams.length}`,
    items.length,
  );
}
