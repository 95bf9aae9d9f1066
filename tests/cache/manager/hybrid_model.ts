/**
 * The truth that a cache manager with groups of states is held against: what
 * every sequence's states must hold, in a memory in which steps, swaps and
 * copies really change something, beside blocks whose rows hold their tokens.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  type CacheSequence,
  OutOfBlocksError,
  PrefixIndex,
  type SequenceReservation,
  type SnapshotPolicy,
  StatePool,
  type SwapTransfer,
} from "../../../src/cache/mod.ts";
import type { CommandModel } from "../../support/model_commands.ts";
import { runParts } from "../state/state_model.ts";

/** What a run starts with. */
export interface HybridOptions {
  readonly usable: number;
  readonly blockSize: number;
  /** Slots of states that can be used. */
  readonly slots: number;
  /** Groups of attention, by their windows; -1 for none. */
  readonly windows: readonly number[];
  /** Groups of states. */
  readonly recurrent: number;
  readonly host: number;
  readonly indexed: boolean;
  readonly snapshots: SnapshotPolicy;
}

/** A sequence under test beside what is true of it. */
export interface HybridTracked {
  readonly sequence: CacheSequence;
  readonly domain: number;
  tokens: number[];
  reserved: number;
  committed: number;
}

const DOMAINS = [{ salt: 1 }, { salt: 2 }];

/** One run. */
export class HybridModel implements CommandModel {
  readonly pool: BlockPool;
  readonly slots: StatePool;
  readonly index: PrefixIndex | undefined;
  readonly stateIndex: PrefixIndex | undefined;
  readonly cache: CacheManager;
  readonly tracked: HybridTracked[] = [];
  readonly transfers: { transfer: SwapTransfer; members: HybridTracked[] }[] =
    [];
  readonly trace: string[];
  readonly #options: HybridOptions;
  /** The text behind which each row, and each state, stands. */
  readonly #rows: Map<number, string> = new Map();
  readonly #states: Map<number, string> = new Map();
  readonly #hostRows: Map<number, string[]> = new Map();
  readonly #hostStates: Map<number, string> = new Map();

  constructor(options: HybridOptions) {
    const { usable, blockSize, slots, windows, recurrent } = options;
    this.#options = options;
    this.pool = new BlockPool({ numBlocks: usable + 1, blockSize });
    this.slots = new StatePool({ numStates: slots + 1, blockSize });
    const { indexed, host, snapshots } = options;
    this.index = indexed && windows.length > 0
      ? new PrefixIndex(this.pool)
      : undefined;
    this.stateIndex = indexed ? new PrefixIndex(this.slots) : undefined;
    this.cache = new CacheManager({
      pool: this.pool,
      groups: [
        ...windows.map((left) => left < 0 ? {} : { left }),
        ...Array.from(
          { length: recurrent },
          () => ({ kind: "state" as const }),
        ),
      ],
      states: {
        pool: this.slots,
        snapshots,
        hostStates: host,
        ...(this.stateIndex && { index: this.stateIndex }),
      },
      hostBlocks: host * 4,
      ...(this.index && { index: this.index }),
    });
    this.trace = [`start ${JSON.stringify(options)}`];
  }

  /** The number of the first group of states. */
  get stateGroup(): number {
    return this.#options.windows.length;
  }

  /** The `pick`th sequence of a status, if there is any. */
  pick(index: number, status = "running"): HybridTracked | undefined {
    const all = this.tracked.filter((t) => t.sequence.status === status);
    return all[index % all.length];
  }

  /** What stands for the tokens of a group in a domain. */
  text(domain: number, group: number, tokens: readonly number[]): string {
    return `${domain}${group}${tokens.join("")}`;
  }

