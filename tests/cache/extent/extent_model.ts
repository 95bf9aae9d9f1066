/**
 * The truth that contiguous sequences are held against: the tokens of each, a
 * physical memory of token ids, and who has which block, block by block.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AnyClass } from "../../support/assert.ts";
import type { CommandModel } from "../../support/model_commands.ts";
import {
  type BlockCopy,
  type ContiguousGrowth,
  ContiguousSequence,
  ExtentPool,
  OutOfBlocksError,
} from "../../../src/cache/mod.ts";

/** How large the pool of a run is, and how its sequences grow. */
export interface ExtentSetup extends ContiguousGrowth {
  /** Blocks. */
  readonly numBlocks: number;
  /** Tokens per block. */
  readonly blockSize: number;
}

/** A live sequence, and what is true of it. */
export interface Tokens {
  /** The sequence under test. */
  readonly sequence: ContiguousSequence;
  /** Every token reserved and not truncated, in order. */
  tokens: number[];
  /** How many of them are committed. */
  committed: number;
  /** The blocks that it must have. */
  blocks: number[];
}

/** What lies in a slot that nobody has written. */
const POISON = -1;

/** The blocks from `start` on. */
function span(start: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => start + i);
}

/** One run: the pool under test beside what is true of it. */
export class ExtentModel implements CommandModel {
  /** The pool under test. */
  readonly pool: ExtentPool;
  /** Live sequences. */
  readonly live: Tokens[] = [];
  /** Sequences that were freed. */
  readonly freed: ContiguousSequence[] = [];
  /** What was done, for the message of a failure. */
  readonly trace: string[];
  readonly #setup: ExtentSetup;
  readonly #memory: Int32Array;
  #nextToken = 0;
  #peak = 0;
  #relocations = 0;
  #relocated = 0;

  /** Starts with a fresh pool. */
  constructor(setup: ExtentSetup) {
    this.#setup = setup;
    const { numBlocks, blockSize } = setup;
    this.pool = new ExtentPool({ numBlocks, blockSize });
    this.#memory = new Int32Array(setup.numBlocks * setup.blockSize);
    this.trace = [JSON.stringify(setup)];
  }

  /** The live sequence that an arbitrary number stands for. */
  pick(index: number): Tokens {
    return this.live[index % this.live.length];
  }

