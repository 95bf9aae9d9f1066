import { assert } from "@std/assert";
import { attention, booleanMask, KvCache } from "../../mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { assertClose, assertSameBits } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { appendRows, hostOf } from "../support/attention/storage.ts";
import { gpuTest } from "../support/gpu.ts";

const BASE: AttentionCase = { ...PLAIN, causal: true, sequences: [[64, 64]] };

/** Rows `from` to `end` of `[rows, ...]`. */
function rowsOf(
  data: Float32Array,
  width: number,
  [from, end]: readonly [number, number],
): Float32Array {
  return data.slice(from * width, end * width);
}

/** The last `count` queries of a case, as a case and data of their own. */
function lastQueries(
  c: AttentionCase,
  [data]: readonly SequenceData[],
  count: number,
): { c: AttentionCase; data: SequenceData } {
  const [queries, keys] = c.sequences[0];
  const width = c.queryHeads * c.headDim;
  return {
    c: { ...c, sequences: [[count, keys]] },
    data: {
      ...data,
      query: rowsOf(data.query, width, [queries - count, queries]),
    },
  };
}

gpuTest(
  "attention() of the last query is the last row of prefill",
  async (_, gpu) => {
    const data = dataOf(BASE);
    const parts = [1, 2, 17, 40].map((count) => lastQueries(BASE, data, count));
    const [whole] = await runCases(gpu, [BASE]);
    const results = await runCases(gpu, parts.map(({ c }) => c), {
      data: (_, i) => [parts[i].data],
    });
    parts.forEach(({ c, data }, i) => {
      const [count] = c.sequences[0];
      const range = [64 - count, 64] as const;
      const expected = {
        output: rowsOf(
          whole.output as Float32Array,
          c.queryHeads * c.valueHeadDim,
          range,
        ),
        lse: rowsOf(whole.lse, c.queryHeads, range),
      };
      assertClose(c, results[i], expected, `last ${count} rows`, [data]);
    });
  },
);

gpuTest(
  "attention() by the mask of causal is causal attention(), bitwise",
  async (_, gpu) => {
    const [queries, keys] = [40, 83];
    const c: AttentionCase = { ...BASE, sequences: [[queries, keys]] };
    const [data] = dataOf(c);
    const tensors = {
      query: host(data.query, [1, queries, c.queryHeads, c.headDim]),
      key: host(data.key, [1, keys, c.kvHeads, c.headDim]),
      value: host(data.value, [1, keys, c.kvHeads, c.valueHeadDim]),
      returnLse: true,
    };
    const given = Uint8Array.from(
      { length: queries * keys },
      (_, n) => +(n % keys <= Math.floor(n / keys) + keys - queries),
    );
    const byOption = await attention(gpu, { ...tensors, causal: true });
    const byMask = await attention(gpu, {
      ...tensors,
      maskMod: booleanMask(given, [queries, keys]),
    });
    assertSameBits(bare(byMask), bare(byOption), "boolean mask");
  },
);

function host(data: Float32Array, shape: number[]) {
  return { data, shape };
}

function bare(
  { output, lse }: {
    output: { data: Float32Array | Float16Array };
    lse?: { data: Float32Array | Float16Array };
  },
) {
  return { output: output.data, lse: lse!.data as Float32Array };
}

/** Attention of some rows of a case over what a cache's table holds now. */
async function attendCache(
  gpu: Gpu,
  cache: KvCache,
  table: ReturnType<KvCache["createSequence"]>,
  c: AttentionCase,
  data: SequenceData,
  range: readonly [number, number],
): Promise<{ output: Float32Array; lse: Float32Array }> {
  const width = c.queryHeads * c.headDim;
  const query = hostOf(c.dtype, rowsOf(data.query, width, range));
  const result = await attention(gpu, {
    query: {
      data: query,
      shape: [1, range[1] - range[0], c.queryHeads, c.headDim],
    },
    cache,
    sequences: [table],
    causal: true,
    returnLse: true,
  });
  return bare(result) as { output: Float32Array; lse: Float32Array };
}

gpuTest(
  "attention() step by step through a cache is prefill",
  async (_, gpu) => {
    const c: AttentionCase = { ...BASE, layout: "cache", blockSize: 5 };
    const data = dataOf(c);
    const [whole] = await runCases(gpu, [c]);
    using cache = await KvCache.create(gpu, {
      numBlocks: 40,
      blockSize: 5,
      kvHeads: c.kvHeads,
      headDim: c.headDim,
    });
    const table = cache.createSequence();
    const output: number[] = [];
    const lse: number[] = [];
    // A prompt, a chunk, and then tokens one by one.
    for (const count of [40, 17, 1, 1, 2, 1, 1, 1]) {
      const from = table.length;
      appendRows(cache, table, c, data[0], count);
      const part = await attendCache(gpu, cache, table, c, data[0], [
        from,
        table.length,
      ]);
      output.push(...part.output);
      lse.push(...part.lse);
    }
    assert(table.length === 64);
    const steps = {
      output: Float32Array.from(output),
      lse: Float32Array.from(lse),
    };
    assertClose(c, steps, whole, "step by step");
  },
);

gpuTest(
  "attention() over a fork does not see what others append",
  async (_, gpu) => {
    const c: AttentionCase = { ...BASE, sequences: [[20, 20], [20, 20]] };
    const [mine, other] = dataOf(c);
    using cache = await KvCache.create(gpu, {
      numBlocks: 40,
      blockSize: 16,
      kvHeads: c.kvHeads,
      headDim: c.headDim,
    });
    const parent = cache.createSequence();
    appendRows(cache, parent, c, mine, 10);
    const forks = [parent.fork(), parent.fork()];
    const last = [9, 10] as const;
    const before = await attendCache(gpu, cache, parent, c, mine, last);
    // Both write the position after the shared, partly filled block.
    appendRows(cache, forks[0], c, mine, 10);
    appendRows(cache, forks[1], c, other, 10);
    const after = await attendCache(gpu, cache, parent, c, mine, last);
    assertSameBits(after, before, "the parent after its forks' appends");
    const own = { ...c, sequences: [[20, 20]] as const };
    const mixed = (tail: SequenceData): SequenceData => ({
      query: mine.query,
      key: joined(mine.key, tail.key, 10 * c.kvHeads * c.headDim),
      value: joined(mine.value, tail.value, 10 * c.kvHeads * c.valueHeadDim),
    });
    const tails = [mixed(mine), mixed(other)];
    const expected = await runCases(
      gpu,
      [own, own].map((it) => ({
        ...it,
        layout: "cache",
        blockSize: 16,
        tiles: "device",
      })),
      { data: (_, i) => [tails[i]] },
    );
    for (const [i, fork] of forks.entries()) {
      const actual = await attendCache(gpu, cache, fork, c, mine, [0, 20]);
      assertSameBits(actual, expected[i], `fork ${i} against its own tokens`);
    }
    for (const table of [parent, ...forks]) table.free();
    cache.pool.verify();
  },
);

function joined(head: Float32Array, tail: Float32Array, at: number) {
  return Float32Array.from([...head.slice(0, at), ...tail.slice(at)]);
}
