/**
 * The truth that block tables are held against: the tokens of each sequence,
 * a physical memory of token ids, and holders counted anew from the tables.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AnyClass } from "../../support/assert.ts";
import type { CommandModel } from "../../support/model_commands.ts";
import { BlockPool, type BlockTable } from "../../../src/cache/mod.ts";

/** How large the pool of a run is. */
export interface PoolSize {
  /** Blocks that can be used. */
  readonly usable: number;
  /** Tokens per block. */
  readonly blockSize: number;
}

/** A live sequence: its table, and the tokens that must be read through it. */
export interface Sequence {
  /** The table under test. */
  readonly table: BlockTable;
  /** Every token reserved and not truncated, in order. */
  tokens: number[];
  /** How many of them are committed. */
  committed: number;
}

/** What lies in a slot that nobody has written. */
const POISON = -1;

/** One run: the pool under test beside what is true of it. */
export class CacheModel implements CommandModel {
  /** The pool under test. */
  readonly pool: BlockPool;
  /** Live sequences. */
  readonly live: Sequence[] = [];
  /** Tables that were freed. */
  readonly freed: BlockTable[] = [];
  /** What was done, for the message of a failure. */
  readonly trace: string[];
  readonly #memory: Int32Array;
  #nextToken = 0;
  #peak = 0;

  /** Starts with a fresh pool. */
  constructor({ usable, blockSize }: PoolSize) {
    const numBlocks = usable + 1;
    this.pool = new BlockPool({ numBlocks, blockSize });
    this.#memory = new Int32Array(numBlocks * blockSize).fill(POISON);
    this.trace = [
      `new BlockPool({ numBlocks: ${numBlocks}, blockSize: ${blockSize} })`,
    ];
  }

  /** The live sequence that an arbitrary number stands for. */
  pick(index: number): Sequence {
    return this.live[index % this.live.length];
  }

  /** How many live tables hold each block, counted anew. */
  holders(): Map<number, number> {
    const holders = new Map<number, number>();
    for (const { table } of this.live) {
      for (const id of table.blocks) {
        holders.set(id, (holders.get(id) ?? 0) + 1);
      }
    }
    return holders;
  }

  /** Blocks that no live table holds. */
  free(): number {
    return this.pool.totalBlocks - this.holders().size;
  }

  /** Says whether a sequence's last block is both partial and shared. */
  mustCopy({ table, tokens }: Sequence): boolean {
    const partial = tokens.length % this.pool.blockSize > 0;
    return partial && this.holders().get(table.blocks.at(-1)!)! > 1;
  }

  /** Blocks that `count` more tokens take. */
  needs(sequence: Sequence, count: number): number {
    const blocks = (length: number) => Math.ceil(length / this.pool.blockSize);
    const { length } = sequence.tokens;
    const copy = count > 0 && this.mustCopy(sequence) ? 1 : 0;
    return blocks(length + count) - blocks(length) + copy;
  }

  /** Reserves fresh tokens where there is room, and writes them to memory. */
  reserve(sequence: Sequence, count: number): void {
    const { table } = sequence;
    const { blockSize } = this.pool;
    const before = table.blocks;
    const holders = this.holders();
    const copyExpected = count > 0 && this.mustCopy(sequence);
    const rows = sequence.tokens.length % blockSize;
    const { slots, copies } = table.reserve(count);

    assertEquals(slots.length, count, "one slot for each token");
    assertEquals(
      copies.map(({ source, rows }) => ({ source, rows })),
      copyExpected ? [{ source: before.at(-1)!, rows }] : [],
      "a copy exactly when the last block is partial and shared",
    );
    for (const { source, destination } of copies) {
      assert(!holders.has(destination), "a copy goes to a block that was free");
      this.#memory.fill(
        POISON,
        destination * blockSize,
        (destination + 1) * blockSize,
      );
      for (let row = 0; row < rows; row++) {
        this.#memory[destination * blockSize + row] =
          this.#memory[source * blockSize + row];
      }
    }
    for (const slot of slots) {
      this.#memory[slot] = this.#nextToken;
      sequence.tokens.push(this.#nextToken++);
    }
  }

  /** Runs a call that must throw, and checks that it changed nothing. */
  refuses(call: () => unknown, errorClass: AnyClass<Error>): void {
    const before = this.#snapshot();
    assertThrows(call, errorClass);
    assertEquals(this.#snapshot(), before, "a failed call changed something");
  }

  /** Checks everything that must hold between any two operations. */
  check(): void {
    const { pool } = this;
    const holders = this.holders();
    this.#peak = Math.max(this.#peak, holders.size);
    const free = new Set(pool.freeOrder());
    assertEquals(pool.refCount(0), 0, "holders of the null block");
    assert(!free.has(0), "the null block is not free");
    for (let id = 1; id <= pool.totalBlocks; id++) {
      assertEquals(pool.refCount(id), holders.get(id) ?? 0, `holders of ${id}`);
      assertEquals(free.has(id), !holders.has(id), `block ${id} is free`);
    }
    assertEquals(pool.usedBlocks, holders.size, "used blocks");
    assertEquals(pool.freeBlocks, free.size, "free blocks");
    assertEquals(pool.freeBlocks + pool.usedBlocks, pool.totalBlocks);
    assertEquals(pool.peakUsedBlocks, this.#peak, "peak of used blocks");
    this.live.forEach((sequence, i) => this.#checkSequence(sequence, i));
    pool.verify();
  }

  /** Frees every sequence, and checks that the whole pool is usable again. */
  finish(): void {
    for (const { table } of this.live.splice(0)) table.free();
    this.check();
    const { pool } = this;
    assertEquals(pool.freeBlocks, pool.totalBlocks, "all blocks are free");
    const ids = pool.allocate(pool.totalBlocks);
    assertEquals(new Set(ids).size, pool.totalBlocks, "all blocks differ");
    for (const id of ids) pool.release(id);
    pool.verify();
  }

  #checkSequence(
    { table, tokens, committed }: Sequence,
    index: number,
  ): void {
    const { blockSize } = this.pool;
    const name = `sequence ${index}`;
    assertEquals(table.length, tokens.length, `length of ${name}`);
    assertEquals(table.committed, committed, `committed of ${name}`);
    const blocks = Math.ceil(tokens.length / blockSize);
    assertEquals(table.blocks.length, blocks, `blocks of ${name}`);
    assertEquals(table.capacity, blocks * blockSize, `capacity of ${name}`);
    assertEquals(new Set(table.blocks).size, blocks, `${name} repeats a block`);
    const read = tokens.map((_, i) => this.#memory[table.slot(i)]);
    assertEquals(read, tokens, `tokens read through ${name}`);
  }

  #snapshot(): unknown {
    const { pool } = this;
    return {
      order: pool.freeOrder(),
      counts: Array.from(
        { length: pool.totalBlocks + 1 },
        (_, id) => pool.refCount(id),
      ),
      used: pool.usedBlocks,
      peak: pool.peakUsedBlocks,
      tables: this.live.map(({ table }) => ({
        blocks: table.blocks,
        length: table.length,
        committed: table.committed,
      })),
    };
  }
}
