/**
 * Work that takes more iterations of loops than a software adapter lets one
 * invocation take: it must be cut, not cut off.
 *
 * @module
 */

import { assert, assertEquals, assertGreater } from "@std/assert";
import {
  type AttentionOptions,
  attentionProblem,
  type GpuTensor,
  maskMod,
  planAttention,
  type PlanChoices,
  type TensorShape,
  UnsupportedError,
} from "../../mod.ts";
import type { AnyTensor } from "../../src/ops/mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import { checkCase } from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";
import { partsFor } from "../support/attention/parts.ts";
import { type LoopCount, loopCounts } from "../support/loop_counts.ts";

const LONG: AttentionCase = {
  ...PLAIN,
  queryHeads: 1,
  headDim: 16,
  valueHeadDim: 16,
  splits: 1,
};
const MASK = { masks: [{ kind: "batchStride" }] } as const;

gpuTest("forwardKernel() comes to the end of long loops", async (_, gpu) => {
  const cases: AttentionCase[] = [
    { ...LONG, sequences: [[5, 40_000]] },
    { ...LONG, ...MASK, sequences: [[5, 20_000]] },
    { ...LONG, ...MASK, sequences: [[5, 20_000]], score: { softcap: 20 } },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

gpuTest("decodeKernel() comes to the end of long loops", async (_, gpu) => {
  const cases: AttentionCase[] = [
    { ...LONG, headDim: 128, sequences: [[1, 60_000]] },
    { ...LONG, ...MASK, sequences: [[1, 60_000]] },
    {
      ...LONG,
      sequences: [[1, 60_000], [1, 90_000]],
      layout: "ragged",
      splits: "stream-k",
      workers: 1,
    },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

/** Not a number and infinity in all values that {@linkcode MASK} hides. */
function hiddenNonFinite(
  { kvHeads, valueHeadDim }: AttentionCase,
  data: readonly SequenceData[],
): SequenceData[] {
  const width = kvHeads * valueHeadDim;
  return data.map((sequence, i) => ({
    ...sequence,
    value: sequence.value.map((x, n) => {
      const key = Math.floor(n / width);
      return (key + i) % 3 === 0 ? [NaN, Infinity][key % 2] : x;
    }),
  }));
}

gpuTest(
  "kernels come to the end of masked loops at head dim 256",
  async (_, gpu) => {
    const wide = { ...LONG, ...MASK, headDim: 256 };
    const cases: AttentionCase[] = [
      { ...wide, valueHeadDim: 256, sequences: [[5, 3000]] },
      { ...wide, sequences: [[1, 20_000]] },
    ];
    const clean = cases.map((c) => dataOf(c));
    // The slow way of each step must come to the same end.
    const hidden = cases.map((c, i) => hiddenNonFinite(c, clean[i]));
    for (const data of [clean, hidden]) {
      const results = await runCases(gpu, cases, { data: (_, i) => data[i] });
      cases.forEach((c, i) => checkCase(c, results[i], undefined, data[i]));
    }
  },
);

gpuTest(
  "decodeKernel() comes to the end of long loops of many rows",
  async (_, gpu) => {
    const c: AttentionCase = {
      ...LONG,
      ...MASK,
      sequences: [[8, 20_000]],
      tiles: "hardware",
    };
    const [result] = await runCases(gpu, [c]);
    assert(result.explanation.dispatches[0].kernel.includes("decode"));
    checkCase(c, result);
  },
);

gpuTest("mergeKernel() comes to the end of many states", async (_, gpu) => {
  // 1280 states of 8 rows of 32 vec4s.
  const c: AttentionCase = {
    ...LONG,
    queryHeads: 4,
    sequences: [[2, 10_240]],
    splits: 65535,
    valueHeadDim: 128,
  };
  const [result] = await runCases(gpu, [c]);
  checkCase(c, result);
});

gpuTest(
  "standardKernels() refuse loops that would be cut off",
  async (_, gpu) => {
    const plan = (keys: number) => {
      const tensor = { dtype: "f32", shape: [1, keys, 1, 16] } as const;
      return planAttention(gpu, {
        query: { dtype: "f32", shape: [1, 64, 1, 16] },
        key: tensor,
        value: tensor,
        algorithm: "standard",
      });
    };
    using short = await plan(4096);
    assertEquals(short.explain().dispatches.length, 3);
    try {
      using long = await plan(100_000);
      assert(!gpu.software, long.explain().kernels.standard.splits);
    } catch (error) {
      assert(error instanceof UnsupportedError && gpu.software, String(error));
      assert(error.message.includes("100000 keys"), error.message);
    }
  },
);

/** The last number for which something holds; from the next on it does not. */
function lastThat(holds: (number: number) => boolean, end: number): number {
  let [last, next] = [0, end];
  while (next - last > 1) {
    const middle = (last + next) >> 1;
    if (holds(middle)) last = middle;
    else next = middle;
  }
  return last;
}

/** Whether standard attention takes so many keys on a software adapter. */
function standardTakes({ limits, features }: Gpu, c: AttentionCase): boolean {
  const { headDim, valueHeadDim, sequences: [[queries, keys]] } = c;
  const f32 = (rows: number, dim: number): TensorShape => ({
    dtype: "f32",
    shape: [1, rows, 1, dim],
  });
  const problem = attentionProblem({
    query: f32(queries, headDim),
    key: f32(keys, headDim),
    value: f32(keys, valueHeadDim),
  });
  const device = { software: true, maxLoopIterations: 65535, limits, features };
  try {
    partsFor(problem, device, { algorithm: "standard" });
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  }
}

gpuTest(
  "standardKernels() come to the end of the longest loops that they take",
  async (_, gpu) => {
    const dims = [[16, 16], [4, 128], [128, 4]];
    const cases = dims.map(([headDim, valueHeadDim]): AttentionCase => {
      const of = (keys: number): AttentionCase => ({
        ...LONG,
        headDim,
        valueHeadDim,
        algorithm: "standard",
        tiles: "device",
        sequences: [[17, keys]],
      });
      const keys = lastThat((keys) => standardTakes(gpu, of(keys)), 2 ** 17);
      assertGreater(keys, 1000);
      return of(keys);
    });
    const results = await runCases(gpu, cases);
    cases.forEach((c, i) => checkCase(c, results[i]));
  },
);

/** A problem whose kernels count their iterations. */
interface Counted {
  readonly queries: number;
  readonly keys: number;
  readonly dims: readonly [headDim: number, valueHeadDim: number];
  /** Every other key is hidden, with a NaN or a number as its value. */
  readonly hidden?: "NaN" | "number";
  readonly dropout?: true;
  readonly choices: PlanChoices;
}

const SMALL = {
  splits: 1,
  tiles: {
    forward: { lanes: 8, rowsPerLane: 2, keys: 4, modKeys: 4 },
    decode: { maxRows: 2, lanes: 8, keysPerLane: 8, columnsPerLane: 4 },
  },
} as const;

/** Head dims whose loops weigh differently. */
const DIMS = [[4, 4], [256, 4], [4, 256], [256, 256]] as const;

const COUNTED: Readonly<Record<string, readonly Counted[]>> = {
  forward: DIMS.flatMap((dims): Counted[] => {
    const one = { queries: 9, keys: 150, dims, choices: SMALL };
    return [one, { ...one, hidden: "NaN" }, { ...one, hidden: "number" }];
  }),
  decode: DIMS.flatMap((dims): Counted[] => {
    const one = { queries: 2, keys: 2500, dims, choices: SMALL };
    return [one, { ...one, hidden: "NaN" }];
  }),
  "decode of many rows": [{
    queries: 8,
    keys: 2500,
    dims: [8, 8],
    hidden: "NaN",
    choices: {
      splits: 1,
      tiles: { decode: { ...SMALL.tiles.decode, maxRows: 8, keysPerLane: 4 } },
    },
  }],
  "decode by one lane": [{
    queries: 1,
    keys: 1200,
    dims: [256, 8],
    choices: {
      splits: 1,
      tiles: {
        decode: { maxRows: 1, lanes: 1, keysPerLane: 64, columnsPerLane: 4 },
      },
    },
  }],
  dropout: [
    { queries: 9, keys: 150, dims: [4, 4], dropout: true, choices: SMALL },
    { queries: 2, keys: 2500, dims: [4, 4], dropout: true, choices: SMALL },
  ],
  "stream-K": [2, 9].map((queries) => ({
    queries,
    keys: 1500,
    dims: [8, 8],
    choices: { ...SMALL, splits: "stream-k", workers: 1 },
  })),
};

function optionsOf<T extends AnyTensor>(
  { queries, keys, dims: [headDim, valueHeadDim], hidden, dropout }: Counted,
  tensor: (name: "query" | "key" | "value", shape: number[]) => T,
): AttentionOptions<T> {
  return {
    query: tensor("query", [1, queries, 1, headDim]),
    key: tensor("key", [1, keys, 1, headDim]),
    value: tensor("value", [1, keys, 1, valueHeadDim]),
    ...(hidden && {
      maskMod: maskMod("odd keys", ({ key }) => key.rem(2).eq(1)),
    }),
    ...(dropout && { dropout: { rate: 0.5, seed: 1 } }),
  };
}

/** Its plan, where loops may take so many. */
function planOf(
  { limits, features, software }: Gpu,
  counted: Counted,
  maxLoopIterations: number,
): { workgroups: number; steps: number } {
  const device = { software, maxLoopIterations, limits, features };
  const problem = attentionProblem(
    optionsOf(counted, (_, shape): TensorShape => ({ dtype: "f32", shape })),
  );
  const { parts, explanation } = partsFor(
    problem,
    device,
    counted.choices,
  );
  const [x, y, z] = parts.dispatches[0].grid;
  const [{ tile }] = Object.values(explanation.kernels);
  const steps = Math.ceil(counted.queries / tile.rows) *
    Math.ceil(counted.keys / tile.keys);
  return { workgroups: x * y * z, steps };
}

/** A limit at which the work is cut, yet into more than single steps. */
function limitOf(gpu: Gpu, counted: Counted): number {
  let most = 2 ** 24;
  while (planOf(gpu, counted, most).workgroups < 3) most /= 2;
  const { workgroups, steps } = planOf(gpu, counted, most);
  assert(workgroups <= steps / 2, "single steps");
  return most;
}

/** Runs its kernels, each with loops that count themselves. */
async function countsOf(
  gpu: Gpu,
  counted: Counted,
  maxLoopIterations: number,
): Promise<LoopCount[]> {
  const made: GpuTensor[] = [];
  const tensor = (name: string, shape: readonly number[]) => {
    const [, rows, , width] = shape;
    const hides = name === "value" && counted.hidden === "NaN";
    const data = Float32Array.from(
      { length: rows * width },
      (_, n) => hides && Math.floor(n / width) % 2 === 0 ? NaN : n % 5,
    );
    made.push(gpu.tensor(data, shape));
    return made.at(-1)!;
  };
  try {
    const options = optionsOf(counted, tensor);
    const { query, key, value } = options as typeof options & {
      readonly key: GpuTensor;
      readonly value: GpuTensor;
    };
    const output = tensor("output", [1, counted.queries, 1, counted.dims[1]]);
    return await loopCounts(
      gpu,
      attentionProblem(options),
      { query, key, value, output },
      { ...counted.choices, maxLoopIterations },
    );
  } finally {
    for (const tensor of made) tensor.destroy();
  }
}

for (const [kind, all] of Object.entries(COUNTED)) {
  gpuTest(
    `kernels take no more iterations than work is cut to: ${kind}`,
    async (_, gpu) => {
      for (const counted of all) {
        const most = limitOf(gpu, counted);
        const counts = await countsOf(gpu, counted, most);
        const message = JSON.stringify({ counted, most, counts });
        const [{ iterations, workgroups }] = counts;
        assertGreater(iterations, 0, message);
        assertGreater(workgroups, 2, message);
        assert(iterations <= most, message);
      }
    },
  );
}

/** Standard attention, and FlashAttention-1, whose rows are several tiles. */
const WHOLE: readonly Pick<Counted, "queries" | "choices">[] = [
  { queries: 9, choices: { ...SMALL, algorithm: "standard" } },
  { queries: 45, choices: { ...SMALL, algorithm: "fa1" } },
];

gpuTest(
  "kernels whose work is not cut take no more iterations than are allowed",
  async (_, gpu) => {
    const all = WHOLE.flatMap((one) =>
      DIMS.map((dims): Counted => ({ ...one, keys: 301, dims, hidden: "NaN" }))
    );
    for (const counted of all) {
      const { dims, choices: { algorithm } } = counted;
      const takes = (most: number) => {
        try {
          return planOf(gpu, counted, most).workgroups > 0;
        } catch (error) {
          if (error instanceof UnsupportedError) return false;
          throw error;
        }
      };
      const least = 1 + lastThat((most) => !takes(most), 2 ** 24);
      const counts = await countsOf(gpu, counted, least);
      const message = JSON.stringify({ algorithm, dims, least, counts });
      const most = Math.max(...counts.map(({ iterations }) => iterations));
      assert(most <= least, message);
      // Not so much less that it would refuse what it could do.
      assertGreater(most, 0.8 * least, message);
    }
  },
);
