import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  type AttentionPlan,
  type HostTensor,
  planAttention,
} from "../../../mod.ts";
import {
  longlora,
  longloraRagged,
  type LongLoraRaggedOptions,
} from "../../../src/policies/mod.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import {
  assertNear,
  expectedOf,
  HEADS,
  packedOptions,
  sequencesOf,
  WIDTHS,
} from "../../laws/ragged_support.ts";
import { gpuTest } from "../../support/gpu.ts";
import { property } from "../../support/property.ts";
import { groupedCalls, keptOf, meaningOf } from "./groups.ts";

const SIZE = 8;
/** Compiled fast; groups of 32, and their halves, are whole tiles. */
const TILES = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};

/** Which sequence of `cuSeqlens` a token is in. */
function sequenceOf(cuSeqlens: readonly number[], token: number): number {
  return cuSeqlens.findLastIndex((start) => start <= token);
}

property(
  "longloraRagged() has a sequence for each group that longlora() keeps",
  [groupedCalls, fc.integer({ min: 0, max: 3 })],
  ({ heads, groups, groupSize }, odd) => {
    const lengths = groups.map((count) => count * groupSize + odd);
    const starts = [0];
    for (const length of lengths) starts.push(starts.at(-1)! + length);
    const shape = [starts.at(-1)!, heads, SIZE];
    const rows = { dtype: "f32", shape } as const;
    const given = { query: rows, key: rows, value: rows, cuSeqlens: starts };
    const { halves } = longloraRagged({ ...given, groupSize });
    const kept = keptOf({ groupSize }, { heads, lengths });
    lengths.forEach((tokens, batch) => {
      for (const [half, { cuSeqlens }] of halves.entries()) {
        const own = (at: number) => sequenceOf(cuSeqlens, starts[batch] + at);
        for (let query = 0; query < tokens; query++) {
          for (let key = 0; key <= query; key++) {
            assertEquals(
              own(query) === own(key),
              kept(batch, half * heads / 2, query, key),
              `half ${half}: ${query}, ${key}`,
            );
          }
        }
      }
    });
  },
  { runs: 40 },
);

/** What plans of both halves write into one output. */
async function runHalves(
  gpu: Parameters<typeof attention>[0],
  options: LongLoraRaggedOptions<HostTensor>,
) {
  const { query, key, value, cuSeqlens, ...groups } = options;
  const shapeOf = ({ shape }: HostTensor) => ({ dtype: "f32", shape } as const);
  const { halves, outputs } = longloraRagged({
    query: shapeOf(query),
    key: shapeOf(key),
    value: shapeOf(value),
    cuSeqlens,
    ...groups,
  });
  const tensor = ({ data, shape }: HostTensor) =>
    gpu.tensor(data as Float32Array, shape);
  using queries = tensor(query);
  using keys = tensor(key);
  using values = tensor(value);
  const size = query.shape.reduce((a, b) => a * b, 1);
  using output = gpu.tensor(new Float32Array(size).fill(NaN), query.shape);
  const plans: AttentionPlan[] = [];
  try {
    for (const [i, half] of halves.entries()) {
      plans.push(
        await planAttention(gpu, { ...half, ...outputs[i], tiles: TILES }),
      );
    }
    gpu.submit("halves", (encoder) => {
      for (const plan of plans) {
        plan.encode(encoder, {
          query: queries,
          key: keys,
          value: values,
          output,
        });
      }
    });
    return await gpu.readOne(output) as Float32Array;
  } finally {
    for (const plan of plans) plan.destroy();
  }
}

gpuTest(
  "two ragged calls of half the heads are longlora(), bit by bit in whole tiles",
  async (_, gpu) => {
    const lengths = [96, 0, 32, 64];
    const given = packedOptions(sequencesOf(lengths.map((n) => [n, n]), 3));
    const { cuSeqlensKey: _same, ...rows } = given;
    const { output } = await attention(gpu, {
      ...rows,
      select: longlora({ groupSize: 32 }),
      tiles: TILES,
    });
    const data = await runHalves(gpu, { ...rows, groupSize: 32 });
    assertEquals(data, output.data);
  },
);

