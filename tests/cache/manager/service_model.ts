/**
 * The truth that a cache manager is held against: what every sequence must read
 * through its tables, in a memory that copies, writes and swaps really change.
 *
 * Which check covers which of the usual allocator invariants:
 *
 *  1. exact ids on first allocation: `block_pool_test.ts`, `pool_model_test.ts`
 *  2. full blocks are chained, partial ones have no hash: `#checkCached`
 *  3. shared blocks are held once a table: `#checkHolders`
 *  4. exact free order: `pool_model_test.ts`, `prefix_index_test.ts`
 *  5. the free list is consistent: `verify()` in `check`
 *  6. a reused block is found no longer: `SpyPool` and `#checkCached`
 *  7. nothing cached is evicted while another is free: `verify()` in `check`
 *  8. a failed operation changes nothing: `refuses`, `injects`
 *  9. `reset` refuses while blocks are in use: `reset`
 * 10. evicting one duplicate leaves the others in use: `#checkCached`
 * 11. no index, no hits: `expected`
 * 12. salts and adapters isolate: `#read`, as each domain has its own contents
 * 13. events match changes: `#checkCached` replays them
 * 14. window blocks become null: `#checkSequence`
 * 15. a hit is one that every group has: `expected`
 * 16. no leak at the end: `finish`
 * 17. double frees and stale handles change nothing: `misuse`
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  type AllocateOptions,
  BlockPool,
  type BlockPoolOptions,
  CacheManager,
  type CacheSequence,
  type GroupCopy,
  type LayerGroup,
  NULL_BLOCK,
  OutOfBlocksError,
  type Pin,
  type PrefixDomain,
  PrefixIndex,
  type SequenceReservation,
  type SwapTransfer,
} from "../../../src/cache/mod.ts";
import { chainHash } from "../../../src/cache/prefix/prefix_hash.ts";
import type { CommandModel } from "../../support/model_commands.ts";

/** What a run starts with. */
export interface ServiceOptions {
  /** Blocks that can be used. */
  readonly usable: number;
  /** Tokens per block. */
  readonly blockSize: number;
  /** Window of each group; -1 for none. */
  readonly windows: readonly number[];
  /** Blocks of host memory. */
  readonly hostBlocks: number;
  /** Whether there is an index, and with which hash. */
  readonly hash: "none" | "weak" | "chain";
}

/** What an allocation that is made to fail throws. */
export class InjectedError extends Error {}

/** What lies in a slot whose content was never written. */
const POISON = -1;

/** Domains of sequences; the first two must not be confused. */
const DOMAINS: readonly PrefixDomain[] = [
  { salt: 1 },
  { salt: "1" },
  { keys: { adapter: 1 } },
];

/** A pool that tells what it hands out, and fails when it is told to. */
class SpyPool extends BlockPool {
  onAllocate: (id: number) => void = () => {};
  /** Allocations that still succeed before one fails. */
  budget = Infinity;
  /** Whether one failed. */
  failed = false;

  constructor(options: BlockPoolOptions) {
    super(options);
  }

  override allocate(count: number, options: AllocateOptions = {}): number[] {
    if (this.budget-- === 0) {
      this.failed = true;
      throw new InjectedError("injected");
    }
    const ids = super.allocate(count, options);
    for (const id of ids) this.onAllocate(id);
    return ids;
  }
}

/** A sequence under test beside what is true of it. */
export interface Tracked {
  readonly sequence: CacheSequence;
  readonly domain: number;
  /** All tokens that it was given, pending ones included. */
  tokens: number[];
  /** How many of them have a slot, and how many are committed. */
  reserved: number;
  committed: number;
}

