/**
 * Rotated rows against float64, and rotated queries over the keys of a cache
 * that rotates them against attention of rows that float64 has rotated.
 *
 * @module
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  attentionProblem,
  type Gpu,
  type GpuTensor,
  type HostTensor,
  KvCache,
  rotaryTable,
} from "../../../mod.ts";
import {
  attention as oracle,
  rope,
  type RopePairing,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import {
  planRotation,
  queryPositions,
  rotate,
  type RotateOptions,
} from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { random } from "../attention/tensors.ts";

/** Rotating a float32 pair: two products, a sum and two rounded factors. */
const ULPS = 4;

/** Every row of a tensor, rotated in float64. */
function rotated(
  { data, shape }: HostTensor,
  positions: readonly number[],
  { dim, pairing, layout = "bshd" }: Pick<
    RotateOptions,
    "dim" | "pairing" | "layout"
  >,
): Float64Array {
  const [batch, second, third, headDim] = [1, ...shape].slice(-4);
  const [tokens, heads] = layout === "bshd" ? [second, third] : [third, second];
  const out = new Float64Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < tokens; i++) {
      for (let h = 0; h < heads; h++) {
        const row = layout === "bshd"
          ? (b * tokens + i) * heads + h
          : (b * heads + h) * tokens + i;
        const from = row * headDim;
        const own = [...data.subarray(from, from + headDim)];
        const position = positions[b * tokens + i];
        out.set(rope(own, { position, dim: dim ?? headDim, pairing }), from);
      }
    }
  }
  return out;
}

/** Fails unless rows are float64's, by a bound on each. */
function checkRows(
  found: HostTensor,
  expected: Float64Array,
  { ulp, name }: { readonly ulp: number; readonly name: string },
): void {
  const width = found.shape.at(-1)!;
  for (let from = 0; from < expected.length; from += width) {
    const row = expected.subarray(from, from + width);
    const scale = Math.hypot(...row);
    row.forEach((value, i) => {
      const error = Math.abs(found.data[from + i] - value);
      assert(
        error <= ULPS * ulp * scale,
        `${name}, element ${from + i}: off by ${error}`,
      );
    });
  }
}

type Case = Omit<RotateOptions, "rows" | "positions"> & {
  readonly shape: readonly number[];
};

const CASES: readonly Case[] = [
  { shape: [2, 3, 2, 16], pairing: "half-split" },
  { shape: [2, 3, 2, 16], pairing: "interleaved" },
  { shape: [2, 3, 4, 20], pairing: "half-split", dim: 12 },
  { shape: [5, 3, 7], pairing: "interleaved", dim: 6 },
  { shape: [5, 1, 9], pairing: "half-split", dim: 4 },
  { shape: [2, 2, 5, 16], pairing: "half-split", layout: "bhsd" },
  { shape: [3, 4, 1, 7], pairing: "interleaved", dim: 2, layout: "bhsd" },
  { shape: [0, 3, 8], pairing: "half-split" },
];

/** Positions of so many tokens, far apart and not in order. */
function positionsOf(tokens: number): number[] {
  const prng = new Prng(tokens);
  return Array.from(
    { length: tokens },
    () => Math.floor(4000 * prng.uniform()),
  );
}

function tokensOf({ shape, layout }: Case): number {
  return shape.length === 3 ? shape[0] : shape[0] * shape[layout ? 2 : 1];
}

function name(c: Case): string {
  return JSON.stringify(c);
}

gpuTest("rotate() is float64's rotation", async (_, gpu) => {
  for (const c of CASES) {
    const { shape, ...options } = c;
    const rows = random(shape, 3);
    const positions = positionsOf(tokensOf(c));
    const found = await rotate(gpu, { ...options, rows, positions });
    assertEquals(found.shape, shape);
    const expected = rotated(rows, positions, options);
    checkRows(found, expected, { ulp: 2 ** -24, name: name(c) });
    // What is past the rotated part is as it was.
    const width = shape.at(-1)!;
    const { dim = width } = options;
    found.data.forEach((x, i) => {
      if (i % width >= dim) assertEquals(x, rows.data[i], `${name(c)} ${i}`);
    });
    // On the device, with a table of one's own, not a bit differs.
    using onDevice = gpu.tensor(rows.data, shape);
    using at = gpu.tensor(Uint32Array.from(positions), [positions.length]);
    using table = gpu.tensor(rotaryTable({ positions: 4000, dim }), [
      4000,
      dim / 2,
      2,
    ]);
    using output = await rotate(gpu, {
      ...options,
      rows: onDevice,
      positions: at,
      table,
    });
    assertEquals(await gpu.readOne(output), found.data, name(c));
  }
});

