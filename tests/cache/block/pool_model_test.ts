/**
 * Any sequence of pool operations, held against an array of free ids and a map
 * of holders.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BlockPool, OutOfBlocksError } from "../../../src/cache/mod.ts";
import { commandLists, property } from "../../support/property.ts";

interface Model {
  /** Free ids in the order in which they must be handed out. */
  readonly free: number[];
  /** Holders of each id in use. */
  readonly holders: Map<number, number>;
  peak: number;
  readonly trace: string[];
}

type Step = (model: Model, pool: BlockPool) => string;

/** A command that always applies; its trace is told if it fails. */
class PoolCommand implements fc.Command<Model, BlockPool> {
  readonly #label: string;
  readonly #step: Step;

  constructor(label: string, step: Step) {
    this.#label = label;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  run(model: Model, pool: BlockPool): void {
    model.trace.push(this.#label);
    try {
      model.trace.push(`  ${this.#step(model, pool)}`);
      checkPool(model, pool);
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

function checkPool(model: Model, pool: BlockPool): void {
  assertEquals(pool.freeOrder(), model.free);
  assertEquals(pool.freeBlocks, model.free.length);
  assertEquals(pool.usedBlocks, model.holders.size);
  assertEquals(pool.freeBlocks + pool.usedBlocks, pool.totalBlocks);
  assertEquals(pool.peakUsedBlocks, model.peak);
  assertEquals(pool.refCount(0), 0);
  for (let id = 1; id <= pool.totalBlocks; id++) {
    assertEquals(pool.refCount(id), model.holders.get(id) ?? 0);
  }
  pool.verify();
}

function allocate(count: number): PoolCommand {
  return new PoolCommand(`allocate ${count}`, (model, pool) => {
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
  return new PoolCommand(`retain #${pick}`, (model, pool) => {
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
  return new PoolCommand(`release #${pick}`, (model, pool) => {
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

property(
  "BlockPool equals an array of free ids and a map of holders",
  [
    fc.integer({ min: 2, max: 9 }),
    commandLists(
      [
        fc.nat(6).map(allocate),
        fc.nat(40).map(retain),
        fc.nat(40).map(release),
      ],
      { size: "+1" },
    ),
  ],
  (numBlocks, commands) => {
    const pool = new BlockPool({ numBlocks });
    const model: Model = {
      free: Array.from({ length: numBlocks - 1 }, (_, i) => i + 1),
      holders: new Map(),
      peak: 0,
      trace: [`new BlockPool({ numBlocks: ${numBlocks} })`],
    };
    fc.modelRun(() => ({ model, real: pool }), commands);
    for (const [id, count] of model.holders) {
      for (let i = 0; i < count; i++) pool.release(id);
    }
    pool.verify();
    assertEquals(pool.usedBlocks, 0);
    assertEquals(
      pool.allocate(numBlocks - 1).toSorted((a, b) => a - b),
      Array.from({ length: numBlocks - 1 }, (_, i) => i + 1),
    );
  },
  { runs: 200 },
);