  /** Adds an empty sequence. */
  create(): void {
    const sequence = new ContiguousSequence(this.pool, this.#setup);
    this.live.push({ sequence, tokens: [], committed: 0, blocks: [] });
  }

  /** Reserves and writes fresh tokens, or sees that they are refused. */
  reserve(own: Tokens, count: number): string {
    const { sequence, tokens } = own;
    const length = tokens.length + count;
    if (length > (this.#setup.maxLength ?? Infinity)) {
      this.refuses(() => sequence.reserve(count), RangeError);
      return "too long";
    }
    const place = this.#placeFor(this.#blocksOf(length), own);
    if (place === undefined) {
      this.#refusesRoom(() => sequence.reserve(count), this.#blocksOf(length));
      return "refused";
    }
    const moves = tokens.length > 0 && place[0] !== own.blocks[0];
    const { slots, copies } = sequence.reserve(count);
    assertEquals(copies.length > 0, moves, "copies exactly where it moves");
    if (moves) this.#count(tokens.length);
    own.blocks = place;
    this.#carryOut(copies);
    assertEquals(slots.length, count, "one slot for each token");
    for (const slot of slots) {
      this.#memory[slot] = this.#nextToken;
      tokens.push(this.#nextToken++);
    }
    return `at ${place}`;
  }

  /** Forks a sequence, or sees that it is refused. */
  fork({ sequence, tokens, committed, blocks }: Tokens): string {
    const place = this.#placeFor(blocks.length);
    if (place === undefined) {
      this.#refusesRoom(() => sequence.fork(), blocks.length);
      return "refused";
    }
    const { sequence: fork, copies } = sequence.fork();
    this.live.push({
      sequence: fork,
      tokens: [...tokens],
      committed,
      blocks: place,
    });
    this.#carryOut(copies);
    return `at ${place}`;
  }

  /** Forgets tokens. */
  truncate(own: Tokens, length: number): void {
    own.sequence.truncate(length);
    own.tokens.length = length;
    own.committed = Math.min(own.committed, length);
    own.blocks.length = this.#blocksOf(length);
  }

  /** Frees a sequence. */
  free(own: Tokens): void {
    own.sequence.free();
    this.live.splice(this.live.indexOf(own), 1);
    this.freed.push(own.sequence);
  }

  /** Moves all sequences together, in the order in which they lie. */
  compact(): void {
    const copies = this.pool.compact();
    let next = 0;
    const order = this.live.filter(({ blocks }) => blocks.length > 0)
      .sort((a, b) => a.blocks[0] - b.blocks[0]);
    for (const own of order) {
      const moved = own.blocks[0] !== next && own.tokens.length > 0;
      if (moved) this.#count(own.tokens.length);
      own.blocks = span(next, own.blocks.length);
      next += own.blocks.length;
    }
    this.#carryOut(copies);
    assertEquals(this.pool.largestFree, this.pool.freeBlocks);
  }

  /** Runs a call that must throw, and checks that it changed nothing. */
  refuses<E extends Error>(call: () => unknown, errorClass: AnyClass<E>): E {
    const before = this.#snapshot();
    const error = assertThrows(call, errorClass);
    assertEquals(this.#snapshot(), before, "a failed call changed something");
    return error as E;
  }

  /** Checks everything that must hold between any two operations. */
  check(): void {
    const { pool } = this;
    const { numBlocks, blockSize } = this.#setup;
    const owned = this.live.flatMap(({ blocks }) => blocks);
    this.#peak = Math.max(this.#peak, owned.length);
    const runs = this.#freeRuns();
    const largest = Math.max(0, ...runs.map(({ length }) => length));
    const free = numBlocks - owned.length;
    assertEquals(
      pool.freeRuns(),
      runs.map((run) => ({ start: run[0], blocks: run.length })),
      "free runs",
    );
    assertEquals(
      [pool.freeBlocks, pool.usedBlocks, pool.largestFree],
      [free, owned.length, largest],
      "free, used and largest free blocks",
    );
    assertEquals(pool.peakUsedBlocks, this.#peak, "peak of used blocks");
    const used = this.live.reduce((sum, { tokens }) => sum + tokens.length, 0);
    assertEquals(pool.stats(), {
      extents: this.live.length,
      reserved: owned.length * blockSize,
      used,
      internal: owned.length * blockSize - used,
      free: free * blockSize,
      external: (free - largest) * blockSize,
      relocations: this.#relocations,
      relocated: this.#relocated,
    });
    this.live.forEach((own, i) => this.#checkSequence(own, i));
    pool.verify();
    this.#poison();
  }

  /** Frees every sequence, and checks that the whole pool is usable again. */
  finish(): void {
    for (const own of [...this.live]) this.free(own);
    this.check();
    const { numBlocks, blockSize } = this.#setup;
    const all = new ContiguousSequence(this.pool);
    assertEquals(all.reserve(numBlocks * blockSize).slots[0], 0);
    all.free();
    this.pool.verify();
  }

  /** Blocks that a sequence of a length has. */
  #blocksOf(length: number): number {
    const { policy, maxLength = Infinity, blockSize } = this.#setup;
    if (length === 0) return 0;
    let room = length;
    if (policy === "max") room = maxLength;
    if (policy === "powerOfTwo") {
      for (room = 1; room < length; room *= 2);
      room = Math.min(room, maxLength);
    }
    return Math.ceil(room / blockSize);
  }

  /** Where blocks go: where they begin if they can, else to the best fit. */
  #placeFor(count: number, own?: Tokens): number[] | undefined {
    const runs = this.#freeRuns(own);
    if (count === 0) return [];
    const here = own && own.blocks.length > 0
      ? span(own.blocks[0], count)
      : undefined;
    if (here && runs.some((run) => here.every((id) => run.includes(id)))) {
      return here;
    }
    const [best] = runs.filter((run) => run.length >= count)
      .sort((a, b) => a.length - b.length || a[0] - b[0]);
    return best?.slice(0, count);
  }

  /** Runs of blocks that no one has, but perhaps `own`. */
  #freeRuns(own?: Tokens): number[][] {
    const runs: number[][] = [];
    let last: number[] | undefined;
    for (const id of span(0, this.#setup.numBlocks)) {
      const taken = this.live.some((it) =>
        it !== own && it.blocks.includes(id)
      );
      if (taken) last = undefined;
      else if (last) last.push(id);
      else runs.push(last = [id]);
    }
    return runs;
  }

  #refusesRoom(call: () => unknown, needed: number): void {
    const error = this.refuses(call, OutOfBlocksError);
    assertEquals([error.needed, error.free, error.largest], [
      needed,
      this.pool.freeBlocks,
      this.pool.largestFree,
    ]);
  }

  #count(tokens: number): void {
    this.#relocations++;
    this.#relocated += tokens;
  }

  #carryOut(copies: readonly BlockCopy[]): void {
    const { blockSize } = this.#setup;
    for (const { source, destination, rows } of copies) {
      assert(rows > 0 && rows <= blockSize, "a copy is of rows of one block");
      const from = source * blockSize;
      this.#memory.copyWithin(destination * blockSize, from, from + rows);
    }
  }

  /** Whatever no sequence has written is lost. */
  #poison(): void {
    const written = new Set(
      this.live.flatMap(({ sequence, tokens }) =>
        tokens.map((_, i) => sequence.slot(i))
      ),
    );
    this.#memory.forEach((_, slot) => {
      if (!written.has(slot)) this.#memory[slot] = POISON;
    });
  }

  #checkSequence(
    { sequence, tokens, committed, blocks }: Tokens,
    index: number,
  ): void {
    const { blockSize } = this.#setup;
    const name = `sequence ${index}`;
    const first = (blocks[0] ?? 0) * blockSize;
    assertEquals(sequence.length, tokens.length, `length of ${name}`);
    assertEquals(sequence.committed, committed, `committed of ${name}`);
    assertEquals(sequence.start, first, `start of ${name}`);
    assertEquals(
      sequence.capacity,
      blocks.length * blockSize,
      `capacity of ${name}`,
    );
    tokens.forEach((token, i) => {
      assertEquals(sequence.slot(i), first + i, `slot ${i} of ${name}`);
      assertEquals(this.#memory[first + i], token, `token ${i} of ${name}`);
    });
  }

  #snapshot(): unknown {
    const { pool } = this;
    return {
      runs: pool.freeRuns(),
      free: pool.freeBlocks,
      peak: pool.peakUsedBlocks,
      stats: pool.stats(),
      sequences: this.live.map(({ sequence }) => ({
        start: sequence.start,
        length: sequence.length,
        committed: sequence.committed,
        capacity: sequence.capacity,
      })),
    };
  }
}