gpuTest("rotate() of halves rounds once", async (_, gpu) => {
  for (const c of CASES.slice(0, 6)) {
    const { shape, ...options } = c;
    const { data } = random(shape, 3);
    const rows = { data: Float16Array.from(data), shape };
    const positions = positionsOf(tokensOf(c));
    const found = await rotate(gpu, { ...options, rows, positions });
    const expected = rotated(rows, positions, options);
    checkRows(found, expected, { ulp: 2 ** -11 / ULPS * 1.01, name: name(c) });
  }
}, { features: ["shader-f16"] });

/** A cache that rotates, with rows of one sequence at given positions. */
async function filledCache(
  gpu: Gpu,
  { pairing, dim, key, value, positions }: {
    readonly pairing: RopePairing;
    readonly dim: number;
    readonly key: HostTensor;
    readonly value: HostTensor;
    readonly positions: readonly number[];
  },
) {
  const [count, kvHeads, headDim] = key.shape;
  const cache = await KvCache.create(gpu, {
    numBlocks: 12,
    blockSize: 4,
    kvHeads,
    headDim,
    rope: { pairing, dim },
  });
  const table = gpu.tensor(rotaryTable({ positions: 5000, dim }), [
    5000,
    dim / 2,
    2,
  ]);
  const at = gpu.tensor(Uint32Array.from(positions), [count]);
  const sequence = cache.createSequence();
  const rotation = { positions: at, table };
  cache.append([{ sequence, count }], { key, value, rotation });
  at.destroy();
  return { cache, table, sequence };
}

gpuTest("rotated queries over rotated keys are float64's", async (_, gpu) => {
  const [queries, keys, heads, headDim] = [3, 19, 2, 16];
  for (
    const [pairing, dim, start] of [
      ["half-split", 16, 0],
      ["interleaved", 16, 0],
      ["half-split", 8, 0],
      ["half-split", 16, 4000], // far from 0, as after a window moved on
    ] as const
  ) {
    const [key, value] = [
      random([keys, heads, headDim], 4),
      random([keys, heads, headDim], 5),
    ];
    const query = random([1, queries, heads, headDim], 6);
    const places = Array.from({ length: keys }, (_, i) => start + i);
    const own = await filledCache(gpu, {
      pairing,
      dim,
      key,
      value,
      positions: places,
    });
    const options = {
      cache: own.cache,
      sequences: [own.sequence],
      causal: true,
    };
    const at = queryPositions(attentionProblem({ ...options, query }));
    assertEquals([...at], places.slice(-queries).map((place) => place - start));
    const positions = at.map((place) => start + place);
    const turned = await rotate(gpu, {
      rows: query,
      pairing,
      dim,
      positions,
      table: own.table,
    });
    const { output } = await attention(gpu, { ...options, query: turned });
    const rotation = { pairing, dim };
    const expected = oracle({
      batch: 1,
      query: rotated(query, [...positions], rotation),
      key: rotated(key, places, rotation),
      value: value.data,
      queryLength: queries,
      keyLength: keys,
      queryHeads: heads,
      kvHeads: heads,
      headDim,
      mask: (_b, _h, q, k) => k <= q,
    });
    const error = (output.data as Float32Array).reduce(
      (most, x, n) => Math.max(most, Math.abs(x - expected.output[n])),
      0,
    );
    assert(error < 1e-5, `${pairing} ${dim} from ${start}: off by ${error}`);
    own.table.destroy();
    own.cache.destroy();
  }
});

