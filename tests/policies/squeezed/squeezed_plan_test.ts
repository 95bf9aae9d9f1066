/** Squeezed Attention against float64, with the keys that float64 selects. */

import { assert, assertEquals } from "@std/assert";
import {
  attention,
  compareErrors,
  compareWithBound,
  errorBound,
  GATES,
  naiveAttention,
  type ReferenceProblem,
  squeezedLookup,
  type SqueezedLookupProblem,
} from "../../../reference/mod.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  planSqueezedAttention,
  type SqueezedClusters,
  type SqueezedPlan,
} from "../../../src/policies/mod.ts";
import { hostOf } from "../../support/attention/storage.ts";
import { TILES } from "../../support/attention/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  clustersOn,
  type Context,
  type ContextCase,
  contextOf,
  lookupOf,
  PLAIN,
} from "./contexts.ts";

/** A call: a case, and what of its clusters it keeps. */
interface Call {
  readonly c: ContextCase;
  /** About as many; 1 for a threshold of 0, 0 for one of 1. */
  readonly fraction: number;
  readonly softcap?: number;
  readonly scale?: number;
  /** Room for keys behind the last one, which hold NaN. */
  readonly spare?: number;
  /** Tokens of a block, where keys are in blocks: backwards, with some between. */
  readonly blockSize?: number;
}

interface Ran {
  readonly call: Call;
  readonly context: Context;
  readonly lookup: SqueezedLookupProblem;
  readonly output: Float32Array;
  readonly lse: Float32Array;
  readonly kept: readonly Uint32Array[];
}

/** A call's thresholds. */
function thresholdsOf({ c, fraction }: Call, context: Context) {
  const between = lookupOf(c, context, fraction === 0 ? 0.5 : fraction);
  if (fraction > 0 && fraction < 1) return between;
  const threshold = fraction === 1 ? 0 : 1;
  const { coarse } = between;
  return { ...between, threshold, coarse: coarse && { ...coarse, threshold } };
}

/** Runs calls, all with one submit. */
async function run(gpu: Gpu, calls: readonly Call[]): Promise<Ran[]> {
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  try {
    const recorded: {
      readonly plan: SqueezedPlan;
      readonly tensors: Parameters<SqueezedPlan["encode"]>[1];
    }[] = [];
    const made: Omit<Ran, "output" | "lse" | "kept">[] = [];
    const results: GpuTensor[] = [];
    for (const call of calls) {
      const { c, softcap, scale, spare = 0, blockSize } = call;
      const context = contextOf(c);
      const lookup = {
        ...thresholdsOf(call, context),
        ...(scale && { scale }),
      };
      const clusters: SqueezedClusters = clustersOn(gpu, c, context, keep);
      const keyLength = c.context + c.rest;
      const query = keep(
        gpu.tensor(
          hostOf(c.dtype, context.query),
          [1, c.queries, c.queryHeads, c.headDim],
        ),
      );
      const room = keyLength + spare;
      const blocks = blockSize && Math.ceil(room / blockSize);
      const blockTable = blocks && Uint32Array.from(
        { length: blocks },
        (_, b) => 2 * (blocks - 1 - b) + 1,
      );
      const shape = blocks ? [2 * blocks, blockSize] : [1, room];
      const stored = (data: Float32Array, dim: number) => {
        const width = c.kvHeads * dim;
        const all = new Float32Array(shape[0] * shape[1] * width).fill(NaN);
        for (let i = 0; i < keyLength; i++) {
          const place = blockTable
            ? blockTable[Math.floor(i / blockSize!)] * blockSize! +
              i % blockSize!
            : i;
          all.set(data.subarray(i * width, (i + 1) * width), place * width);
        }
        return keep(
          gpu.tensor(hostOf(c.dtype, all), [...shape, c.kvHeads, dim]),
        );
      };
      const key = stored(context.key, c.headDim);
      const value = stored(context.value, c.valueHeadDim);
      const plan = keep(
        await planSqueezedAttention(gpu, {
          query,
          key,
          value,
          keyLength,
          ...(blockTable && { blockTable }),
          clusters,
          threshold: lookup.threshold,
          ...(lookup.coarse && { coarseThreshold: lookup.coarse.threshold }),
          ...(softcap !== undefined && { softcap }),
          ...(scale !== undefined && { scale }),
          returnLse: true,
          choices: { tiles: TILES.small },
        }),
      );
      const unwritten = (dim: number, dtype = c.dtype) => {
        const data = new Float32Array(c.queries * c.queryHeads * dim).fill(NaN);
        return keep(
          gpu.tensor(hostOf(dtype, data), [1, c.queries, c.queryHeads, dim]),
        );
      };
      const output = unwritten(c.valueHeadDim);
      const lse = unwritten(1, "f32");
      recorded.push({ plan, tensors: { query, key, value, output, lse } });
      results.push(output, lse);
      made.push({ call, context, lookup });
    }
    gpu.submit("squeezed", (encoder) => {
      for (const { plan, tensors } of recorded) plan.encode(encoder, tensors);
    });
    const arrays = await gpu.read(results);
    const ran: Ran[] = [];
    for (const [i, { plan }] of recorded.entries()) {
      ran.push({
        ...made[i],
        output: Float32Array.from(arrays[2 * i] as Float32Array),
        lse: arrays[2 * i + 1] as Float32Array,
        kept: (await plan.kept()).keys,
      });
    }
    return ran;
  } finally {
    for (const one of owned) one.destroy();
  }
}

