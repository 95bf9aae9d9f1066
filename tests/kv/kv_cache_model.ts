/**
 * The truth that caches on a device are held against: the seed of every row
 * that a sequence was given, in a memory that only the device has.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import {
  type BlockTable,
  type CacheStep,
  ContiguousCache,
  type Gpu,
  type GpuTensor,
  KvCache,
  OutOfBlocksError,
} from "../../mod.ts";
import type { ContiguousSequence } from "../../src/cache/mod.ts";
import type { ReserveRequest } from "../../src/kv/mod.ts";
import type { CommandModel } from "../support/model_commands.ts";
import {
  randomRows,
  readCache,
  type Rows,
  rowsOf,
  uploadRows,
} from "./cache_image.ts";

/** A live sequence, and what is true of it. */
export interface Sequence {
  /** The sequence under test. */
  readonly table: BlockTable | ContiguousSequence;
  /** Seeds of the rows at each position. */
  readonly tokens: number[];
}

/** How the rows of a step get to the cache. */
export type Way = "append" | "write" | "encode" | "rewrite" | "later";

/** Rows of all layers, which are freed together. */
type LayerTensors = Disposable & {
  readonly layers: { readonly key: GpuTensor; readonly value: GpuTensor }[];
};

/** Sequences over one cache, and the seed of every row they wrote. */
export class KvModel implements CommandModel {
  readonly live: Sequence[] = [];
  readonly trace: string[] = [];
  readonly cache: KvCache | ContiguousCache;
  readonly #gpu: Gpu;
  readonly #free: number;
  #next = 1;
  /** Blocks that steps copied. */
  copies = 0;

  /** Starts with a cache whose blocks are all free. */
  constructor(gpu: Gpu, cache: KvCache | ContiguousCache) {
    this.#gpu = gpu;
    this.cache = cache;
    this.#free = cache.pool.freeBlocks;
  }

  /** Distinct live sequences for some picks, each with a count. */
  pick(picks: readonly (readonly [number, number])[]): ReserveRequest[] {
    const counts = new Map(
      picks.map(([pick, count]) => [pick % this.live.length, count]),
    );
    return [...counts].map(([i, count]) => ({
      sequence: this.live[i].table,
      count,
    }));
  }

  /** Adds an empty sequence. */
  create(): void {
    this.live.push({ table: this.cache.createSequence(), tokens: [] });
  }

