/**
 * Dropout in the kernels: held against the oracle, which takes the same mask
 * from `src/core/dropout.ts`, and against each other.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { kernelOf } from "../../kernels/fragment.ts";
import { dropout } from "../../kernels/fragments/dropout.ts";
import { wgsl } from "../../kernels/wgsl.ts";
import { dropoutKeep } from "../../src/core/dropout.ts";
import { Prng } from "../../src/core/prng.ts";
import { Program } from "../../src/gpu/mod.ts";
import { dropoutUniforms } from "../../src/ops/attention/parts.ts";
import {
  type AttentionCase,
  dataOf,
  PLAIN,
  type SequenceData,
} from "../support/attention/cases.ts";
import {
  assertSameBits,
  checkCase,
  replayLine,
} from "../support/attention/check.ts";
import { runCases } from "../support/attention/runner.ts";
import { gpuTest } from "../support/gpu.ts";

gpuTest("keep() in WGSL is dropoutKeep(), bit by bit", async (_, gpu) => {
  const count = 4096;
  const random = new Prng(3);
  const places = Int32Array.from({ length: 4 * count }, (_, n) => {
    const small = random.below(200);
    // Positions before the first key, too, and the largest.
    return n % 4 === 2 ? small - 50 : n < 400 ? random.u32() >>> 1 : small;
  });
  const source = kernelOf({
    label: "test.keep",
    fragments: [
      {
        bindings: [
          { name: "places", type: "array<vec4i>", access: "read" },
          { name: "results", type: "array<f32>", access: "read_write" },
        ],
      },
      dropout,
    ],
    main: wgsl(`
      @compute @workgroup_size(64)
      fn main(@builtin(global_invocation_id) id: vec3u) {
        let p = places[id.x];
        results[id.x] = keep(p.x, p.y, p.z, p.w);
      }
    `),
  });
  const input = gpu.tensor(
    new Uint32Array(places.buffer),
    [count, 4],
    "test.places",
  );
  const drops = [
    { rate: 0.1, seed: 0 },
    { rate: 0.5, seed: 2n ** 63n + 5n },
    { rate: 0.999, seed: 12345 },
  ];
  for (const drop of drops) {
    const results = gpu.empty("f32", [count], "test.results");
    const program = await Program.create(gpu, "test.keep", {
      dispatches: [{
        source,
        uniforms: dropoutUniforms(drop),
        grid: [count / 64, 1, 1],
      }],
    });
    gpu.submit(
      "test",
      (encoder) => program.encode(encoder, { places: input, results }),
    );
    const [actual] = await gpu.read([results]);
    const keep = dropoutKeep(drop);
    const expected = Float32Array.from({ length: count }, (_, n) => {
      const [b, h, q, k] = places.subarray(4 * n, 4 * n + 4);
      return keep(b, h, q, k);
    });
    assertEquals(actual, expected);
    program.destroy();
    results.destroy();
  }
  input.destroy();
});

const CASE: AttentionCase = {
  ...PLAIN,
  sequences: [[65, 130]],
  dropout: { rate: 0.3, seed: 5 },
};

/** Not a number and infinity in all values that a causal mask hides. */
function hiddenNonFinite(c: AttentionCase): SequenceData[] {
  const width = c.kvHeads * c.valueHeadDim;
  return dataOf(c).map((sequence) => ({
    ...sequence,
    value: sequence.value.map((x, n) =>
      Math.floor(n / width) % 3 === 0 ? [NaN, Infinity][n % 2] : x
    ),
  }));
}