  /** Tokens that a look-up must find, by trying every length. */
  expected(domain: number, tokens: readonly number[]): number {
    const { blockSize } = this.pool;
    const { windows, recurrent } = this.#options;
    if (this.stateIndex === undefined) return 0;
    const ends = new Set(
      Array.from({ length: this.pool.totalBlocks }, (_, i) => i + 1)
        .filter((id) => this.pool.isCached(id))
        .map((id) => this.#rows.get((id + 1) * blockSize - 1)),
    );
    const states = new Set(
      Array.from({ length: this.slots.totalBlocks }, (_, i) => i + 1)
        .filter((id) => this.slots.isCached(id))
        .map((id) => this.#states.get(id)),
    );
    const at = (group: number, length: number) =>
      this.text(domain, group, tokens.slice(0, length));
    const usable = (length: number) =>
      windows.every((left, group) => {
        const first = left < 0 ? 0 : Math.max(0, length - left);
        for (let end = blockSize; end <= length; end += blockSize) {
          if (end > first && !ends.has(at(group, end))) return false;
        }
        return true;
      }) &&
      Array.from({ length: recurrent }).every((_, i) =>
        states.has(at(windows.length + i, length))
      );
    let length = Math.floor(Math.max(0, tokens.length - 1) / blockSize) *
      blockSize;
    while (length > 0 && !usable(length)) length -= blockSize;
    return length;
  }

  /** Begins or resumes a sequence, and checks what was found of it. */
  begin(domain: number, tokens: number[], preempted?: HybridTracked): string {
    const length = this.expected(domain, tokens);
    const { sequence, cached, pending, copies } = preempted
      ? this.cache.resume(preempted.sequence, tokens)
      : this.cache.create(tokens, DOMAINS[domain]);
    assertEquals(cached, length, "cached tokens");
    assertEquals(pending, tokens.slice(cached));
    assertEquals(copies, []);
    const known = { tokens, reserved: cached, committed: cached };
    if (preempted) Object.assign(preempted, known);
    else this.tracked.push({ sequence, domain, ...known });
    return `${cached} of ${tokens.length} cached`;
  }

  /** Carries copies of rows out, in order. */
  copy(reservations: readonly SequenceReservation[]): void {
    const { blockSize } = this.pool;
    for (const { copies } of reservations) {
      for (const { source, destination, rows } of copies) {
        for (let row = 0; row < rows; row++) {
          const from = this.#rows.get(source * blockSize + row);
          this.#rows.set(destination * blockSize + row, from ?? "");
        }
      }
    }
  }

  /** Runs what is reserved: copies, rows and states of all sequences at once. */
  run(
    served: readonly HybridTracked[],
    reservations: readonly SequenceReservation[],
  ): void {
    const { windows, recurrent } = this.#options;
    this.copy(reservations);
    served.forEach(({ domain, tokens, reserved }, i) => {
      reservations[i].slots.forEach((slots, group) =>
        slots.forEach((slot, at) => {
          const end = reserved - slots.length + at + 1;
          this.#rows.set(slot, this.text(domain, group, tokens.slice(0, end)));
        })
      );
      assertEquals(reservations[i].states?.length, recurrent);
    });
    // All groups at once: each has slots of its own.
    const steps = reservations.flatMap(({ states }) => states!);
    const texts = served.flatMap(({ tokens }) =>
      Array.from({ length: recurrent }, () => tokens.join(""))
    );
    // Before the first token, a state is that of its group and domain.
    const memory = new Map(
      [...this.#states].map(([id, text]) => [id, text.slice(2)]),
    );
    runParts(memory, texts, steps);
    steps.forEach((parts, i) => {
      const { domain } = served[Math.floor(i / recurrent)];
      const group = windows.length + i % recurrent;
      for (const { write } of parts) {
        this.#states.set(write, `${domain}${group}${memory.get(write)}`);
      }
    });
  }

  /** Tells the manager that tokens are written. */
  commit(tracked: HybridTracked, end: number): void {
    this.cache.commit(tracked.sequence, end);
    tracked.committed = end;
  }

  /** Copies what a transfer says, then ends it. */
  complete(index: number, abort = false): void {
    const [{ transfer }] = this.transfers.splice(index, 1);
    const { blockSize } = this.pool;
    for (const { block, slot } of transfer.copies) {
      if (transfer.direction === "out") {
        this.#hostRows.set(
          slot,
          Array.from(
            { length: blockSize },
            (_, row) => this.#rows.get(block * blockSize + row) ?? "",
          ),
        );
      } else {
        this.#hostRows.get(slot)!.forEach((text, row) =>
          this.#rows.set(block * blockSize + row, text)
        );
      }
    }
    for (const { block, slot } of transfer.states!) {
      if (transfer.direction === "out") {
        this.#hostStates.set(slot, this.#states.get(block)!);
      } else this.#states.set(block, this.#hostStates.get(slot)!);
    }
    if (abort) this.cache.abortSwap(transfer);
    else this.cache.completeSwap(transfer);
  }

  /** Runs an operation that may be short of blocks, and then changes nothing. */
  attempt<T>(call: () => T): T | undefined {
    const before = this.#image();
    try {
      return call();
    } catch (error) {
      assertEquals(this.#image(), before, "a failed call changed something");
      if (!(error instanceof OutOfBlocksError)) throw error;
      const { needed, free, evictable } = error;
      assert(needed > free + evictable, error.message);
      return undefined;
    }
  }

  /** Runs a call that must throw and change nothing. */
  refuses(call: () => unknown, Class: new (...a: never[]) => Error): void {
    const before = this.#image();
    let thrown: unknown;
    try {
      call();
    } catch (error) {
      thrown = error;
    }
    assert(thrown instanceof Class, `expected ${Class.name}, got ${thrown}`);
    assertEquals(this.#image(), before, "a failed call changed something");
  }

  check(): void {
    this.cache.verify();
    for (let id = 1; id <= this.slots.totalBlocks; id++) {
      const used = this.slots.refCount(id) > 0 || this.slots.isCached(id);
      if (!used) this.#states.set(id, "??poison");
    }
    for (const tracked of this.tracked) this.#checkSequence(tracked);
  }

  finish(): void {
    while (this.transfers.length > 0) this.complete(0);
    for (const { sequence } of this.tracked.splice(0)) {
      this.cache.free(sequence);
    }
    this.check();
    assertEquals(this.pool.usedBlocks, 0);
    assertEquals(this.slots.usedBlocks, 0);
    const { host } = this.#options;
    assertEquals(this.cache.freeHostBlocks, host * 4);
    assertEquals(this.cache.freeHostStates, host);
    this.index?.reset();
    this.stateIndex?.reset();
    this.cache.verify();
    assertEquals(this.slots.evictableBlocks, 0);
  }

  #checkSequence(tracked: HybridTracked): void {
    const { sequence, domain, tokens, reserved, committed } = tracked;
    if (sequence.status !== "running") return;
    const { windows } = this.#options;
    assertEquals(sequence.length, reserved);
    assertEquals(sequence.committed, committed);
    sequence.tables.forEach((table, group) => {
      for (let i = table.dropped; i < committed; i++) {
        const text = this.text(domain, group, tokens.slice(0, i + 1));
        assertEquals(this.#rows.get(table.slot(i)), text, `row ${i}`);
      }
    });
    sequence.states.forEach((state, i) => {
      const slot = state.slotAt(committed);
      if (slot === 0) {
        assert(committed === 0 || reserved > committed, "a state is lost");
        return;
      }
      const group = windows.length + i;
      const text = this.text(domain, group, tokens.slice(0, committed));
      assertEquals(this.#states.get(slot), text, `state ${slot}`);
    });
  }

  #image(): unknown {
    return {
      pools: [this.pool, this.slots].map((pool) => [
        pool.freeOrder(),
        Array.from({ length: pool.totalBlocks + 1 }, (_, id) => [
          pool.refCount(id),
          pool.isCached(id),
        ]),
      ]),
      host: [this.cache.freeHostBlocks, this.cache.freeHostStates],
      sequences: this.cache.sequences.map((sequence) => [
        sequence.status,
        sequence.tokens,
        sequence.committed,
        sequence.tables.map(({ blocks }) => blocks),
        sequence.states.map(({ slots, length }) => [slots, length]),
      ]),
    };
  }
}
