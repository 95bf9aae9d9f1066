/**
 * Any sequence of operations on tables that share one pool, up to the last
 * block and past it, held against {@linkcode CacheModel}.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { BlockTable, OutOfBlocksError } from "../../../src/cache/mod.ts";
import { commandLists, property } from "../../support/property.ts";
import { CacheModel } from "./cache_model.ts";

/** A command on the model; what it did goes to the model's trace. */
class CacheCommand implements fc.Command<CacheModel, undefined> {
  readonly #label: string;
  readonly #needsLive: boolean;
  readonly #step: (model: CacheModel) => string | void;

  constructor(
    label: string,
    step: (model: CacheModel) => string | void,
    needsLive = true,
  ) {
    this.#label = label;
    this.#step = step;
    this.#needsLive = needsLive;
  }

  check(model: Readonly<CacheModel>): boolean {
    return !this.#needsLive || model.live.length > 0;
  }

  run(model: CacheModel): void {
    model.trace.push(this.#label);
    try {
      const outcome = this.#step(model);
      if (outcome) model.trace.push(`  ${outcome}`);
      model.check();
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\nTrace:\n${model.trace.join("\n")}`,
        { cause: error },
      );
    }
  }

  toString(): string {
    return this.#label;
  }
}

/** Forks take no block, so that a long run would have no end of them. */
const MOST_SEQUENCES = 10;

function create(): CacheCommand {
  return new CacheCommand("create", (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    model.live.push({ table: new BlockTable(model.pool), tokens: [] });
  }, false);
}

function append([index, count]: [number, number]): CacheCommand {
  return new CacheCommand(`append ${count} to #${index}`, (model) => {
    const sequence = model.pick(index);
    if (model.needs(sequence, count) <= model.free()) {
      model.append(sequence, count);
      return `now ${sequence.table.blocks}`;
    }
    model.refuses(() => sequence.table.append(count), OutOfBlocksError);
    return "refused";
  });
}

function fork(index: number): CacheCommand {
  return new CacheCommand(`fork #${index}`, (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    const { table, tokens } = model.pick(index);
    const { freeBlocks } = model.pool;
    model.live.push({ table: table.fork(), tokens: [...tokens] });
    assertEquals(model.pool.freeBlocks, freeBlocks, "a fork takes no block");
  });
}

function truncate([index, pick]: [number, number]): CacheCommand {
  return new CacheCommand(`truncate #${index} by pick ${pick}`, (model) => {
    const sequence = model.pick(index);
    const length = pick % (sequence.tokens.length + 1);
    const order = model.pool.freeOrder();
    const dropped = sequence.table.blocks.slice(
      Math.ceil(length / model.pool.blockSize),
    );
    const alone = dropped.filter((id) => model.pool.refCount(id) === 1);
    sequence.table.truncate(length);
    sequence.tokens.length = length;
    assertEquals(
      model.pool.freeOrder(),
      [...order, ...alone.toReversed()],
      "blocks go to the back of the free list, the last first",
    );
    return `to ${length}`;
  });
}

function free(index: number): CacheCommand {
  return new CacheCommand(`free #${index}`, (model) => {
    const [{ table }] = model.live.splice(index % model.live.length, 1);
    const order = model.pool.freeOrder();
    const alone = table.blocks.filter((id) => model.pool.refCount(id) === 1);
    table.free();
    model.freed.push(table);
    assertEquals(
      model.pool.freeOrder(),
      [...order, ...alone.toReversed()],
      "blocks go to the back of the free list, the last first",
    );
  });
}

/** Appends one token too many, then exactly as many as fit. */
function exhaust(index: number): CacheCommand {
  return new CacheCommand(`exhaust with #${index}`, (model) => {
    const sequence = model.pick(index);
    let room = 0;
    while (model.needs(sequence, room + 1) <= model.free()) room++;
    model.refuses(() => sequence.table.append(room + 1), OutOfBlocksError);
    model.append(sequence, room);
    return `with ${room} tokens`;
  });
}

/** Calls that must be refused whatever the state is. */
function misuse(index: number): CacheCommand {
  return new CacheCommand(`misuse #${index}`, (model) => {
    const { pool } = model;
    const { table } = model.pick(index);
    const { length } = table;
    for (const bad of [-1, 0.5, NaN, Infinity]) {
      model.refuses(() => table.append(bad), RangeError);
      model.refuses(() => table.truncate(bad), RangeError);
      model.refuses(() => table.slot(bad), RangeError);
      model.refuses(() => pool.allocate(bad), RangeError);
      model.refuses(() => pool.release(bad), RangeError);
    }
    model.refuses(() => table.append(2 ** 53 - 1), OutOfBlocksError);
    model.refuses(() => table.append("1" as never), TypeError);
    model.refuses(() => table.truncate(length + 1), RangeError);
    model.refuses(() => table.slot(length), RangeError);
    model.refuses(() => pool.allocate(model.free() + 1), OutOfBlocksError);
    for (const id of [0, pool.totalBlocks + 1, ...pool.freeOrder()]) {
      model.refuses(() => pool.release(id), RangeError);
      model.refuses(() => pool.retain(id), RangeError);
    }
    for (const dead of model.freed) {
      model.refuses(() => dead.free(), TypeError);
      model.refuses(() => dead.append(1), TypeError);
      model.refuses(() => dead.fork(), TypeError);
      model.refuses(() => dead.truncate(0), TypeError);
    }
  });
}

const index = fc.nat(20);
const count = fc.oneof(fc.constantFrom(0, 1), fc.nat(8), fc.nat(40));

property(
  "BlockTable keeps every sequence's tokens apart and every block counted",
  [
    fc.record({
      usable: fc.oneof(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 24 }),
      ),
      blockSize: fc.constantFrom(1, 2, 5, 16),
    }),
    commandLists(
      [
        fc.constant(null).map(create),
        fc.tuple(index, count).map(append),
        index.map(fork),
        fc.tuple(index, fc.nat(100)).map(truncate),
        index.map(free),
        index.map(exhaust),
        index.map(misuse),
      ],
      { size: "+1" },
    ),
  ],
  (size, commands) => {
    const model = new CacheModel(size);
    fc.modelRun(() => ({ model, real: undefined }), commands);
    model.finish();
  },
  { runs: 200 },
);