/** Attention over what is kept, or over all keys, in float64. */
function problemOf(
  { call: { c, softcap, scale }, context }: Pick<Ran, "call" | "context">,
  kept: Uint8Array | undefined,
): ReferenceProblem {
  const group = c.queryHeads / c.kvHeads;
  return {
    query: context.query,
    key: context.key,
    value: context.value,
    batch: 1,
    queryLength: c.queries,
    keyLength: c.context + c.rest,
    queryHeads: c.queryHeads,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    valueHeadDim: c.valueHeadDim,
    scale,
    ...(softcap && { score: (s: number) => softcap * Math.tanh(s / softcap) }),
    mask: (_batch, head, query, key) =>
      key <= query &&
      (kept === undefined || key >= c.context ||
        kept[Math.floor(head / group) * c.context + key] === 1),
  };
}

const LARGEST = (values: ArrayLike<number>) =>
  Array.from(values).reduce(
    (most, value) => Math.max(most, Math.abs(value)),
    0,
  );

const TWO = { ...PLAIN, coarse: 3, clusters: 11 };

const CALLS: readonly Call[] = [
  { c: PLAIN, fraction: 0.4 },
  { c: PLAIN, fraction: 1 },
  { c: PLAIN, fraction: 0 },
  { c: { ...PLAIN, seed: 2, queries: 1, rest: 1 }, fraction: 0.3, spare: 3 },
  { c: { ...PLAIN, seed: 3, queries: 20, rest: 20 }, fraction: 0.5 },
  { c: { ...PLAIN, seed: 4, context: 2100 }, fraction: 0.6 },
  { c: TWO, fraction: 0.5, spare: 5 },
  { c: TWO, fraction: 1 },
  { c: PLAIN, fraction: 0.4, blockSize: 4 },
  { c: TWO, fraction: 0.5, blockSize: 16, spare: 20 },
  { c: PLAIN, fraction: 0.5, softcap: 0.7, scale: 0.4 },
  { c: { ...PLAIN, queryHeads: 3, kvHeads: 3 }, fraction: 0.5 },
  // Means that float32 has no number for, and a threshold of 0 keeps.
  {
    c: { ...PLAIN, queries: 1, rest: 1, queryHeads: 2 },
    fraction: 1,
    scale: 16,
  },
];

gpuTest(
  "SqueezedPlan is float64's attention over the keys that float64 keeps",
  async (_, gpu) => {
    for (const ran of await run(gpu, CALLS)) {
      const { call: { c, fraction }, context, lookup } = ran;
      const label = JSON.stringify(ran.call);
      const { kept } = squeezedLookup(lookup);
      // (b) The selection is float64's, key by key and in order.
      ran.kept.forEach((keys, head) => {
        const own = kept.subarray(head * c.context, (head + 1) * c.context);
        assertEquals(
          [...keys],
          [...own.keys()].filter((i) => own[i] === 1),
          label,
        );
      });
      const all = kept.reduce((sum, bit) => sum + bit, 0);
      if (fraction === 1) assertEquals(all, kept.length, label);
      else if (fraction === 0) assertEquals(all, 0, label);
      else assert(all > 0 && all < kept.length, label);
      // (a) Attention is that over the selection.
      const problem = problemOf(ran, kept);
      const expected = attention(problem);
      const bound = errorBound(problem, { keys: 8, gate: GATES.wgsl });
      for (const part of ["output", "lse"] as const) {
        const { ok, max } = compareWithBound({
          actual: ran[part],
          expected: expected[part],
          bound: bound[part],
        });
        assert(ok, `${label}: ${part} is ${max} off, of ${bound[part]}`);
      }
      // (c) And at most so far from attention over all keys.
      const dense = attention(problemOf(ran, undefined));
      const most = LARGEST(context.value);
      dense.lse.forEach((lse, row) => {
        const dropped = 1 - Math.exp(expected.lse[row] - lse);
        for (let t = 0; t < c.valueHeadDim; t++) {
          const at = row * c.valueHeadDim + t;
          const error = Math.abs(ran.output[at] - dense.output[at]);
          assert(error <= 2 * dropped * most + bound.output, label);
        }
      });
    }
  },
);

gpuTest("SqueezedPlan in f16 loses what float16 loses", async (_, gpu) => {
  const c = {
    ...PLAIN,
    dtype: "f16",
    seed: 9,
    headDim: 12,
    valueHeadDim: 7,
  } as const;
  for (const ran of await run(gpu, [{ c, fraction: 0.5 }])) {
    const { kept } = squeezedLookup(ran.lookup);
    const problem = problemOf(ran, kept);
    const comparison = compareErrors({
      actual: ran.output,
      expected: attention(problem).output,
      naive: naiveAttention({ ...problem, precision: "f16" }).output,
      precision: "f16",
    });
    assert(comparison.ok, JSON.stringify(comparison));
  }
}, { features: ["shader-f16"] });
