/**
 * Any sequence of appends, forks, truncations and frees, with data: in the end
 * every live sequence reads back, bit by bit, the rows that it appended.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BlockTable,
  type Gpu,
  KvCache,
  OutOfBlocksError,
} from "../../mod.ts";
import { checkProperty } from "../support/property.ts";
import { gpuTest } from "../support/gpu.ts";
import { live } from "../ops/tensors.ts";
import { randomRows, readCache, uploadRows } from "./cache_image.ts";

type Command = readonly [
  kind: "create" | "append" | "fork" | "truncate" | "free",
  pick: number,
  count: number,
];

const commands: fc.Arbitrary<Command[]> = fc.array(
  fc.tuple(
    fc.constantFrom<Command[0]>(
      "create",
      "append",
      "append",
      "append",
      "fork",
      "fork",
      "truncate",
      "free",
    ),
    fc.nat(1000),
    fc.integer({ min: 0, max: 9 }),
  ),
  { minLength: 4, maxLength: 25 },
);

interface Sequence {
  readonly table: BlockTable;
  /** Seeds of the rows at each position. */
  readonly tokens: number[];
}

/** Sequences over one cache, and the seed of every row they wrote. */
class Model {
  readonly live: Sequence[] = [];
  readonly #gpu: Gpu;
  readonly #cache: KvCache;
  #next = 1;
  copies = 0;

  constructor(gpu: Gpu, cache: KvCache) {
    this.#gpu = gpu;
    this.#cache = cache;
  }

  run([kind, pick, count]: Command): void {
    const sequence = this.live[pick % Math.max(1, this.live.length)];
    if (kind === "create" || !sequence) {
      this.live.push({ table: this.#cache.createSequence(), tokens: [] });
    } else if (kind === "append") {
      this.#append(sequence, count);
    } else if (kind === "fork") {
      const { table, tokens } = sequence;
      this.live.push({ table: table.fork(), tokens: [...tokens] });
    } else if (kind === "truncate") {
      const kept = count % (sequence.tokens.length + 1);
      sequence.table.truncate(kept);
      sequence.tokens.length = kept;
    } else {
      this.live.splice(this.live.indexOf(sequence), 1);
      sequence.table.free();
    }
    this.#cache.pool.verify();
  }

  #append({ table, tokens }: Sequence, count: number): void {
    let append;
    try {
      append = table.append(count);
    } catch (error) {
      if (error instanceof OutOfBlocksError) return;
      throw error;
    }
    this.copies += append.copies.length;
    for (let layer = 0; layer < this.#cache.layers; layer++) {
      const rows = Array.from(
        { length: count },
        (_, i) => randomRows(this.#cache, 1, this.#seed(this.#next + i, layer)),
      );
      const joined = (part: "key" | "value") =>
        Float32Array.from(rows.flatMap((row) => [...row[part]]));
      using tensors = uploadRows(this.#gpu, this.#cache, {
        key: joined("key"),
        value: joined("value"),
      });
      this.#cache.append([append], { layer, ...tensors }, {
        copies: layer === 0,
      });
    }
    for (let i = 0; i < count; i++) tokens.push(this.#next++);
  }

  async check(): Promise<void> {
    const images = await readCache(this.#gpu, this.#cache);
    for (const { table, tokens } of this.live) {
      assertEquals(table.length, tokens.length);
      images.forEach((image, layer) =>
        tokens.forEach((token, position) => {
          const rows = randomRows(this.#cache, 1, this.#seed(token, layer));
          assertEquals(
            image.slot(table.slot(position)),
            [...rows.key, ...rows.value],
            `position ${position}, layer ${layer}`,
          );
        })
      );
    }
  }

  #seed(token: number, layer: number): number {
    return token * 16 + layer;
  }
}

const NAME = "KvCache sequences keep their rows through forks and writes";

gpuTest(NAME, async (_, gpu) => {
  const shape = { kvHeads: 1, headDim: 4, valueHeadDim: 2 };
  let copies = 0;
  for (const blocks of [12, 4]) {
    using cache = await KvCache.create(gpu, {
      ...shape,
      numBlocks: 12,
      blockSize: 3,
      layers: 2,
      maxArenaBytes: blocks * 3 * 6 * 4,
    });
    const before = live(gpu);
    await checkProperty(NAME, [commands], async (list) => {
      const model = new Model(gpu, cache);
      for (const command of list) model.run(command);
      await model.check();
      copies += model.copies;
      for (const { table } of model.live) table.free();
      cache.pool.verify();
      assertEquals(cache.pool.freeBlocks, cache.pool.totalBlocks);
    }, { runs: 25 });
    assertEquals(live(gpu), before);
  }
  assertEquals(copies > 0, true, "no write was to a shared block");
});
