/**
 * A contiguous cache is a paged one is float64: for the same appends, forks,
 * truncations and frees, attention over both gives the same bits, and those
 * are right.
 *
 * @module
 */

import { assertGreater } from "@std/assert";
import {
  type BlockTable,
  ContiguousCache,
  type Gpu,
  KvCache,
} from "../../mod.ts";
import type { ContiguousSequence } from "../../src/cache/mod.ts";
import { roundAll } from "../../reference/naive.ts";
import { Prng } from "../../src/core/prng.ts";
import {
  type AttentionCase,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { assertSameBits, checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import {
  appendRows,
  queryStarts,
  type Storage,
} from "../support/attention/storage.ts";
import { gpuTest } from "../support/gpu.ts";
import { runsOf, SEED } from "../support/property.ts";

type Shape = Pick<
  AttentionCase,
  "dtype" | "kvHeads" | "queryHeads" | "headDim" | "valueHeadDim"
>;

/** A sequence in both caches, and the rows that were appended to it. */
interface Twin {
  readonly paged: BlockTable;
  readonly contiguous: ContiguousSequence;
  readonly key: number[];
  readonly value: number[];
}

/** Tokens of all sequences at most. */
const TOKENS = 400;

/** Two caches that are told the same. */
class Twins implements Disposable {
  readonly live: Twin[] = [];
  readonly #shape: Shape;
  readonly #random: Prng;
  readonly #paged: KvCache;
  readonly contiguous: ContiguousCache;

  private constructor(
    shape: Shape,
    random: Prng,
    paged: KvCache,
    contiguous: ContiguousCache,
  ) {
    this.#shape = shape;
    this.#random = random;
    this.#paged = paged;
    this.contiguous = contiguous;
  }

  static async create(gpu: Gpu, shape: Shape, seed: number): Promise<Twins> {
    // Room for every sequence, however the free blocks are scattered.
    const { kvHeads, headDim, valueHeadDim, dtype } = shape;
    const options = {
      ...{ kvHeads, headDim, valueHeadDim, dtype },
      numBlocks: 6 * TOKENS / 5,
      blockSize: 5,
    };
    const paged = await KvCache.create(gpu, options);
    const contiguous = await ContiguousCache.create(gpu, options);
    return new Twins(shape, new Prng(seed), paged, contiguous);
  }

  /** Appends, and now and then a fork, a truncation, an end, a compaction. */
  run(steps: number): void {
    for (let i = 0; i < 3; i++) this.#begin();
    for (let step = 0; step < steps; step++) {
      const twin = this.live[this.#random.below(this.live.length)];
      const fits = this.live.length < 4 && this.#left >= twin.paged.length;
      const action = this.#random.below(10);
      if (action === 0 && this.live.length < 4) this.#begin();
      else if (action === 1 && fits) this.#fork(twin);
      else if (action === 2) this.#truncate(twin);
      else if (action === 3 && this.live.length > 2) this.#free(twin);
      else if (action === 4) this.contiguous.compact();
      else this.#append(twin, this.#random.below(1 + Math.min(25, this.#left)));
      this.contiguous.pool.verify();
    }
  }

  get #left(): number {
    return this.live.reduce((left, { paged }) => left - paged.length, TOKENS);
  }

  /** A case over the live sequences, with their rows and some queries. */
  caseOf(
    change: Partial<AttentionCase>,
    queries: readonly number[],
  ): { c: AttentionCase; data: SequenceData[] } {
    const { headDim, queryHeads, dtype } = this.#shape;
    const c: AttentionCase = {
      ...PLAIN,
      ...this.#shape,
      layout: "cache",
      sequences: this.live.map((twin, i) =>
        [queries[i % queries.length], twin.paged.length] as const
      ),
      ...change,
    };
    const data = this.live.map(({ key, value }, i) => ({
      query: roundAll(
        dtype,
        this.#normals(c.sequences[i][0] * queryHeads * headDim),
      ),
      key: Float32Array.from(key),
      value: Float32Array.from(value),
    }));
    return { c, data };
  }

  /** Where the keys of a case lie, in either cache. */
  storedIn(kind: "paged" | "contiguous", c: AttentionCase): Storage {
    const cache = kind === "paged" ? this.#paged : this.contiguous;
    const sequences = this.live.map((twin) => twin[kind]) as BlockTable[];
    return {
      options: { cache, sequences, ...queryStarts(c) },
      tensors: { arenas: cache.arenas() },
      made: [],
    };
  }

  [Symbol.dispose](): void {
    this.#paged.destroy();
    this.contiguous.destroy();
  }

  #begin(): void {
    this.live.push({
      paged: this.#paged.createSequence(),
      contiguous: this.contiguous.createSequence(),
      key: [],
      value: [],
    });
  }

  #fork({ paged, contiguous, key, value }: Twin): void {
    this.live.push({
      paged: paged.fork(),
      contiguous: this.contiguous.fork(contiguous),
      key: [...key],
      value: [...value],
    });
  }

  #append(twin: Twin, count: number): void {
    const { dtype, kvHeads, headDim, valueHeadDim } = this.#shape;
    const rows = (width: number) =>
      roundAll(dtype, this.#normals(count * kvHeads * width));
    const key = rows(headDim);
    const value = rows(valueHeadDim);
    twin.key.push(...key);
    twin.value.push(...value);
    const data = {
      key: Float32Array.from(twin.key),
      value: Float32Array.from(twin.value),
    };
    appendRows(this.#paged, twin.paged, this.#shape, data, count);
    appendRows(this.contiguous, twin.contiguous, this.#shape, data, count);
  }

  #truncate({ paged, contiguous, key, value }: Twin): void {
    const { kvHeads, headDim, valueHeadDim } = this.#shape;
    const length = this.#random.below(paged.length + 1);
    paged.truncate(length);
    contiguous.truncate(length);
    key.length = length * kvHeads * headDim;
    value.length = length * kvHeads * valueHeadDim;
  }

  #free(twin: Twin): void {
    this.live.splice(this.live.indexOf(twin), 1);
    twin.paged.free();
    twin.contiguous.free();
  }

  #normals(size: number): Float32Array {
    return Float32Array.from({ length: size }, () => this.#random.normal());
  }
}

