/**
 * Any sequence of appends, forks, truncations, frees and compactions, with
 * data: in the end every live sequence of either cache reads back, bit by bit,
 * the rows that it appended.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  type BlockTable,
  ContiguousCache,
  type ContiguousSequence,
  type Gpu,
  KvCache,
  OutOfBlocksError,
} from "../../mod.ts";
import { checkProperty } from "../support/property.ts";
import { gpuTest } from "../support/gpu.ts";
import { live } from "../ops/attention/tensors.ts";
import {
  randomRows,
  readCache,
  type Rows,
  rowsOf,
  uploadRows,
} from "./cache_image.ts";

type Command = readonly [
  kind: "create" | "append" | "fork" | "truncate" | "free" | "compact",
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
      "compact",
    ),
    fc.nat(1000),
    fc.integer({ min: 0, max: 9 }),
  ),
  { minLength: 4, maxLength: 25 },
);

interface Sequence {
  readonly table: BlockTable | ContiguousSequence;
  /** Seeds of the rows at each position. */
  readonly tokens: number[];
}

/** Sequences over one cache, and the seed of every row they wrote. */
class Model {
  readonly live: Sequence[] = [];
  readonly #gpu: Gpu;
  readonly #cache: KvCache | ContiguousCache;
  #next = 1;
  copies = 0;

  constructor(gpu: Gpu, cache: KvCache | ContiguousCache) {
    this.#gpu = gpu;
    this.#cache = cache;
  }

  run([kind, pick, count]: Command): void {
    const sequence = this.live[pick % Math.max(1, this.live.length)];
    if (kind === "compact") {
      if (this.#cache instanceof ContiguousCache) this.#cache.compact();
    } else if (kind === "create" || !sequence) {
      this.live.push({ table: this.#cache.createSequence(), tokens: [] });
    } else if (kind === "append") {
      this.#append(sequence, count);
    } else if (kind === "fork") {
      this.#fork(sequence);
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

  #fork({ table, tokens }: Sequence): void {
    const cache = this.#cache;
    const fork = unlessFull(() =>
      cache instanceof KvCache
        ? (table as BlockTable).fork()
        : cache.fork(table as ContiguousSequence)
    );
    if (fork) this.live.push({ table: fork, tokens: [...tokens] });
  }

  #append({ table, tokens }: Sequence, count: number): void {
    const append = unlessFull(() => table.reserve(count));
    if (!append) return;
    this.copies += append.copies.length;
    for (let layer = 0; layer < this.#cache.layers; layer++) {
      const rows = Array.from(
        { length: count },
        (_, i) => randomRows(this.#cache, 1, this.#seed(this.#next + i, layer)),
      );
      const joined = (part: "key" | "value"): Rows => {
        const all = rows.flatMap((row) => [...row[part]]);
        const out = rowsOf(this.#cache, all.length);
        out.set(all);
        return out;
      };
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

/** The result of a call, or nothing where there are too few blocks. */
function unlessFull<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof OutOfBlocksError) return undefined;
    throw error;
  }
}

const EVEN = { kvHeads: 1, headDim: 4, valueHeadDim: 2 };
const ODD = { kvHeads: 1, headDim: 5, valueHeadDim: 3, dtype: "f16" } as const;

/** Registers the test for caches of one kind. */
function modelTest(
  name: string,
  make: readonly ((gpu: Gpu) => Promise<KvCache | ContiguousCache>)[],
  features: readonly string[] = [],
): void {
  gpuTest(name, async (_, gpu) => {
    let copies = 0;
    for (const open of make) {
      using cache = await open(gpu);
      const free = cache.pool.freeBlocks;
      const before = live(gpu);
      await checkProperty(name, [commands], async (list) => {
        const model = new Model(gpu, cache);
        for (const command of list) model.run(command);
        await model.check();
        copies += model.copies;
        for (const { table } of model.live) table.free();
        cache.pool.verify();
        assertEquals(cache.pool.freeBlocks, free);
      }, { runs: 25 });
      assertEquals(live(gpu), before);
    }
    assertEquals(copies > 0, true, "no append asked for a copy");
  }, { features });
}

const SIZE = { blockSize: 3, layers: 2 };

modelTest(
  "KvCache sequences keep their rows through forks and writes",
  [12, 4].map((blocks) => (gpu) =>
    KvCache.create(gpu, {
      ...EVEN,
      ...SIZE,
      numBlocks: 12,
      maxArenaBytes: blocks * 3 * 6 * 4,
    })
  ),
);

modelTest(
  "ContiguousCache sequences keep their rows through moves and writes",
  [
    (gpu) => ContiguousCache.create(gpu, { ...EVEN, ...SIZE, numBlocks: 12 }),
    (gpu) =>
      ContiguousCache.create(gpu, {
        ...EVEN,
        ...SIZE,
        numBlocks: 24,
        growth: { policy: "powerOfTwo" },
      }),
  ],
);

modelTest(
  "ContiguousCache sequences keep their rows in f16, in odd head dims",
  [(gpu) => ContiguousCache.create(gpu, { ...ODD, ...SIZE, numBlocks: 12 })],
  ["shader-f16"],
);