/** One run. */
export class ServiceModel implements CommandModel {
  readonly pool: SpyPool;
  readonly index: PrefixIndex | undefined;
  readonly cache: CacheManager;
  readonly groups: readonly LayerGroup[];
  readonly tracked: Tracked[] = [];
  readonly gone: CacheSequence[] = [];
  readonly transfers: { transfer: SwapTransfer; members: Tracked[] }[] = [];
  readonly pins: Pin[] = [];
  readonly trace: string[];
  now = 0;
  readonly #memory: Int32Array;
  readonly #host: Int32Array;
  readonly #cached: Set<number> = new Set();
  readonly #replayed: Map<number, number> = new Map();
  readonly #contents: Map<string, number> = new Map();
  readonly #stats = { queries: 0, hits: 0, resumes: 0, recovered: 0 };

  constructor(options: ServiceOptions) {
    const { usable, blockSize, windows, hostBlocks, hash } = options;
    this.pool = new SpyPool({ numBlocks: usable + 1, blockSize });
    this.pool.onAllocate = (id) => {
      this.#cached.delete(id);
      this.#memory.fill(POISON, id * blockSize, (id + 1) * blockSize);
    };
    this.index = hash === "none" ? undefined : new PrefixIndex(this.pool, {
      hash: hash === "weak" ? (_, words) => words.length % 2 : chainHash,
      clock: () => this.now,
      events: true,
    });
    this.groups = windows.map((left) => left < 0 ? {} : { left });
    this.cache = new CacheManager({
      pool: this.pool,
      groups: this.groups,
      hostBlocks,
      ...(this.index ? { index: this.index } : {}),
    });
    this.#memory = new Int32Array((usable + 1) * blockSize).fill(POISON);
    this.#host = new Int32Array((hostBlocks + 1) * blockSize).fill(POISON);
    this.trace = [`start ${JSON.stringify(options)}`];
  }

  /** The `pick`th sequence of a status, if there is any. */
  pick(index: number, status = "running"): Tracked | undefined {
    const all = this.tracked.filter((t) => t.sequence.status === status);
    return all[index % all.length];
  }

  domain(index: number): PrefixDomain {
    return DOMAINS[index % DOMAINS.length];
  }

  /** The number that stands for the keys of the last of `tokens`. */
  content(domain: number, group: number, tokens: readonly number[]): number {
    let id = domain * this.groups.length + group;
    for (const token of tokens) {
      const key = `${id},${token}`;
      if (!this.#contents.has(key)) {
        this.#contents.set(key, 1000 + this.#contents.size);
      }
      id = this.#contents.get(key)!;
    }
    return id;
  }