gpuTest(
  "a rotation's plan serves all layers and later steps",
  async (_, gpu) => {
    const shape = (tokens: number) => [tokens, 2, 8];
    const of = (tokens: number) =>
      ({
        rows: { dtype: "f32", shape: shape(tokens) },
        pairing: "half-split",
      }) as const;
    using plan = await planRotation(gpu, of(4));
    using table = gpu.tensor(rotaryTable({ positions: 64, dim: 8 }), [
      64,
      4,
      2,
    ]);
    const layers = [0, 1, 2].map((seed) => ({
      input: gpu.tensor(random(shape(4), seed).data, shape(4)),
      output: gpu.empty("f32", shape(4)),
    }));
    using places = gpu.tensor(Uint32Array.of(3, 1, 50, 7), [4]);
    const run = () =>
      gpu.submit("layers", (encoder) => {
        for (const tensors of layers) {
          const rotation = { positions: places, table };
          plan.encode(encoder, { ...tensors, rotation });
        }
      });
    run();
    for (const [seed, { output }] of layers.entries()) {
      const rows = random(shape(4), seed);
      const expected = rotated(rows, [3, 1, 50, 7], { pairing: "half-split" });
      const data = await gpu.readOne(output) as Float32Array;
      checkRows({ data, shape: shape(4) }, expected, {
        ulp: 2 ** -24,
        name: `layer ${seed}`,
      });
    }
    assertEquals(await objectsMadeBy(gpu, run), {
      buffers: 0,
      destroyed: 0,
      bindGroups: 0,
    });
    await plan.update(of(2));
    using input = gpu.tensor(random(shape(2), 9).data, shape(2));
    using output = gpu.empty("f32", shape(2));
    using two = gpu.tensor(Uint32Array.of(9, 0), [2]);
    gpu.submit("less", (encoder) =>
      plan.encode(encoder, {
        input,
        output,
        rotation: { positions: two, table },
      }));
    const data = await gpu.readOne(output) as Float32Array;
    const expected = rotated(random(shape(2), 9), [9, 0], {
      pairing: "half-split",
    });
    checkRows({ data, shape: shape(2) }, expected, {
      ulp: 2 ** -24,
      name: "after an update",
    });
    layers.forEach(({ input, output }) => (input.destroy(), output.destroy()));
  },
);

gpuTest("a rotation writes its rows and nothing past them", async (_, gpu) => {
  // 7 elements of a buffer of 8, which is what a vec4 of others may share.
  using whole = gpu.tensor(new Float32Array(8).fill(5), [8]);
  const output = gpu.wrap(whole.buffer, "f32", [1, 1, 7]);
  using input = gpu.tensor(random([1, 1, 7], 1).data, [1, 1, 7]);
  using positions = gpu.tensor(Uint32Array.of(1), [1]);
  using table = gpu.tensor(rotaryTable({ positions: 2, dim: 6 }), [2, 3, 2]);
  const rows = { dtype: "f32", shape: [1, 1, 7] } as const;
  using plan = await planRotation(gpu, { rows, pairing: "interleaved" });
  const rotation = { positions, table };
  gpu.submit(
    "run",
    (encoder) => plan.encode(encoder, { input, output, rotation }),
  );
  const found = await gpu.readOne(whole);
  assertEquals(found[7], 5);
  assert(found[0] !== 5);
});

Deno.test("queryPositions() are those of each sequence", () => {
  const shape = (...own: number[]) => ({ dtype: "f32", shape: own }) as const;
  const dense = (layout: "bshd" | "bhsd") =>
    attentionProblem({
      layout,
      query: layout === "bshd" ? shape(2, 3, 4, 8) : shape(2, 4, 3, 8),
      key: layout === "bshd" ? shape(2, 9, 4, 8) : shape(2, 4, 9, 8),
      value: layout === "bshd" ? shape(2, 9, 4, 8) : shape(2, 4, 9, 8),
      keyLengths: [9, 5],
    });
  for (const layout of ["bshd", "bhsd"] as const) {
    assertEquals([...queryPositions(dense(layout))], [6, 7, 8, 2, 3, 4]);
  }
  const ragged = attentionProblem({
    query: shape(5, 4, 8),
    key: shape(9, 4, 8),
    value: shape(9, 4, 8),
    cuSeqlens: [0, 1, 1, 5],
    cuSeqlensKey: [0, 3, 3, 9],
    queryOffset: [10, -1, 0],
  });
  assertEquals([...queryPositions(ragged)], [10, 0, 1, 2, 3]);
  assertThrows(
    () =>
      queryPositions(attentionProblem({
        query: shape(1, 3, 4, 8),
        key: shape(1, 2, 4, 8),
        value: shape(1, 2, 4, 8),
      })),
    RangeError,
    "sequence 0 must have no query at a position below 0: current value is -1",
  );
});

gpuTest("rotate() interpolates positions by a factor", async (_, gpu) => {
  const rows = random([1, 5, 2, 16], 4);
  const positions = [0, 1, 2, 3, 31];
  const pairing = "half-split";
  const options = { rows, pairing, positions } as const;
  const found = await rotate(gpu, { ...options, factor: 4 });
  const between = positions.map((position) => position / 4);
  const expected = rotated(rows, between, { pairing });
  checkRows(found, expected, { ulp: 2 ** -24, name: "factor 4" });
});

