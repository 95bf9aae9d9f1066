/**
 * Laws of linear attention that need no oracle: what a sequence gives depends on
 * its tokens and its state alone, bit by bit.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import type { HostTensor } from "../../mod.ts";
import { linearAttention } from "../../mod.ts";
import {
  type LinearAttentionOptions,
  linearProblem,
} from "../../src/ops/mod.ts";
import { GpuTensor } from "../../src/gpu/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  assertLinear,
  chunkedOptionsOf,
  linearResults,
} from "../support/linear_check.ts";
import {
  LINEAR_HEADS,
  type LinearCase,
  linearDataOf,
  PLAIN_LINEAR,
} from "../support/linear_cases.ts";

const SIZES = { chunk: 16, subChunk: 8 };

const CASE: LinearCase = {
  ...PLAIN_LINEAR,
  ...LINEAR_HEADS[3],
  layout: "ragged",
  sequences: [33, 0, 1, 50],
  headDim: 8,
  valueHeadDim: 12,
  decay: "channel",
  initialState: true,
};

type Rows = HostTensor & { readonly data: Float32Array };

/** Tokens `first` to `end` of ragged rows. */
function tokens(rows: Rows, first: number, end: number): Rows {
  const size = rows.data.length / rows.shape[0];
  return {
    data: rows.data.slice(first * size, end * size),
    shape: [end - first, ...rows.shape.slice(1)],
  };
}

/** Tokens of all inputs. */
function cut(
  options: LinearAttentionOptions,
  [first, end]: readonly [number, number],
): LinearAttentionOptions {
  const own = (name: "query" | "key" | "value" | "decay") =>
    tokens(options[name] as Rows, first, end);
  return {
    ...options,
    query: own("query"),
    key: own("key"),
    value: own("value"),
    decay: own("decay"),
    cuSeqlens: [0, end - first],
  };
}

gpuTest("ragged sequences are calls of their own", async (_, gpu) => {
  const options = chunkedOptionsOf(CASE, SIZES);
  const ends = [33, 33, 34, 84];
  const [all, ...apart] = await linearResults(gpu, [
    { options },
    ...ends.map((end, n) => ({
      options: {
        ...cut(options, [end - CASE.sequences[n], end]),
        initialState: tokens(options.initialState as Rows, n, n + 1),
      },
    })),
  ]);
  const joined = (part: "output" | "state") =>
    apart.flatMap((own) => [...own[part]]);
  assertEquals(joined("output"), [...all.output]);
  assertEquals(joined("state"), [...all.state]);
});

gpuTest("a state hands a sequence over", async (_, gpu) => {
  const c: LinearCase = { ...CASE, sequences: [84] };
  const options = chunkedOptionsOf(c, SIZES);
  const [whole, head, odd] = await linearResults(gpu, [
    { options },
    { options: cut(options, [0, 48]) },
    { options: cut(options, [0, 31]) },
  ]);
  const from = (state: Float32Array, first: number) => ({
    options: {
      ...cut(options, [first, 84]),
      initialState: { data: state, shape: [1, 2, 8, 12] },
    },
  });
  const [tail, rest] = await linearResults(gpu, [
    from(head.state, 48),
    from(odd.state, 31),
  ]);
  // At a chunk's end nothing is rounded otherwise.
  assertEquals([...head.output, ...tail.output], [...whole.output]);
  assertEquals(tail.state, whole.state);
  const output = Float32Array.of(...odd.output, ...rest.output);
  assertLinear(c, { result: { output, state: rest.state }, chunk: 16 });
});

gpuTest("heads that share are heads that are repeated", async (_, gpu) => {
  const shared: LinearCase = {
    ...CASE,
    queryHeads: 8,
    keyHeads: 2,
    valueHeads: 4,
    sequences: [40],
  };
  const data = linearDataOf(shared);
  const repeat = (
    rows: Float32Array,
    { heads, times, dim }: { heads: number; times: number; dim: number },
  ) => {
    const out = [];
    for (let row = 0; row < rows.length / dim; row++) {
      for (let n = 0; n < times; n++) {
        // All of a token's copies of a head lie side by side.
        out.push(...rows.subarray(row * dim, (row + 1) * dim));
      }
    }
    return { data: Float32Array.from(out), shape: [40, heads * times, dim] };
  };
  const options = chunkedOptionsOf(shared, SIZES);
  const { initialState: _none, ...plain } = options;
  const [one, other] = await linearResults(gpu, [{ options: plain }, {
    options: {
      ...plain,
      key: repeat(data.key, { heads: 2, times: 4, dim: 8 }),
      value: repeat(data.value, { heads: 4, times: 2, dim: 12 }),
      decay: repeat(data.decay!, { heads: 4, times: 2, dim: 8 }),
    },
  }]);
  assertEquals(other.output, one.output);
});

/** Rows with heads before tokens. */
function headsFirst({ data, shape }: Rows): Rows {
  const [batch, count, heads, dim] = shape;
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let t = 0; t < count; t++) {
      for (let h = 0; h < heads; h++) {
        const at = ((b * count + t) * heads + h) * dim;
        out.set(
          data.subarray(at, at + dim),
          ((b * heads + h) * count + t) * dim,
        );
      }
    }
  }
  return { data: out, shape: [batch, heads, count, dim] };
}

