/** Squeezed Attention through `attention({ select })`. */

import { assert, assertEquals } from "@std/assert";
import {
  attention as exact,
  compareWithBound,
  errorBound,
  GATES,
  squeezedLookup,
} from "../../../reference/mod.ts";
import { KvCache } from "../../../src/kv/mod.ts";
import {
  attention,
  type AttentionOptions,
  type AttentionPlan,
  planAttention,
} from "../../../src/ops/mod.ts";
import type { BlockMask } from "../../../src/mods/mod.ts";
import type { GpuTensor } from "../../../src/gpu/mod.ts";
import { policyReport, SqueezedPolicy } from "../../../src/policies/mod.ts";
import { TILES } from "../../support/attention/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import { clustersOn, contextOf, lookupOf, PLAIN } from "./contexts.ts";

const C = { ...PLAIN, queries: 5, rest: 21, coarse: 3, clusters: 11 };

/** `[rows, columns]` of rows of `width`, the other way around. */
function transposed(data: Float32Array, rows: number, width: number) {
  const columns = data.length / rows / width;
  const out = new Float32Array(data.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const from = (r * columns + c) * width;
      out.set(data.subarray(from, from + width), (c * rows + r) * width);
    }
  }
  return out;
}

/** The context's keys in a mask, as `[kvHeads, keys]` of 1 where one is kept. */
function keptOf({ levels, grid: { heads, keyBlocks } }: BlockMask): number[] {
  return Array.from({ length: heads * C.context }, (_, at) => {
    const head = Math.floor(at / C.context);
    return levels[head * keyBlocks + at % C.context] === 2 ? 1 : 0;
  });
}

gpuTest(
  "SqueezedPolicy keeps what float64 keeps, beside other options",
  async (_, gpu) => {
    const owned: { destroy(): void }[] = [];
    const keep = <T extends { destroy(): void }>(one: T): T => {
      owned.push(one);
      return one;
    };
    try {
      const context = contextOf(C);
      const keys = C.context + C.rest;
      const { headDim, kvHeads, queryHeads, queries } = C;
      const lookup = {
        ...lookupOf(C, context, 0.5),
        scale: 1 / Math.sqrt(headDim),
      };
      const select = keep(
        await SqueezedPolicy.create(gpu, {
          clusters: clustersOn(gpu, C, context, keep),
          threshold: lookup.threshold,
          coarseThreshold: lookup.coarse!.threshold,
          dtype: "f32",
          queryHeads,
          queries,
          keys,
        }),
      );
      const query = keep(
        gpu.tensor(context.query, [1, queries, queryHeads, headDim]),
      );
      const key = keep(gpu.tensor(context.key, [1, keys, kvHeads, headDim]));
      const value = keep(
        gpu.tensor(context.value, [1, keys, kvHeads, headDim]),
      );
      const bhsd = (data: Float32Array, rows: number, heads: number) =>
        keep(
          gpu.tensor(transposed(data, rows, headDim), [
            1,
            heads,
            rows,
            headDim,
          ]),
        );
      // In blocks of 4 tokens, backwards.
      const blocks = Math.ceil(keys / 4);
      const paged = (data: Float32Array) => {
        const width = 4 * kvHeads * headDim;
        const out = new Float32Array(blocks * width).fill(NaN);
        for (let b = 0; b < blocks; b++) {
          out.set(
            data.subarray(b * width, (b + 1) * width),
            (blocks - 1 - b) * width,
          );
        }
        return keep(gpu.tensor(out, [blocks, 4, kvHeads, headDim]));
      };
      const plain = { query, key, value, causal: true };
      const runs: {
        readonly options: AttentionOptions & {
          readonly query: GpuTensor;
          readonly key: GpuTensor;
          readonly value: GpuTensor;
        };
        /** Keys that all else hides, and what becomes of scores. */
        readonly hides?: (query: number, key: number) => boolean;
      }[] = [
        { options: plain },
        {
          options: { ...plain, window: { left: 60 } },
          hides: (q, k) => k < q - 60,
        },
        {
          options: {
            query: bhsd(context.query, queries, queryHeads),
            key: bhsd(context.key, keys, kvHeads),
            value: bhsd(context.value, keys, kvHeads),
            causal: true,
            layout: "bhsd",
          },
        },
        {
          options: {
            query,
            key: paged(context.key),
            value: paged(context.value),
            causal: true,
            blockTable: Uint32Array.from(
              { length: blocks },
              (_, b) => blocks - 1 - b,
            ),
            keyLengths: [keys],
          },
        },
      ];
      const outputs: GpuTensor[] = [];
      const plans: AttentionPlan[] = [];
      for (const { options } of runs) {
        const { shape } = options.query;
        plans.push(keep(
          await planAttention(gpu, { ...options, select, tiles: TILES.small }),
        ));
        outputs.push(keep(gpu.empty("f32", shape)));
      }
      assertEquals(plans[0].problem.policy?.name, "squeezed");
      gpu.submit("policy", (encoder) => {
        for (const [i, plan] of plans.entries()) {
          const { query, key, value } = runs[i].options;
          plan.encode(encoder, { query, key, value, output: outputs[i] });
        }
      });
      const arrays = await gpu.read(outputs);
      const { kept } = squeezedLookup(lookup);
      const group = queryHeads / kvHeads;
      runs.forEach(({
        options,
        hides = () => false,
      }, i) => {
        const problem = {
          query: context.query,
          key: context.key,
          value: context.value,
          batch: 1,
          queryLength: queries,
          keyLength: keys,
          queryHeads,
          kvHeads,
          headDim,
          mask: (_batch: number, head: number, q: number, k: number) =>
            k <= q && !hides(q, k) &&
            (k >= C.context ||
              kept[Math.floor(head / group) * C.context + k] === 1),
        };
        const output = arrays[i] as Float32Array;
        const actual = options.layout === "bhsd"
          ? transposed(output, queryHeads, headDim)
          : output;
        const expected = exact(problem).output;
        const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl }).output;
        const { ok, max } = compareWithBound({ actual, expected, bound });
        assert(ok, `run ${i} is ${max} off, of ${bound}`);
      });
      const selected = await select.read();
      assertEquals(keptOf(selected), [...kept]);
      // What it must read: kept keys once for each kv head, and those behind.
      const report = policyReport(select, plain, { selected });
      const rows = kept.reduce((sum, bit) => sum + bit, 0) + kvHeads * C.rest;
      assertEquals(report.keyBytes, rows * 2 * headDim * 4);
      assertEquals(report.denseKeyBytes, kvHeads * keys * 2 * headDim * 4);
      assertEquals(report.emptyRows, 0);
    } finally {
      for (const one of owned) one.destroy();
    }
  },
);

