/**
 * The order of dimensions, and queries, keys and values in one tensor, are
 * strides and nothing else: not a bit of the result depends on them.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { attention, attentionProblem, type Gpu } from "../../mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type {
  AttentionOptions,
  AttentionRunOptions,
  HostTensor,
} from "../../src/ops/mod.ts";
import { gpuTest } from "../support/gpu.ts";

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
}

type Options = Omit<
  AttentionOptions & AttentionRunOptions,
  "query" | "key" | "value" | "qkv"
>;

const CASES: readonly (readonly [string, Sizes, Options])[] = [
  ["prefill", sizes(2, 21, 21, 4, 2, 16, 16), { causal: true }],
  ["odd dims", sizes(3, 9, 14, 2, 1, 7, 5), { causal: true, softcap: 3 }],
  ["decode", sizes(3, 1, 300, 8, 2, 16, 16), {}],
  ["decode, split", sizes(2, 1, 300, 4, 1, 16, 8), { splits: 3 }],
  ["by workers", sizes(2, 7, 90, 4, 2, 16, 16), {
    splits: "stream-k",
    workers: 5,
  }],
  ["short keys", sizes(2, 5, 40, 4, 2, 16, 16), { keyLengths: [3, 38] }],
  ["standard", sizes(2, 9, 20, 4, 2, 16, 24), { algorithm: "standard" }],
  ["FlashAttention-1", sizes(2, 9, 20, 4, 2, 16, 24), { algorithm: "fa1" }],
  ["one sequence", sizes(1, 6, 6, 2, 2, 8, 8), {}],
];

function sizes(
  batch: number,
  queries: number,
  keys: number,
  queryHeads: number,
  kvHeads: number,
  headDim: number,
  valueHeadDim: number,
): Sizes {
  return {
    batch,
    queries,
    keys,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
  };
}

type Elements = "f32" | "f16";

function noise(shape: readonly number[], seed: number, type: Elements) {
  const prng = new Prng(seed);
  const length = shape.reduce((product, n) => product * n, 1);
  const data = type === "f16"
    ? new Float16Array(length)
    : new Float32Array(length);
  for (let i = 0; i < length; i++) data[i] = prng.normal();
  return { data, shape } satisfies HostTensor;
}

/** `[b, s, h, ...]` as `[b, h, s, ...]`, or back. */
function swapped({ data, shape }: HostTensor): HostTensor {
  const [batch, first, second, ...rest] = shape;
  const width = rest.reduce((product, n) => product * n, 1);
  const out = data.slice();
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < first; i++) {
      for (let j = 0; j < second; j++) {
        const from = ((b * first + i) * second + j) * width;
        const to = ((b * second + j) * first + i) * width;
        out.set(data.subarray(from, from + width) as never, to);
      }
    }
  }
  return { data: out, shape: [batch, second, first, ...rest] };
}

function inputs(c: Sizes, type: Elements) {
  const { batch, queries, keys, queryHeads, kvHeads } = c;
  return {
    query: noise([batch, queries, queryHeads, c.headDim], 1, type),
    key: noise([batch, keys, kvHeads, c.headDim], 2, type),
    value: noise([batch, keys, kvHeads, c.valueHeadDim], 3, type),
  };
}

const bits = ({ data }: HostTensor) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

async function holdHeadsFirst(gpu: Gpu, type: Elements): Promise<void> {
  for (const [name, c, options] of CASES) {
    // It takes f32 alone.
    if (options.algorithm === "fa1" && type === "f16") continue;
    const { query, key, value } = inputs(c, type);
    const run = { ...options, returnLse: true };
    const plain = await attention(gpu, { ...run, query, key, value });
    const first = await attention(gpu, {
      ...run,
      layout: "bhsd",
      query: swapped(query),
      key: swapped(key),
      value: swapped(value),
    });
    assertEquals(first.output.shape, [
      c.batch,
      c.queryHeads,
      c.queries,
      c.valueHeadDim,
    ], name);
    assertEquals(bits(swapped(first.output)), bits(plain.output), name);
    assertEquals(first.lse!.shape, [c.batch, c.queryHeads, c.queries], name);
    assertEquals(bits(swapped(first.lse!)), bits(plain.lse!), name);
  }
}

gpuTest(
  'attention() of layout "bhsd" is that of "bshd", bitwise',
  async (_, gpu) => await holdHeadsFirst(gpu, "f32"),
);

gpuTest(
  'attention() of layout "bhsd" is that of "bshd", bitwise, in f16',
  async (_, gpu) => await holdHeadsFirst(gpu, "f16"),
  { features: ["shader-f16"] },
);

gpuTest(
  'attention() reads blocks as they are where layout is "bhsd"',
  async (_, gpu) => {
    const query = noise([2, 3, 4, 16], 1, "f32");
    const key = noise([9, 8, 2, 16], 2, "f32");
    const value = noise([9, 8, 2, 16], 3, "f32");
    const run = {
      key,
      value,
      blockTable: Uint32Array.of(3, 1, 8, 2, 5, 7),
      keyLengths: [20, 17],
      causal: true,
    };
    const plain = await attention(gpu, { ...run, query });
    const first = await attention(gpu, {
      ...run,
      query: swapped(query),
      layout: "bhsd",
    });
    assertEquals(bits(swapped(first.output)), bits(plain.output));
  },
);

