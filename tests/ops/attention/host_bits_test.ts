/**
 * Host tensors of 16 bits: the same bits as the numbers that they are.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  attention,
  attentionProblem,
  type HostBits,
  type HostTensor,
} from "../../../mod.ts";
import { fromBfloat16, fromFloat16 } from "../../../src/core/half.ts";
import { hostArrayOf } from "../../../src/core/dtype.ts";
import { gpuTest } from "../../support/gpu.ts";
import { inputs, live } from "./tensors.ts";

const SIZES = { batch: 1, queries: 3, keys: 5 };
const NAMES = ["query", "key", "value"] as const;

type Three<T> = Readonly<Record<(typeof NAMES)[number], T>>;

function map<T>(convert: (tensor: HostTensor) => T): Three<T> {
  const given = inputs(SIZES);
  const [query, key, value] = NAMES.map((name) => convert(given[name]));
  return { query, key, value };
}

/** The bits of bfloat16s: those of float32s, cut off. */
function cutOff({ data, shape }: HostTensor): HostBits {
  const words = new Uint32Array(Float32Array.from(data).buffer);
  const bits = Uint16Array.from(words, (word) => word >>> 16);
  return { data: bits, shape, dtype: "bf16" };
}

gpuTest("attention() widens bf16 exactly", async (_, gpu) => {
  const bits = map(cutOff);
  const wide = map((tensor) => ({
    data: Float32Array.from(cutOff(tensor).data, fromBfloat16),
    shape: tensor.shape,
  }));
  const actual = await attention(gpu, bits);
  const expected = await attention(gpu, wide);
  assertEquals(actual.output.data, expected.output.data);
  assertEquals(actual.output.shape, expected.output.shape);
});

gpuTest(
  "attention() takes f16 by its bits, and bf16 as f16",
  async (_, gpu) => {
    const half = map(({ data, shape }) => ({
      data: Float16Array.from(data),
      shape,
    }));
    const bits = map(({ data, shape }): HostBits => ({
      data: new Uint16Array(Float16Array.from(data).buffer),
      shape,
      dtype: "f16",
    }));
    const expected = await attention(gpu, half);
    assertEquals((await attention(gpu, bits)).output, expected.output);

    const narrowed = map((tensor) => ({
      data: Float16Array.from(cutOff(tensor).data, fromBfloat16),
      shape: tensor.shape,
    }));
    const asked = map((tensor) => ({ ...cutOff(tensor), as: "f16" as const }));
    assertEquals(
      (await attention(gpu, asked)).output,
      (await attention(gpu, narrowed)).output,
    );
  },
  { features: ["shader-f16"] },
);

gpuTest("attention() refuses a bf16 beyond f16", async (_, gpu) => {
  const before = live(gpu);
  const asked = map((tensor) => ({ ...cutOff(tensor), as: "f16" as const }));
  asked.key.data[7] = 0x4780; // 65536
  await assertRejects(
    () => attention(gpu, asked),
    RangeError,
    "key.data[7] must be within +-65504 to become f16: current value is 65536",
  );
  asked.key.data[7] = 0x7f80; // Infinity stays what it is
  await attention(gpu, asked);
  assertEquals(live(gpu).buffers, before.buffers);
}, { features: ["shader-f16"] });

Deno.test("attentionProblem() says what bits need", () => {
  const bits = map(cutOff);
  const without = ({ dtype: _, ...rest }: HostBits) => rest;
  for (
    const [query, message] of [
      [without(bits.query), 'query.dtype must be "bf16" or "f16", as its data'],
      [{ ...bits.query, dtype: "u32" }, "query.dtype must be"],
      [{ ...bits.query, as: "u32" }, 'query.as must be "f32" or "f16"'],
      [
        { ...bits.query, dtype: "f16", as: "f32" },
        'query.as must be "f16"',
      ],
      [{ ...bits.query, shape: [1, 3, 4, 7] }, "query.data.length must be"],
      [
        { ...bits.query, data: new Int16Array(96) },
        'or a Uint16Array of bits with dtype: "bf16" or "f16"',
      ],
    ] as const
  ) {
    assertThrows(
      () => attentionProblem({ ...bits, query } as never),
      TypeError,
      message,
    );
  }
  assertEquals(attentionProblem(bits).dtype, "f32");
});

Deno.test("hostArrayOf() widens f16 where there is no Float16Array", () => {
  const bits = Uint16Array.from([0x3c00, 0x0001, 0xfbff, 0x7c00]);
  const there = globalThis.Float16Array;
  try {
    Object.assign(globalThis, { Float16Array: undefined });
    const array = hostArrayOf("f16", bits.buffer);
    assertEquals(array, Float32Array.from(bits, fromFloat16));
  } finally {
    Object.assign(globalThis, { Float16Array: there });
  }
});