gpuTest(
  "ragged calls, and longlora(), of odd groups are the oracle's",
  async (_, gpu) => {
    const lengths = [50, 0, 1, 67];
    const groupSizes = [16, 1, 1, 22];
    const groupRatio = 1 / 3;
    const sequences = sequencesOf(lengths.map((n) => [n, n]), 4);
    const { cuSeqlensKey: _same, ...rows } = packedOptions(sequences);
    const { output } = await attention(gpu, {
      ...rows,
      select: longlora({ groupRatio }),
      tiles: TILES,
    });
    const data = await runHalves(gpu, { ...rows, groupRatio });
    const heads = HEADS.queryHeads;
    const meant = meaningOf({ heads, lengths, groupSizes, variant: "flash" });
    for (const [i, sequence] of sequences.entries()) {
      const expected = expectedOf(sequence, {
        mask: (_, ...at) => meant(i, ...at),
      });
      const from = rows.cuSeqlens[i] * WIDTHS.query;
      const end = rows.cuSeqlens[i + 1] * WIDTHS.query;
      const what = `sequence ${i}`;
      assertNear(output.data.subarray(from, end), expected, what);
      assertNear(data.subarray(from, end), expected, what);
    }
  },
);

gpuTest(
  "ragged calls visit longlora()'s tiles where groups are whole ones",
  async (_, gpu) => {
    const rows = { dtype: "f32", shape: [1, 1024, 4, 8] } as const;
    const call = { query: rows, key: rows, value: rows };
    const groupSize = 64;
    const visited = async (options: Parameters<typeof planAttention>[1]) => {
      using plan = await planAttention(gpu, { ...options, tiles: TILES });
      return plan.explain().tileCounts.visited;
    };
    const { halves } = longloraRagged({ ...call, groupSize });
    // Runs that are alike are counted once, for both of a half's heads.
    const each = (await visited(halves[0]) + await visited(halves[1])) * 2;
    assertEquals(
      await visited({ ...call, select: longlora({ groupSize }) }),
      each,
    );
  },
);

Deno.test("longloraRagged() gives one key head to both halves", () => {
  const of = (heads: number, dim: number) =>
    ({ dtype: "f32", shape: [2, 8, heads, dim] }) as const;
  const { halves, outputs } = longloraRagged({
    query: of(4, 8),
    key: of(1, 8),
    value: of(1, 6),
    groupSize: 4,
  });
  assertEquals(halves[1], {
    query: { dtype: "f32", shape: [16, 2, 8], strides: [32, 8, 1], offset: 16 },
    key: { dtype: "f32", shape: [16, 1, 8], strides: [8, 8, 1], offset: 0 },
    value: { dtype: "f32", shape: [16, 1, 6], strides: [6, 6, 1], offset: 0 },
    cuSeqlens: [0, 2, 6, 8, 10, 14, 16],
    causal: true,
  });
  assertEquals(halves[0].cuSeqlens, [0, 4, 8, 12, 16]);
  assertEquals(outputs, [
    { outputStrides: [24, 6, 1], outputOffset: 0 },
    { outputStrides: [24, 6, 1], outputOffset: 12 },
  ]);
});

Deno.test("longloraRagged() refuses what has no halves, by name", () => {
  const of = (heads: number, tokens = 8) =>
    ({ dtype: "f32", shape: [1, tokens, heads, 8] }) as const;
  const call = (heads: number, kvHeads: number, more: object = {}) =>
    longloraRagged({
      query: of(heads),
      key: of(kvHeads),
      value: of(kvHeads),
      groupSize: 4,
      ...more,
    });
  assertThrows(() => call(3, 3), RangeError, "queryHeads must be even");
  assertThrows(() => call(6, 3), RangeError, "kvHeads must be even or 1");
  assertThrows(
    () => call(2, 2, { variant: "wrap" }),
    TypeError,
    "groups of sequences do not wrap",
  );
  assertThrows(() => call(2, 2, { groupRatio: 1 }), TypeError, "groupRatio");
  assertThrows(
    () => call(2, 2, { key: of(2, 9) }),
    TypeError,
    "key.shape must have the query's tokens",
  );
  assertThrows(
    () => call(2, 2, { query: { dtype: "f32", shape: [8, 8] } }),
    TypeError,
    "query.shape must be [batch, sequence, heads, headDim]",
  );
  assertThrows(() => call(2, 2, { cuSeqlens: [0, 8] }), TypeError, "cuSeqlens");
});
