/**
 * Any sequence of operations on tables that share one pool, up to the last
 * block and past it, held against {@linkcode CacheModel}.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { BlockTable, OutOfBlocksError } from "../../../src/cache/mod.ts";
import {
  anyBlocks,
  anyBlockSize,
  anyCount,
  anyIndex,
  BAD_INTEGERS,
  type CommandStep,
  ModelCommand,
  modelProperty,
  MOST_SEQUENCES,
} from "../../support/model_commands.ts";
import { CacheModel } from "./cache_model.ts";

type CacheCommand = ModelCommand<CacheModel>;

/** A command that takes a live sequence. */
function onLive(label: string, step: CommandStep<CacheModel>): CacheCommand {
  return new ModelCommand(label, step, ({ live }) => live.length > 0);
}

function create(): CacheCommand {
  return new ModelCommand("create", (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    const table = new BlockTable(model.pool);
    model.live.push({ table, tokens: [], committed: 0 });
  });
}

function reserve([index, count]: [number, number]): CacheCommand {
  return onLive(`reserve ${count} in #${index}`, (model) => {
    const sequence = model.pick(index);
    if (model.needs(sequence, count) <= model.free()) {
      model.reserve(sequence, count);
      return `now ${sequence.table.blocks}`;
    }
    model.refuses(() => sequence.table.reserve(count), OutOfBlocksError);
    return "refused";
  });
}

function commit([index, pick]: [number, number]): CacheCommand {
  return onLive(`commit #${index} by pick ${pick}`, (model) => {
    const sequence = model.pick(index);
    const open = sequence.tokens.length - sequence.committed;
    const length = sequence.committed + pick % (open + 1);
    sequence.table.commit(length);
    sequence.committed = length;
    return `to ${length}`;
  });
}

function commitAll(index: number): CacheCommand {
  return onLive(`commit #${index}`, (model) => {
    const sequence = model.pick(index);
    sequence.table.commit();
    sequence.committed = sequence.tokens.length;
  });
}

function fork(index: number): CacheCommand {
  return onLive(`fork #${index}`, (model) => {
    if (model.live.length >= MOST_SEQUENCES) return "enough";
    const { table, tokens, committed } = model.pick(index);
    const { freeBlocks } = model.pool;
    const fork = table.fork();
    model.live.push({ table: fork, tokens: [...tokens], committed });
    assertEquals(model.pool.freeBlocks, freeBlocks, "a fork takes no block");
  });
}

function truncate([index, pick]: [number, number]): CacheCommand {
  return onLive(`truncate #${index} by pick ${pick}`, (model) => {
    const sequence = model.pick(index);
    const length = pick % (sequence.tokens.length + 1);
    const order = model.pool.freeOrder();
    const dropped = sequence.table.blocks.slice(
      Math.ceil(length / model.pool.blockSize),
    );
    const alone = dropped.filter((id) => model.pool.refCount(id) === 1);
    sequence.table.truncate(length);
    sequence.tokens.length = length;
    sequence.committed = Math.min(sequence.committed, length);
    assertEquals(
      model.pool.freeOrder(),
      [...order, ...alone.toReversed()],
      "blocks go to the back of the free list, the last first",
    );
    return `to ${length}`;
  });
}

function free(index: number): CacheCommand {
  return onLive(`free #${index}`, (model) => {
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

/** Reserves one token too many, then exactly as many as fit. */
function exhaust(index: number): CacheCommand {
  return onLive(`exhaust with #${index}`, (model) => {
    const sequence = model.pick(index);
    let room = 0;
    while (model.needs(sequence, room + 1) <= model.free()) room++;
    model.refuses(() => sequence.table.reserve(room + 1), OutOfBlocksError);
    model.reserve(sequence, room);
    return `with ${room} tokens`;
  });
}

/** Calls that must be refused whatever the state is. */
function misuse(index: number): CacheCommand {
  return onLive(`misuse #${index}`, (model) => {
    const { pool } = model;
    const { table, committed } = model.pick(index);
    const { length } = table;
    for (const bad of BAD_INTEGERS) {
      model.refuses(() => table.reserve(bad), RangeError);
      model.refuses(() => table.commit(bad), RangeError);
      model.refuses(() => table.truncate(bad), RangeError);
      model.refuses(() => table.slot(bad), RangeError);
      model.refuses(() => pool.allocate(bad), RangeError);
      model.refuses(() => pool.release(bad), RangeError);
    }
    model.refuses(() => table.reserve(2 ** 53 - 1), OutOfBlocksError);
    model.refuses(() => table.reserve("1" as never), TypeError);
    model.refuses(() => table.commit("1" as never), TypeError);
    model.refuses(() => table.commit(length + 1), RangeError);
    model.refuses(() => table.commit(committed - 1), RangeError);
    model.refuses(() => table.truncate(length + 1), RangeError);
    model.refuses(() => table.slot(length), RangeError);
    model.refuses(() => pool.allocate(model.free() + 1), OutOfBlocksError);
    for (const id of [0, pool.totalBlocks + 1, ...pool.freeOrder()]) {
      model.refuses(() => pool.release(id), RangeError);
      model.refuses(() => pool.retain(id), RangeError);
    }
    for (const dead of model.freed) {
      model.refuses(() => dead.free(), TypeError);
      model.refuses(() => dead.reserve(1), TypeError);
      model.refuses(() => dead.commit(), TypeError);
      model.refuses(() => dead.committed, TypeError);
      model.refuses(() => dead.fork(), TypeError);
      model.refuses(() => dead.truncate(0), TypeError);
    }
  });
}

modelProperty(
  "BlockTable keeps every sequence's tokens apart and every block counted",
  {
    setup: fc.record({ usable: anyBlocks, blockSize: anyBlockSize }),
    begin: (size) => new CacheModel(size),
    commands: [
      fc.constant(null).map(create),
      fc.tuple(anyIndex, anyCount).map(reserve),
      fc.tuple(anyIndex, fc.nat(100)).map(commit),
      anyIndex.map(commitAll),
      anyIndex.map(fork),
      fc.tuple(anyIndex, fc.nat(100)).map(truncate),
      anyIndex.map(free),
      anyIndex.map(exhaust),
      anyIndex.map(misuse),
    ],
  },
);