gpuTest("kernels drop what the oracle drops", async (_, gpu) => {
  const decode = { ...CASE, sequences: [[1, 700], [2, 333]] } as const;
  const cases: AttentionCase[] = [
    CASE,
    { ...CASE, causal: true, kvHeads: 2 },
    { ...CASE, score: { softcap: 9 }, dropout: { rate: 0.9, seed: 2 ** 50 } },
    { ...CASE, queryOffset: -20, causal: true },
    { ...CASE, algorithm: "standard", causal: true },
    { ...CASE, algorithm: "fa1", causal: true, kvHeads: 2 },
    { ...CASE, algorithm: "standard", sequences: [[5, 300], [5, 2]] },
    {
      ...CASE,
      layout: "ragged",
      sequences: [[33, 40], [1, 9], [0, 3], [20, 0]],
    },
    { ...CASE, layout: "paged", blockSize: 5, sequences: [[40, 77], [2, 90]] },
    { ...decode, layout: "ragged", splits: 3 },
    { ...decode, layout: "paged", splits: "stream-k", workers: 5 },
    {
      ...decode,
      layout: "paged",
      sequences: [[1, 400], [1, 410], [1, 420]],
      inherits: [0, 384, 384],
      heirOf: [0, 0, 0],
      sharedPrefix: "always",
    },
    { ...CASE, queryHeads: 6, kvHeads: 2, valueHeadDim: 7, headDim: 3 },
  ];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

gpuTest(
  "kernels drop what the oracle drops, with values that nobody may read",
  async (_, gpu) => {
    const masks = [{ kind: "batchStride" }] as const;
    const cases: AttentionCase[] = [
      { ...CASE, masks },
      { ...CASE, masks, score: { softcap: 9 } },
      { ...CASE, masks, sequences: [[1, 300]] },
      { ...CASE, masks, algorithm: "standard" },
    ];
    const data = cases.map(hiddenNonFinite);
    const results = await runCases(gpu, cases, { data: (_, i) => data[i] });
    cases.forEach((c, i) => checkCase(c, results[i], replayLine(c), data[i]));
  },
);

gpuTest(
  "kernels drop in f16 what the oracle drops",
  async (_, gpu) => {
    const cases: AttentionCase[] = [
      { ...CASE, dtype: "f16" },
      { ...CASE, dtype: "f16", layout: "paged", sequences: [[2, 300]] },
    ];
    const results = await runCases(gpu, cases);
    cases.forEach((c, i) => checkCase(c, results[i]));
  },
  { features: ["shader-f16"] },
);

/**
 * Equal scores over one-hot values: each output element is a key's weight, so
 * the mask can be read off.
 */
const KEYS = 96;
const READABLE: AttentionCase = {
  ...PLAIN,
  queryHeads: 2,
  kvHeads: 1,
  sequences: [[40, KEYS], [40, KEYS]],
  valueHeadDim: KEYS,
  dropout: { rate: 0.4, seed: 2 ** 40 + 3 },
};

function readable(c: AttentionCase): SequenceData[] {
  return c.sequences.map(([queries]) => ({
    query: new Float32Array(queries * c.queryHeads * c.headDim),
    key: new Float32Array(KEYS * c.headDim).fill(1),
    value: Float32Array.from(
      { length: KEYS * KEYS },
      (_, n) => +(n % KEYS === Math.floor(n / KEYS)),
    ),
  }));
}

gpuTest(
  "the same weights are dropped for every tile, split and layout",
  async (_, gpu) => {
    const cases: AttentionCase[] = [
      READABLE,
      { ...READABLE, tiles: "device" },
      { ...READABLE, splits: 3 },
      { ...READABLE, splits: "stream-k", workers: 7 },
      { ...READABLE, layout: "ragged" },
      { ...READABLE, layout: "paged", blockSize: 7 },
      { ...READABLE, layout: "cache" },
      { ...READABLE, layout: "contiguous" },
      { ...READABLE, algorithm: "standard" },
    ];
    // The last rows alone, by decode kernels.
    const last: AttentionCase = {
      ...READABLE,
      sequences: [[1, KEYS], [1, KEYS]],
    };
    const few: AttentionCase[] = [
      last,
      { ...last, splits: 4, layout: "paged", blockSize: 3 },
    ];
    const all = [...cases, ...few];
    const results = await runCases(gpu, all, { data: readable });
    const keep = dropoutKeep(READABLE.dropout!);
    const rows: boolean[][] = [];
    for (let b = 0; b < 2; b++) {
      for (let q = 0; q < 40; q++) {
        for (let h = 0; h < 2; h++) {
          const position = KEYS - 40 + q;
          rows.push(
            Array.from({ length: KEYS }, (_, k) => keep(b, h, position, k) > 0),
          );
        }
      }
    }
    const lastRows = rows.filter((_, n) => Math.floor(n / 2) % 40 === 39);
    all.forEach((c, i) => {
      const seen = Array.from(results[i].output, (x) => x > 0);
      const expected = (i < cases.length ? rows : lastRows).flat();
      assertEquals(seen, expected, JSON.stringify(c));
    });
  },
);

gpuTest("a rate of 0 changes no bit and no source", async (_, gpu) => {
  const cases: AttentionCase[] = [
    CASE,
    { ...CASE, sequences: [[1, 300]], layout: "paged" },
    { ...CASE, algorithm: "standard" },
  ];
  const without = cases.map(({ dropout: _, ...c }) => c);
  const zero = cases.map((c) => ({ ...c, dropout: { rate: 0, seed: 9 } }));
  const results = await runCases(gpu, [...without, ...zero]);
  cases.forEach((c, i) => {
    const [plain, other] = [results[i], results[i + cases.length]];
    assertSameBits(other, plain, JSON.stringify(c));
    assertEquals(other.explanation, plain.explanation);
    const kernel = plain.explanation.dispatches[0].kernel;
    assert(!kernel.includes("dropout"), kernel);
  });
});

gpuTest("the log-sum-exp is that of all weights", async (_, gpu) => {
  const { dropout: _drop, ...plain } = CASE;
  const [dropped, whole] = await runCases(gpu, [CASE, plain]);
  assertEquals(dropped.lse, whole.lse);
});
