/**
 * Any sequence of pool operations, held against an array of free ids and a map
 * of holders.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockPool, OutOfBlocksError } from "../../../src/cache/mod.ts";
import {
  type CommandModel,
  ModelCommand,
  modelProperty,
} from "../../support/model_commands.ts";

class PoolModel implements CommandModel {
  readonly pool: BlockPool;
  /** Free ids in the order in which they must be handed out. */
  readonly free: number[];
  /** Holders of each id in use. */
  readonly holders: Map<number, number> = new Map();
  readonly trace: string[];
  peak = 0;

  constructor(numBlocks: number) {
    this.pool = new BlockPool({ numBlocks });
    this.free = Array.from({ length: numBlocks - 1 }, (_, i) => i + 1);
    this.trace = [`new BlockPool({ numBlocks: ${numBlocks} })`];
  }

  check(): void {
    const { pool, free, holders } = this;
    assertEquals(pool.freeOrder(), free);
    assertEquals(pool.freeBlocks, free.length);
    assertEquals(pool.usedBlocks, holders.size);
    assertEquals(pool.freeBlocks + pool.usedBlocks, pool.totalBlocks);
    assertEquals(pool.peakUsedBlocks, this.peak);
    assertEquals(pool.refCount(0), 0);
    for (let id = 1; id <= pool.totalBlocks; id++) {
      assertEquals(pool.refCount(id), holders.get(id) ?? 0);
    }
    pool.verify();
  }

  finish(): void {
    const { pool } = this;
    for (const [id, count] of this.holders) {
      for (let i = 0; i < count; i++) pool.release(id);
    }
    pool.verify();
    assertEquals(pool.usedBlocks, 0);
    assertEquals(
      pool.allocate(pool.totalBlocks).toSorted((a, b) => a - b),
      Array.from({ length: pool.totalBlocks }, (_, i) => i + 1),
    );
  }
}

type PoolCommand = ModelCommand<PoolModel>;

function allocate(count: number): PoolCommand {
  return new ModelCommand(`allocate ${count}`, (model) => {
    const { pool } = model;
    if (count > model.free.length) {
      const error = assertThrows(() => pool.allocate(count), OutOfBlocksError);
      assertEquals([error.needed, error.free], [count, model.free.length]);
      return "refused";
    }
    const ids = pool.allocate(count);
    assertEquals(ids, model.free.splice(0, count));
    for (const id of ids) model.holders.set(id, 1);
    model.peak = Math.max(model.peak, model.holders.size);
    return `gave ${ids}`;
  });
}

/** Takes any id, so that free, unknown and null ones are met as well. */
function retain(pick: number): PoolCommand {
  return new ModelCommand(`retain #${pick}`, (model) => {
    const { pool } = model;
    const id = pick % (pool.totalBlocks + 2);
    const count = model.holders.get(id);
    if (count === undefined) {
      assertThrows(() => pool.retain(id), RangeError, "id must");
      return `refused ${id}`;
    }
    pool.retain(id);
    model.holders.set(id, count + 1);
    return `retained ${id}`;
  });
}

/** As {@linkcode retain}; on a free id it is a double free. */
function release(pick: number): PoolCommand {
  return new ModelCommand(`release #${pick}`, (model) => {
    const { pool } = model;
    const id = pick % (pool.totalBlocks + 2);
    const count = model.holders.get(id);
    if (count === undefined) {
      assertThrows(() => pool.release(id), RangeError, "id must");
      return `refused ${id}`;
    }
    pool.release(id);
    if (count > 1) {
      model.holders.set(id, count - 1);
    } else {
      model.holders.delete(id);
      model.free.push(id);
    }
    return `released ${id}`;
  });
}

modelProperty(
  "BlockPool equals an array of free ids and a map of holders",
  {
    setup: fc.integer({ min: 2, max: 9 }),
    begin: (numBlocks) => new PoolModel(numBlocks),
    commands: [
      fc.nat(6).map(allocate),
      fc.nat(40).map(retain),
      fc.nat(40).map(release),
    ],
  },
);