/** Tensors side by side along the heads. */
function packed(parts: readonly HostTensor[]): HostTensor {
  const heads = parts.map(({ shape }) => shape.at(-2)!);
  const dim = parts[0].shape.at(-1)!;
  const all = heads.reduce((sum, n) => sum + n, 0);
  const outer = parts[0].shape.slice(0, -2);
  const tokens = outer.reduce((product, n) => product * n, 1);
  const data = parts[0].data instanceof Float32Array
    ? new Float32Array(tokens * all * dim)
    : new Float16Array(tokens * all * dim);
  for (let token = 0; token < tokens; token++) {
    let at = token * all * dim;
    parts.forEach((part, i) => {
      const width = heads[i] * dim;
      const row = part.data.subarray(token * width, (token + 1) * width);
      data.set(row as never, at);
      at += width;
    });
  }
  return { data, shape: [...outer, all, dim] };
}

gpuTest("attention() of qkv is that of its parts, bitwise", async (_, gpu) => {
  for (
    const [c, options] of [
      [sizes(2, 21, 21, 4, 4, 16, 16), { causal: true }],
      [sizes(2, 19, 19, 4, 2, 16, 16), { causal: true, kvHeads: 2 }],
      [sizes(1, 40, 40, 3, 1, 7, 7), { kvHeads: 1, splits: 2 }],
      [sizes(2, 9, 9, 6, 2, 8, 8), { kvHeads: 2, algorithm: "standard" }],
      [sizes(2, 9, 9, 6, 2, 8, 8), { kvHeads: 2, algorithm: "fa1" }],
    ] as const
  ) {
    const { query, key, value } = inputs(c, "f32");
    const { kvHeads: _, ...run } = { kvHeads: 0, ...options };
    const plain = await attention(gpu, {
      ...run,
      query,
      key,
      value,
      returnLse: true,
    });
    const one = await attention(gpu, {
      ...options,
      qkv: packed([query, key, value]),
      returnLse: true,
    });
    assertEquals(one.output.shape, plain.output.shape);
    assertEquals(bits(one.output), bits(plain.output), JSON.stringify(c));
    assertEquals(bits(one.lse!), bits(plain.lse!), JSON.stringify(c));
  }
});

gpuTest("attention() of ragged qkv is that of its parts", async (_, gpu) => {
  const parts = [1, 2, 3].map((seed) =>
    noise([30, seed === 1 ? 4 : 2, 16], seed, "f32")
  );
  const [query, key, value] = parts;
  const run = { cuSeqlens: [0, 11, 11, 30], causal: true };
  const plain = await attention(gpu, { ...run, query, key, value });
  const one = await attention(gpu, { ...run, qkv: packed(parts), kvHeads: 2 });
  assertEquals(bits(one.output), bits(plain.output));
});

gpuTest("attention() of a device's qkv stays on the device", async (_, gpu) => {
  const { data, shape } = noise([1, 5, 6, 8], 1, "f32");
  const qkv = gpu.tensor(data, shape);
  const { output } = await attention(gpu, { qkv });
  assertEquals(output.shape, [1, 5, 2, 8]);
  const host = await attention(gpu, { qkv: { data, shape } });
  assertEquals(await gpu.readOne(output), host.output.data);
  output.destroy();
  qkv.destroy();
});

const tensor = (...shape: number[]) => ({ dtype: "f32", shape } as const);

Deno.test("attentionProblem() names the layout that a shape is held against", () => {
  const query = tensor(2, 5, 8);
  assertThrows(
    () => attentionProblem({ query, key: query, value: query, layout: "bhsd" }),
    TypeError,
    'query.shape must be [batch, heads, sequence, headDim], as layout is "bhsd": current value is [2, 5, 8]',
  );
  assertThrows(
    () => attentionProblem({ query: tensor(2, 8) }),
    TypeError,
    "query.shape must be [batch, sequence, heads, headDim], or [tokens, heads, headDim] where ragged",
  );
  assertThrows(
    () => attentionProblem({ query, layout: "sbhd" as "bshd" }),
    TypeError,
    'layout must be "bshd" or "bhsd"',
  );
});

Deno.test("attentionProblem() throws on a qkv that does not fit", () => {
  const qkv = tensor(1, 5, 7, 8);
  const faults: [object, string][] = [
    [{ qkv }, "qkv.shape must have three times as many heads"],
    [{ qkv, kvHeads: 4 }, "kvHeads must leave heads for queries"],
    [{ qkv, kvHeads: 0 }, "kvHeads must be an integer >= 1"],
    [{ qkv, kvHeads: 2, query: qkv }, "query must not be given with qkv"],
    [{ qkv, kvHeads: 2, layout: "bhsd" }, 'layout must be "bshd" with qkv'],
    [
      { query: qkv, key: qkv, value: qkv, kvHeads: 7 },
      "kvHeads must be given with qkv only",
    ],
    [{ qkv, kvHeads: 2 }, "queryHeads must be a multiple of kvHeads (2)"],
  ];
  for (const [options, message] of faults) {
    assertThrows(() => attentionProblem(options), Error, message);
  }
});

gpuTest("AttentionPlan holds a qkv of another size off", async (_, gpu) => {
  const qkv = { data: new Float32Array(240), shape: [1, 5, 6, 8] };
  await assertRejects(
    () => attention(gpu, { qkv, kvHeads: 1.5 }),
    RangeError,
    "kvHeads must be an integer",
  );
});