Deno.test("rotaryTable() divides positions by the factor", () => {
  const dim = 6;
  const [near, far] = [
    rotaryTable({ positions: 8, dim, base: 500 }),
    rotaryTable({ positions: 29, dim, base: 500, factor: 4 }),
  ];
  for (let position = 0; position < 8; position++) {
    assertEquals(
      far.slice(4 * position * dim, (4 * position + 1) * dim),
      near.slice(position * dim, (position + 1) * dim),
    );
  }
  assertEquals(far[dim], Math.fround(Math.cos(1 / 4)));
});

gpuTest("rotations that cannot be are refused", async (_, gpu) => {
  const rows = random([2, 3, 2, 8], 1);
  const good = { rows, pairing: "half-split", positions: [0, 1, 2, 3, 4, 5] };
  using table = gpu.tensor(rotaryTable({ positions: 4, dim: 8 }), [4, 4, 2]);
  using onDevice = gpu.tensor(new Uint32Array(6), [6]);
  const wrong: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ pairing: undefined }, TypeError, 'pairing must be "interleaved" or'],
    [{ isNeoxStyle: true }, TypeError, 'write pairing: "half-split"'],
    [{ dim: 3 }, RangeError, "dim must be even: current value is 3"],
    [{ dim: 10 }, RangeError, "dim must be an integer in 2..8"],
    [{ layout: "sbhd" }, TypeError, 'layout must be "bshd" or "bhsd"'],
    [{ rows: random([6, 8], 1) }, TypeError, "rows.shape must be [batch, seq"],
    [{ rows: 3 }, TypeError, "rows must be a GpuTensor or { data, shape }"],
    [
      { positions: [0, 1] },
      TypeError,
      "positions.length must be the number of tokens (6)",
    ],
    [{ positions: [0, 1, 2, 3, 4, -1] }, RangeError, "positions[5]"],
    [{ positions: 3 }, TypeError, "positions must be an array of integers"],
    [
      { positions: onDevice },
      TypeError,
      "table must be given with positions on the device",
    ],
    [{ positions: table, table }, TypeError, "positions.dtype must be u32"],
    [{ table }, RangeError, "positions[4] must be an integer in 0..3"],
    [{ table, dim: 6 }, TypeError, "table.shape must be [positions, 3, 2]"],
    [{ table, base: 500 }, TypeError, "base must not be given with a table"],
    [{ base: NaN }, RangeError, "base must be finite"],
    [{ base: 0 }, RangeError, "base must be > 0"],
    [{ table, factor: 2 }, TypeError, "factor must not be given with a table"],
    [{ factor: Infinity }, RangeError, "factor must be finite"],
    [{ factor: 0 }, RangeError, "factor must be > 0"],
    [{ ropeScaling: 4 }, TypeError, "write factor"],
  ];
  for (const [change, kind, message] of wrong) {
    const options = { ...good, ...change } as RotateOptions<HostTensor>;
    const error = await assertRejects(() => rotate(gpu, options), kind);
    assert(error.message.includes(message), error.message);
  }
  const shape = [6, 2, 8];
  using plan = await planRotation(gpu, {
    rows: { dtype: "f32", shape },
    pairing: "interleaved",
  });
  using input = gpu.empty("f32", shape);
  using output = gpu.empty("f32", shape);
  using few = gpu.tensor(new Uint32Array(5), [5]);
  const encoder = gpu.device.createCommandEncoder();
  const rotation = { positions: onDevice, table };
  const encode = (change: object) => () =>
    plan.encode(encoder, { input, output, rotation, ...change });
  assertThrows(
    encode({ output: input }),
    TypeError,
    "output must not share a buffer with input",
  );
  assertThrows(encode({ input: few }), TypeError, "input.dtype must be f32");
  assertThrows(
    encode({ rotation: undefined }),
    TypeError,
    "rotation must be { positions, table }",
  );
  assertThrows(
    encode({ rotation: { positions: few, table } }),
    TypeError,
    "rotation.positions.size must be 6",
  );
  plan.destroy();
  assertThrows(encode({}), TypeError, "plan must not be destroyed");
  const tensor: GpuTensor = output;
  assertEquals(tensor.destroyed, false);
});