  /** Tokens that a look-up must find, by trying every length. */
  expected(domain: number, tokens: readonly number[]): number[] {
    const { blockSize } = this.pool;
    const rows = new Set<number>();
    for (const id of this.#cached) {
      for (let row = 0; row < blockSize; row++) {
        rows.add(this.#memory[id * blockSize + row]);
      }
    }
    const has = (group: number, length: number) =>
      rows.has(this.content(domain, group, tokens.slice(0, length)));
    const usable = (depth: number) =>
      this.groups.every(({ left = Infinity }, group) => {
        const first = Math.max(0, depth * blockSize - left);
        for (let i = Math.floor(first / blockSize); i < depth; i++) {
          if (!has(group, (i + 1) * blockSize)) return false;
        }
        return true;
      });
    const limit = Math.max(0, tokens.length - 1);
    let depth = Math.floor(limit / blockSize);
    while (!usable(depth)) depth--;
    let length = depth * blockSize;
    const every = (end: number) => this.groups.every((_, g) => has(g, end));
    while (length < limit && every(length + 1)) length++;
    return [depth * blockSize, length];
  }

  /** Begins or resumes a sequence, and checks what was found of it. */
  begin(
    { domain, tokens, nth, preempted }: {
      domain: number;
      tokens: number[];
      nth: number;
      preempted?: Tracked;
    },
  ): string {
    const [full, length] = this.expected(domain, tokens);
    const spare = this.pool.freeBlocks -
      this.groups.length * (2 + full / this.pool.blockSize);
    const { sequence, cached, pending, copies } = this.attempt(
      nth,
      () =>
        preempted
          ? this.cache.resume(preempted.sequence, tokens)
          : this.cache.create(tokens, this.domain(domain)),
    )!;
    assert(cached === length || cached === full, `${cached}, not ${length}`);
    if (spare >= 0) assertEquals(cached, length, "cached tokens");
    assertEquals(pending, tokens.slice(cached), "pending tokens");
    this.#copy(copies);
    const known = { tokens, reserved: cached, committed: cached };
    if (preempted) Object.assign(preempted, known);
    else this.tracked.push({ sequence, domain, ...known });
    const { queries, hits, resumes, recovered } = this.#stats;
    Object.assign(
      this.#stats,
      preempted
        ? { resumes: resumes + 1, recovered: recovered + cached }
        : { queries: queries + 1, hits: hits + cached },
    );
    return `${cached} of ${tokens.length} cached`;
  }

  /** Notes where `count` tokens go. */
  reserved(
    tracked: Tracked,
    count: number,
    reservation: SequenceReservation,
  ): void {
    const { blockSize } = this.pool;
    tracked.reserved += count;
    reservation.slots.forEach((slots, group) => {
      assertEquals(slots.length, count);
      for (const slot of slots) {
        const id = Math.floor(slot / blockSize);
        assertEquals(this.pool.refCount(id), 1, `writer of ${id} is alone`);
        assert(!this.#cached.has(id), `block ${id} is cached and written`);
        assert(tracked.sequence.tables[group].blocks.includes(id));
        this.#memory[slot] = POISON;
      }
    });
  }

  /** Carries copies out, in order. */
  copies(reservations: readonly SequenceReservation[]): void {
    this.#copy(reservations.flatMap(({ copies }) => copies));
  }

  /** Writes tokens, then tells the manager. */
  commit(tracked: Tracked, end: number): void {
    const { tables } = tracked.sequence;
    tables.forEach((table, group) => {
      for (let i = tracked.committed; i < end; i++) {
        this.#memory[table.slot(i)] = this.content(
          tracked.domain,
          group,
          tracked.tokens.slice(0, i + 1),
        );
      }
    });
    const before = tables.map(({ blocks }) => blocks);
    this.cache.commit(tracked.sequence, end);
    this.#noteCached(before, tracked.committed, end);
    tracked.committed = end;
  }

  /** Copies what a transfer says, then completes it. */
  complete(index: number): void {
    const [{ transfer, members }] = this.transfers.splice(index, 1);
    const { blockSize } = this.pool;
    for (const { block, slot } of transfer.copies) {
      const [device, host] = [block * blockSize, slot * blockSize];
      if (transfer.direction === "out") {
        this.#host.set(this.#memory.subarray(device, device + blockSize), host);
      } else {
        this.#memory.set(this.#host.subarray(host, host + blockSize), device);
      }
    }
    this.cache.completeSwap(transfer);
    if (transfer.direction === "out") return;
    for (const { sequence, committed } of members) {
      this.#noteCached(sequence.tables.map((t) => t.blocks), 0, committed);
    }
  }

  evict(id: number): void {
    assertEquals(this.index?.evict(id) ?? false, this.#cached.delete(id));
  }

  /** Forgets everything if nothing is in use. */
  reset(): string {
    if (!this.index) return "no index";
    if (this.pool.usedBlocks > 0) {
      this.refuses(() => this.index!.reset(), TypeError);
      return "refused";
    }
    // A sequence whose window dropped all it had still stands in the index.
    if (this.tracked.some(({ sequence }) => sequence.committed > 0)) return "";
    if (this.tracked.length > 0) return "";
    this.index.reset();
    this.#cached.clear();
    return "cleared";
  }

  /** Runs a call that must throw and change nothing. */
  refuses(call: () => unknown, ...classes: (new (...a: never[]) => Error)[]) {
    const before = this.#snapshot();
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    assert(
      classes.some((c) => thrown instanceof c),
      `expected ${classes.map((c) => c.name)}, got ${thrown}`,
    );
    assertEquals(this.#snapshot(), before, "a failed call changed something");
  }

  /**
   * Runs an operation that allocates. Its `nth` allocation fails, if it makes
   * that many; and it may be short of blocks. Either must change nothing.
   */
  attempt<T>(nth: number, call: () => T): T | undefined {
    const before = this.#snapshot();
    Object.assign(this.pool, { budget: nth, failed: false });
    try {
      const result = call();
      assert(!this.pool.failed, "a failure was passed over");
      return result;
    } catch (error) {
      assertEquals(this.#snapshot(), before, "a failed call changed something");
      if (error instanceof InjectedError) return this.attempt(Infinity, call);
      if (!(error instanceof OutOfBlocksError)) throw error;
      const { needed, free, evictable } = error;
      assert(needed > free + evictable, error.message);
      return undefined;
    } finally {
      this.pool.budget = Infinity;
    }
  }

  /** Checks everything that must hold between any two operations. */
  check(): void {
    this.cache.verify();
    this.#forgetDoubles();
    this.#checkHolders();
    this.#checkCached();
    for (const tracked of this.tracked) this.#checkSequence(tracked);
  }

  /** Ends everything, and checks that all blocks are back. */
  finish(): void {
    while (this.transfers.length > 0) this.complete(0);
    for (const { sequence } of this.tracked.splice(0)) {
      this.cache.free(sequence);
    }
    for (const pin of this.pins.splice(0)) this.index?.unpin(pin);
    this.check();
    assertEquals(this.pool.freeBlocks, this.pool.totalBlocks, "all are free");
    assertEquals(this.cache.freeHostBlocks, this.#hostBlocks, "host is free");
    this.reset();
    this.check();
    this.index?.verify();
    assertEquals(this.pool.evictableBlocks, 0);
    const ids = this.pool.allocate(this.pool.totalBlocks);
    assertEquals(new Set(ids).size, this.pool.totalBlocks);
  }

  get #hostBlocks(): number {
    return this.#host.length / this.pool.blockSize - 1;
  }

  #copy(copies: readonly GroupCopy[]): void {
    const { blockSize } = this.pool;
    for (const { source, destination, rows } of copies) {
      assert(source !== destination && rows > 0 && rows < blockSize);
      assertEquals(this.pool.refCount(destination), 1);
      const start = source * blockSize;
      this.#memory.copyWithin(destination * blockSize, start, start + rows);
    }
  }

  /** Notes the full blocks that are committed beyond `start`. */
  #noteCached(
    groups: readonly (readonly number[])[],
    start: number,
    end: number,
  ): void {
    if (!this.index) return;
    const { blockSize } = this.pool;
    const [first, last] = [start, end].map((n) => Math.floor(n / blockSize));
    for (const id of groups.flatMap((blocks) => blocks.slice(first, last))) {
      if (id !== NULL_BLOCK) this.#cached.add(id);
    }
  }

  /** Of cached blocks with one content, a free one is only kept alone. */
  #forgetDoubles(): void {
    const { blockSize } = this.pool;
    const last = (id: number) => this.#memory[(id + 1) * blockSize - 1];
    for (const ids of Map.groupBy(this.#cached, last).values()) {
      const free = ids.filter((id) => this.pool.refCount(id) === 0);
      const kept = free.length < ids.length
        ? undefined
        : free.find((id) => this.pool.isCached(id));
      assert(kept !== undefined || free.length < ids.length, `${ids} are lost`);
      for (const id of free) if (id !== kept) this.#cached.delete(id);
    }
  }

  #checkHolders(): void {
    const { pool } = this;
    const holders = new Map<number, number>();
    const hold = (id: number) => holders.set(id, (holders.get(id) ?? 0) + 1);
    for (const { sequence } of this.tracked) {
      for (const { blocks } of sequence.tables) blocks.forEach(hold);
    }
    for (const pin of this.pins) {
      if (pin.expiresAt > this.now) pin.blocks.forEach(hold);
    }
    holders.delete(NULL_BLOCK);
    const free = new Set(pool.freeOrder());
    assertEquals(free.size, pool.freeBlocks);
    for (let id = 0; id <= pool.totalBlocks; id++) {
      assertEquals(pool.refCount(id), holders.get(id) ?? 0, `holders of ${id}`);
      assertEquals(free.has(id), id !== 0 && !holders.has(id), `${id} is free`);
    }
    assertEquals(pool.usedBlocks, holders.size);
  }

  #checkCached(): void {
    const { pool, index } = this;
    const flags = Array.from({ length: pool.totalBlocks + 1 }, (_, id) => id);
    assertEquals(
      flags.filter((id) => pool.isCached(id)),
      [...this.#cached].sort((a, b) => a - b),
      "cached blocks",
    );
    assertEquals(
      pool.evictableBlocks,
      [...this.#cached].filter((id) => pool.refCount(id) === 0).length,
    );
    if (!index) return;
    for (const event of index.takeEvents()) {
      if (event.type === "cleared") this.#replayed.clear();
      else if (event.type === "stored") {
        assert(!this.#replayed.has(event.block));
        assertEquals(event.tokens.length, pool.blockSize);
        this.#replayed.set(event.block, event.hash);
      } else {
        assertEquals(this.#replayed.get(event.block), event.hash);
        this.#replayed.delete(event.block);
      }
    }
    assertEquals(new Set(this.#replayed.keys()), this.#cached, "events");
    const { queries, hitTokens, resumes, recoveredTokens } = index.stats;
    assertEquals(
      { queries, hits: hitTokens, resumes, recovered: recoveredTokens },
      this.#stats,
      "statistics",
    );
    for (const id of this.#cached) {
      const rows = this.#memory.subarray(id * pool.blockSize);
      assert(
        rows[pool.blockSize - 1] !== POISON,
        `cached block ${id} is written`,
      );
    }
  }

  #checkSequence(tracked: Tracked): void {
    const { sequence, tokens, reserved, committed } = tracked;
    const { blockSize } = this.pool;
    if (sequence.status === "preempted") return;
    assertEquals(sequence.tokens, tokens.slice(0, reserved), "tokens");
    assertEquals(sequence.committed, committed);
    assertEquals(sequence.pool, this.pool);
    if (sequence.status !== "running") return;
    sequence.tables.forEach((table, group) => {
      const { left = Infinity } = this.groups[group];
      assertEquals(table.length, reserved);
      assertEquals(table.committed, committed);
      assertEquals(table.blocks.length, Math.ceil(reserved / blockSize));
      const seen = Math.max(0, committed - left);
      const dropped = Math.floor(seen / blockSize);
      table.blocks.forEach((id, i) =>
        assertEquals(id === NULL_BLOCK, i < dropped, `block ${i} of ${group}`)
      );
      assertEquals(table.dropped, dropped * blockSize);
      for (let i = dropped * blockSize; i < committed; i++) {
        assertEquals(
          this.#memory[table.slot(i)],
          this.content(tracked.domain, group, tokens.slice(0, i + 1)),
          `token ${i} read by group ${group}`,
        );
      }
    });
  }

  #snapshot(): unknown {
    const { pool, cache, index } = this;
    return {
      order: pool.freeOrder(),
      counts: Array.from({ length: pool.totalBlocks + 1 }, (_, id) => [
        pool.refCount(id),
        pool.isCached(id),
      ]),
      used: pool.usedBlocks,
      host: cache.freeHostBlocks,
      cached: index?.cachedBlocks,
      stats: index?.stats,
      pins: index?.pins,
      sequences: cache.sequences.map((sequence) => ({
        status: sequence.status,
        tokens: sequence.tokens,
        committed: sequence.committed,
        tables: sequence.tables.map(({ blocks, committed }) => ({
          blocks,
          committed,
        })),
      })),
    };
  }
}