gpuTest("SqueezedPolicy is the same beside a cache", async (_, gpu) => {
  const c = { ...PLAIN, seed: 31, rest: 11 };
  const context = contextOf(c);
  const { query, key, value } = context;
  const { queries, queryHeads, kvHeads, headDim } = c;
  const keys = c.context + c.rest;
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  try {
    const lookup = lookupOf(c, context, 0.5);
    const clusters = clustersOn(gpu, c, context, keep);
    const policy = async (room: number, most: number) =>
      keep(
        await SqueezedPolicy.create(gpu, {
          clusters,
          threshold: lookup.threshold,
          dtype: "f32",
          queryHeads,
          queries: most,
          keys: room,
        }),
      );
    const rows = (data: Float32Array, heads: number) => ({
      data,
      shape: [1, data.length / heads / headDim, heads, headDim],
    });
    const call = { query: rows(query, queryHeads), causal: true };
    const plain = await attention(gpu, {
      ...call,
      key: rows(key, kvHeads),
      value: rows(value, kvHeads),
      select: await policy(keys, queries),
      tiles: TILES.small,
    });
    // Behind the blocks of another sequence, and of room for more.
    const select = await policy(2 * keys, queries + 5);
    const cache = keep(
      await KvCache.create(gpu, {
        numBlocks: 40,
        blockSize: 4,
        kvHeads,
        headDim,
      }),
    );
    const other = cache.createSequence();
    const sequence = cache.createSequence();
    const tokens = (data: Float32Array, count: number) => ({
      data: data.slice(0, count * kvHeads * headDim),
      shape: [count, kvHeads, headDim],
    });
    for (const [into, count] of [[other, 7], [sequence, keys]] as const) {
      cache.append([{ sequence: into, count }], {
        key: tokens(key, count),
        value: tokens(value, count),
      });
    }
    const held = await attention(gpu, {
      ...call,
      cache,
      sequences: [sequence],
      select,
      tiles: TILES.small,
    });
    assertEquals(held.output.data, plain.output.data);
    assertEquals(
      keptOf(await select.read()),
      [...squeezedLookup(lookup).kept],
    );
  } finally {
    for (const one of owned) one.destroy();
  }
});