const EVEN: Shape = { ...PLAIN, queryHeads: 4, kvHeads: 2 };
const ODD: Shape = { ...PLAIN, kvHeads: 1, headDim: 7, valueHeadDim: 5 };

type Asked = readonly [
  change: Partial<AttentionCase>,
  queries: readonly number[],
];

/** Decode, prefill and both; dense queries where the seed is odd. */
const MIXED: Asked = [{ causal: true, window: { left: 40 } }, [1, 33, 0, 2]];
const ASKED: readonly Asked[] = [
  MIXED,
  [{ causal: true, window: { left: 40 } }, [33]],
  [{ splits: 3 }, [1]],
  [{ splits: 3, seed: 2 }, [1]],
  [{ algorithm: "standard" }, [20, 3]],
  [{
    masks: [{ kind: "document", length: 200, ids: 3 }],
    score: { softcap: 5, alibi: true },
  }, [17]],
];

/** Registers the law for rows of one shape. */
function law(
  name: string,
  shape: Shape,
  { asked, features = [] }: {
    readonly asked: readonly Asked[];
    readonly features?: readonly string[];
  },
): void {
  gpuTest(name, async (_, gpu) => {
    const random = new Prng(SEED);
    for (let run = 0; run < Math.ceil(runsOf(2) / 20); run++) {
      const seed = random.u32() >>> 1;
      using twins = await Twins.create(gpu, shape, seed);
      twins.run(40);
      const cases = asked.map((it) => twins.caseOf(...it));
      const results = async (kind: "paged" | "contiguous") =>
        await runCases(gpu, cases.map(({ c }) => c), {
          data: (_, i) => cases[i].data,
          stored: (i) => twins.storedIn(kind, cases[i].c),
        });
      const paged = await results("paged");
      const contiguous = await results("contiguous");
      cases.forEach(({ c, data }, i) => {
        const what = `seed ${seed}, ${JSON.stringify(c)}`;
        assertSameBits(contiguous[i], paged[i], what);
        checkCase(c, contiguous[i], what, data);
      });
      assertGreater(twins.contiguous.pool.stats().relocations, 0, "no moves");
    }
  }, { features });
}

law("attention() over extents is attention() over blocks is right", EVEN, {
  asked: ASKED,
});
law("attention() over extents of odd head dims is that over blocks", ODD, {
  asked: [MIXED],
});
law(
  "attention() over extents in f16, of odd head dims, is that over blocks",
  { ...ODD, dtype: "f16" },
  { asked: [MIXED], features: ["shader-f16"] },
);