  /** Adds tokens to all sequences of some requests, if there is room for all. */
  add(requests: readonly ReserveRequest[], way: Way): string {
    const seeds = requests.map(({ count }) =>
      Array.from({ length: count }, () => this.#next++)
    );
    using rows = this.#rows(seeds.flat());
    if (way === "append") {
      const done = unlessFull(
        () => (this.cache.append(requests, { layers: rows.layers }), true),
      );
      if (!done) return "refused";
    } else {
      const step = unlessFull(() => this.cache.reserve(requests));
      if (!step) return "refused";
      assertEquals(step.tokens, seeds.flat().length);
      this.#write(step, rows, way);
      step.commit();
      this.copies += step.copies;
    }
    requests.forEach(({ sequence }, i) =>
      this.#of(sequence).tokens.push(...seeds[i])
    );
    return way;
  }

  /** Reserves, may write some layers, and changes its mind. */
  cancel(requests: readonly ReserveRequest[], written: number): string {
    const step = unlessFull(() => this.cache.reserve(requests));
    if (!step) return "refused";
    const tokens = requests.reduce((sum, { count }) => sum + count, 0);
    using rows = this.#rows(Array.from({ length: tokens }, (_, i) => -1 - i));
    rows.layers.slice(0, written)
      .forEach((own, layer) => step.write({ layer, ...own }));
    if (tokens > 0 && written < this.cache.layers) {
      assertThrows(() => step.commit(), TypeError, `layer ${written} is not`);
    }
    step.cancel();
    return `after ${step.copies} copies`;
  }

  /** Rows of a wrong shape change nothing. */
  misfit(requests: readonly ReserveRequest[]): void {
    const tokens = requests.reduce((sum, { count }) => sum + count, 0);
    using rows = this.#rows(Array.from({ length: tokens + 1 }, (_, i) => i));
    assertThrows(
      () => this.cache.append(requests, { layers: rows.layers }),
      TypeError,
      "rows.layers[0].key.size must be",
    );
  }

  /** Makes a sequence that goes on from the same tokens, if there is room. */
  fork({ table, tokens }: Sequence): string | void {
    const { cache } = this;
    const fork = unlessFull(() =>
      cache instanceof KvCache
        ? (table as BlockTable).fork()
        : cache.fork(table as ContiguousSequence)
    );
    if (!fork) return "refused";
    this.live.push({ table: fork, tokens: [...tokens] });
  }

  /** Forgets tokens. */
  truncate({ table, tokens }: Sequence, length: number): void {
    table.truncate(length);
    tokens.length = length;
  }

  /** Ends a sequence. */
  free(sequence: Sequence): void {
    this.live.splice(this.live.indexOf(sequence), 1);
    sequence.table.free();
  }

  /** Moves all sequences together, where they lie in extents. */
  compact(): void {
    if (this.cache instanceof ContiguousCache) this.cache.compact();
  }

  /** Checks what the host knows. */
  check(): void {
    this.cache.pool.verify();
    for (const { table, tokens } of this.live) {
      assertEquals([table.length, table.committed], [
        tokens.length,
        tokens.length,
      ]);
    }
  }

  /** Reads every row of every live sequence back, bit by bit. */
  async read(): Promise<void> {
    const images = await readCache(this.#gpu, this.cache);
    for (const { table, tokens } of this.live) {
      images.forEach((image, layer) =>
        tokens.forEach((token, position) => {
          const rows = randomRows(this.cache, 1, seedOf(token, layer));
          assertEquals(
            image.slot(table.slot(position)),
            [...rows.key, ...rows.value],
            `position ${position}, layer ${layer}\nTrace:\n${
              this.trace.join("\n")
            }`,
          );
        })
      );
    }
  }

  /** Frees every sequence, and checks that all blocks are back. */
  finish(): void {
    for (const { table } of this.live.splice(0)) table.free();
    this.check();
    assertEquals(this.cache.pool.freeBlocks, this.#free);
  }

  #of(sequence: unknown): Sequence {
    return this.live.find(({ table }) => table === sequence)!;
  }

  #write(step: CacheStep, rows: LayerTensors, way: Way): void {
    if (way === "encode") {
      this.#gpu.submit(
        "model",
        (encoder) =>
          rows.layers.forEach((own, layer) =>
            step.encode(encoder, { layer, ...own })
          ),
      );
      return;
    }
    // Something else is copied, or reserved and cancelled, in between.
    if (way === "later") {
      const other = this.cache.createSequence();
      const between = unlessFull(() =>
        this.cache.reserve([{ sequence: other, count: 1 }])
      );
      between?.cancel();
      this.cache.copy([]);
      other.free();
    }
    const layers = [...rows.layers.entries()];
    if (way === "rewrite") layers.reverse().push(layers[0]);
    for (const [layer, own] of layers) step.write({ layer, ...own });
  }

  #rows(seeds: readonly number[]): LayerTensors {
    const { cache } = this;
    const layers = Array.from({ length: cache.layers }, (_, layer) => {
      const rows = seeds.map((seed) =>
        randomRows(cache, 1, seedOf(seed, layer))
      );
      const joined = (part: "key" | "value"): Rows => {
        const all = rows.flatMap((row) => [...row[part]]);
        const out = rowsOf(cache, all.length);
        out.set(all);
        return out;
      };
      return uploadRows(this.#gpu, cache, {
        key: joined("key"),
        value: joined("value"),
      });
    });
    return {
      layers: layers.map(({ key, value }) => ({ key, value })),
      [Symbol.dispose]() {
        for (const own of layers) own[Symbol.dispose]();
      },
    };
  }
}

function seedOf(token: number, layer: number): number {
  return token * 16 + layer;
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