gpuTest("where rows lie is no part of the result", async (_, gpu) => {
  const c: LinearCase = { ...CASE, layout: "dense", sequences: [20, 20] };
  const options = chunkedOptionsOf(c, SIZES);
  const rows = (name: "query" | "key" | "value") => options[name] as Rows;
  const plain = await linearAttention(gpu, options as never);
  const first = await linearAttention(gpu, {
    ...options,
    layout: "bhsd",
    query: headsFirst(rows("query")),
    key: headsFirst(rows("key")),
    value: headsFirst(rows("value")),
  });
  assertEquals(first.output, headsFirst(plain.output as Rows));
  // Between rows lies what is not theirs.
  const apart = (own: Rows) => {
    const [batch, count, heads, dim] = own.shape;
    const token = heads * (dim + 4) + 8;
    const data = new Float32Array(4 + batch * count * token).fill(NaN);
    for (let row = 0; row < batch * count * heads; row++) {
      const at = 4 + Math.floor(row / heads) * token + row % heads * (dim + 4);
      data.set(own.data.subarray(row * dim, (row + 1) * dim), at);
    }
    return {
      data,
      shape: own.shape,
      strides: [count * token, token, dim + 4],
      offset: 4,
    };
  };
  const strided = await linearAttention(gpu, {
    ...options,
    query: apart(rows("query")),
    key: apart(rows("key")),
    value: apart(rows("value")),
  });
  assertEquals(strided.output, plain.output);
});

gpuTest("a pool of states is read and written in place", async (_, gpu) => {
  const options = chunkedOptionsOf(CASE, SIZES);
  const { initialState, ...rest } = options;
  const size = 2 * 8 * 12;
  const [given] = await linearResults(gpu, [{ options }]);
  const pool = new Float32Array(6 * size).fill(NaN);
  const slots = [4, 1, 0, 2];
  slots.forEach((slot, n) => {
    const { data } = tokens(initialState as Rows, n, n + 1);
    pool.set(data, slot * size);
  });
  using states = gpu.tensor(pool, [6, 2, 8, 12]);
  const { output } = await linearAttention(gpu, {
    ...rest,
    states,
    stateIndices: slots,
    finalStateIndices: [4, 3, -1, 2],
  });
  assertEquals((output as Rows).data, given.output);
  const after = await gpu.readOne(states) as Float32Array;
  const slot = (n: number, of = after) => of.slice(n * size, (n + 1) * size);
  assertEquals(slot(4), slot(0, given.state));
  assertEquals(slot(3), slot(1, given.state));
  assertEquals(slot(2), slot(3, given.state));
  // What is only read stays, and what is nobody's.
  assertEquals(slot(0), slot(0, pool));
  assertEquals(slot(1), slot(1, pool));
  assert(slot(5).every(Number.isNaN));
});

gpuTest("no state is a state of zeros", async (_, gpu) => {
  const { initialState, ...rest } = chunkedOptionsOf(CASE, SIZES);
  const { shape, data } = initialState as Rows;
  const zeros = { data: new Float32Array(data.length), shape };
  const [none, zero] = await linearResults(gpu, [
    { options: rest },
    { options: { ...rest, initialState: zeros } },
  ]);
  assertEquals(none, zero);
});

gpuTest("GPU tensors stay on the device", async (_, gpu) => {
  const shape = [1, 40, 1, 4];
  using rows = gpu.tensor(new Float32Array(160).fill(0.5), shape);
  const { output, state } = await linearAttention(gpu, {
    query: rows,
    key: rows,
    value: rows,
    returnState: true,
  });
  using own = output;
  using last = state!;
  assert(own instanceof GpuTensor && last instanceof GpuTensor);
  assertEquals(own.shape, shape);
  const [first] = await gpu.readOne(own);
  assertEquals(first, 0.5 ** 2 * 4 * 0.5 * 0.5);
  assertEquals((await gpu.readOne(last))[0], 10);
});

Deno.test("decay broadcasts, and says what it is for", () => {
  const rows = { dtype: "f32", shape: [2, 5, 3, 4] } as const;
  const kind = (...shape: number[]) =>
    linearProblem({
      query: rows,
      key: rows,
      value: rows,
      decay: { dtype: "f32", shape },
    }).decay;
  assertEquals(kind(2, 5, 3, 4)?.kind, "channel");
  for (const shape of [[2, 5, 3], [2, 5, 3, 1], [3], [1, 1, 3], [3, 1]]) {
    assertEquals(kind(...shape)?.kind, "head", `${shape}`);
  }
  const { batch, token, head, channel } = kind(3, 4)!;
  assertEquals([batch, token, head, channel], [0, 0, 4, 1]);
  const one = kind(2, 1, 3, 1)!;
  assertEquals([one.batch, one.token, one.head, one.channel], [3, 0, 1, 0]);
});
