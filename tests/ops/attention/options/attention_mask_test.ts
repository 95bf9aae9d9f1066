/**
 * `attnMask` in every form that it may have, against float64 and bit by bit
 * against the mods that it stands for.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  additiveBias,
  attention,
  type AttentionOptions,
  attentionProblem,
  booleanMask,
  type HostMask,
  type HostTensor,
  planAttention,
  type TensorShape,
} from "../../../../mod.ts";
import { attention as oracle } from "../../../../reference/mod.ts";
import { gpuTest } from "../../../support/gpu.ts";
import { random } from "../tensors.ts";

const [BATCH, HEADS, QUERIES, KEYS, DIM] = [2, 2, 5, 7, 8];
const TENSORS = {
  query: random([BATCH, QUERIES, HEADS, DIM], 1),
  key: random([BATCH, KEYS, HEADS, DIM], 2),
  value: random([BATCH, KEYS, HEADS, DIM], 3),
};

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Element `at` of data that broadcasts. */
function element(
  { data, shape }: HostMask,
  at: readonly number[],
): number | boolean {
  const sizes = [1, 1, 1, 1, ...shape].slice(-4);
  return data[
    at.reduce(
      (sum, index, axis) => sum * sizes[axis] + (sizes[axis] === 1 ? 0 : index),
      0,
    )
  ];
}

/** What the mask adds; -Infinity where it hides. */
function addedBy(mask: HostMask, at: readonly number[]): number {
  const value = element(mask, at);
  const isFloat = mask.data instanceof Float32Array ||
    mask.data instanceof Float16Array;
  return isFloat ? value as number : value ? 0 : -Infinity;
}

/** Fails unless the output is the oracle's under that mask. */
function check(output: HostTensor, mask: HostMask, name: string): void {
  const expected = oracle({
    batch: BATCH,
    query: TENSORS.query.data,
    key: TENSORS.key.data,
    value: TENSORS.value.data,
    queryLength: QUERIES,
    keyLength: KEYS,
    queryHeads: HEADS,
    kvHeads: HEADS,
    headDim: DIM,
    valueHeadDim: DIM,
    queryOffset: 0,
    score: (s, b, h, q, k) => {
      const added = addedBy(mask, [b, h, q, k]);
      return added === -Infinity ? s : s + added;
    },
    mask: (b, h, q, k) => addedBy(mask, [b, h, q, k]) !== -Infinity,
  });
  const error = (output.data as Float32Array).reduce(
    (most, x, n) => Math.max(most, Math.abs(x - expected.output[n])),
    0,
  );
  assert(error < 1e-5, `${name}: off by ${error}`);
}

/** Every rank, with and without ones. */
const SHAPES = [
  [KEYS],
  [QUERIES, KEYS],
  [HEADS, QUERIES, KEYS],
  [BATCH, 1, 1, KEYS],
  [BATCH, HEADS, QUERIES, KEYS],
];

function masksOf(shape: readonly number[], seed: number): [string, HostMask][] {
  const floats = random(shape, seed).data as Float32Array;
  const seen = [...floats].map((x) => x > -0.4);
  const hidden = floats.map((x, i) => seen[i] ? x : -Infinity);
  return [
    ["booleans", { data: seen, shape }],
    ["bytes", { data: Uint8Array.from(seen, (s) => s ? 255 : 0), shape }],
    ["floats that add", { data: floats, shape }],
    ["floats that add and hide", { data: hidden, shape }],
    [
      "floats that hide",
      { data: hidden.map((x) => x === -Infinity ? x : 0), shape },
    ],
    ["halves", { data: Float16Array.from(hidden), shape }],
  ];
}

gpuTest("attnMask is right in every form and rank", async (_, gpu) => {
  for (const [seed, shape] of SHAPES.entries()) {
    for (const [name, attnMask] of masksOf(shape, 10 + seed)) {
      const { output } = await attention(gpu, { ...TENSORS, attnMask });
      check(output as HostTensor, attnMask, `${name} of [${shape}]`);
    }
  }
});

gpuTest("attnMask on the device is as it is on the host", async (_, gpu) => {
  const shape = [HEADS, QUERIES, KEYS];
  for (const [name, mask] of masksOf(shape, 3)) {
    const onHost = await attention(gpu, { ...TENSORS, attnMask: mask });
    const data = Array.isArray(mask.data)
      ? Uint32Array.from(mask.data, Number)
      : mask.data as Uint8Array | Float32Array | Float16Array;
    const tensors = data instanceof Float16Array
      // By its bits, as the device may have no f16 of its own.
      ? [gpu.empty("f16", shape)]
      : data instanceof Float32Array
      ? [gpu.tensor(data, shape)]
      : [data, Uint32Array.from(data), Int32Array.from(data, (x) => -x)]
        .map((array) => gpu.tensor(array, shape));
    if (data instanceof Float16Array) {
      tensors[0].writeBits(new Uint16Array(data.buffer));
    }
    for (const tensor of tensors) {
      const { output } = await attention(gpu, { ...TENSORS, attnMask: tensor });
      assertEquals(output.data, onHost.output.data, `${name} ${tensor.dtype}`);
      tensor.destroy();
    }
  }
});

gpuTest("attnMask takes bits of f16 and bf16", async (_, gpu) => {
  const shape = [HEADS, QUERIES, KEYS];
  const words = new Uint32Array(
    Float32Array.from(masksOf(shape, 3)[3][1].data as Float32Array).buffer,
  );
  const bf16 = Uint16Array.from(words, (word) => word >>> 16);
  const widened = new Float32Array(
    Uint32Array.from(bf16, (bits) => bits << 16).buffer,
  );
  const halves = Float16Array.from(widened);
  const f16 = new Uint16Array(halves.buffer);
  for (
    const [dtype, data, same] of [
      ["bf16", bf16, widened],
      ["f16", f16, Float32Array.from(halves)],
    ] as const
  ) {
    const run = (attnMask: HostMask) =>
      attention(gpu, { ...TENSORS, attnMask });
    const { output } = await run({ data, shape, dtype });
    const expected = await run({ data: same, shape });
    assertEquals(output.data, expected.output.data, dtype);
  }
  assertThrows(
    () => attentionProblem({ ...TENSORS, attnMask: { data: f16, shape } }),
    TypeError,
    'attnMask dtype must be "bf16" or "f16"',
  );
});

gpuTest("attnMask is the mods that it stands for, bitwise", async (_, gpu) => {
  const shape = [QUERIES, KEYS];
  const [, [, bytes], [, floats]] = masksOf(shape, 4);
  const [asMask, asMod] = [
    await attention(gpu, { ...TENSORS, attnMask: bytes, softcap: 3 }),
    await attention(gpu, {
      ...TENSORS,
      softcap: 3,
      maskMod: booleanMask(bytes.data as Uint8Array, shape),
    }),
  ];
  assertEquals(asMask.output.data, asMod.output.data);
  const [added, biased] = [
    await attention(gpu, { ...TENSORS, attnMask: floats, softcap: 3 }),
    await attention(gpu, {
      ...TENSORS,
      softcap: 3,
      scoreMod: additiveBias(floats.data as Float32Array, shape),
    }),
  ];
  assertEquals(added.output.data, biased.output.data);
});

gpuTest("attnMask skips tiles that it hides whole", async (_, gpu) => {
  const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });
  const [queries, keys] = [64, 4096];
  const shape = [queries, keys];
  const data = Float32Array.from(
    { length: size(shape) },
    (_, n) => n % keys < 128 ? 0 : -Infinity,
  );
  using plan = await planAttention(gpu, {
    query: f32(1, queries, 1, 16),
    key: f32(1, keys, 1, 16),
    value: f32(1, keys, 1, 16),
    attnMask: { data, shape },
  });
  const { tileCounts: tiles } = plan.explain();
  assert(tiles.visited * 16 <= tiles.total, JSON.stringify(tiles));
});

Deno.test("attnMask copies its data", () => {
  const data = new Uint8Array(size([QUERIES, KEYS])).fill(1);
  const { maskMods } = attentionProblem({
    ...TENSORS,
    attnMask: { data, shape: [QUERIES, KEYS] },
  });
  data.fill(0);
  const text = JSON.stringify(
    maskMods,
    (_, value) => value instanceof Uint8Array ? [...value] : value,
  );
  assertEquals(text.includes("[1,1,1"), true);
});

Deno.test("attnMask of another form is refused", () => {
  const shape = [QUERIES, KEYS];
  const of = (data: unknown, own: unknown = shape) => ({ data, shape: own });
  const floats = (value: number) =>
    new Float32Array(size(shape)).fill(value, 3, 4);
  const wrong: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [
      3,
      TypeError,
      "attnMask must be { data, shape } or a GpuTensor: current value is 3",
    ],
    [new Uint8Array(4), TypeError, "attnMask must be { data, shape }"],
    [
      of(new BigInt64Array(35)),
      TypeError,
      "attnMask.data must be a Uint8Array",
    ],
    [
      of(new Array(35).fill(1)),
      TypeError,
      "attnMask.data[0] must be a boolean",
    ],
    [of(floats(NaN)), RangeError, "attnMask.data[3] must be finite"],
    [of(floats(Infinity)), RangeError, "or -Infinity to hide a key"],
    [of(new Uint8Array(34)), TypeError, "attnMask shape must have as many"],
    [of(new Uint8Array(35), []), TypeError, "attnMask shape must have 1 or 2"],
    [
      of(new Uint8Array(30), [5, 6]),
      TypeError,
      "attnMask shape must broadcast to [batch, heads, queries, keys], here [2, 2, 5, 7]: keys must be 7 or 1, not 6: current value is [5, 6]",
    ],
    [
      of(new Float32Array(14), [2, 7]),
      TypeError,
      "queries must be 5 or 1, not 2: current value is [2, 7]",
    ],
  ];
  for (const [attnMask, kind, message] of wrong) {
    const error = assertThrows(
      () => attentionProblem({ ...TENSORS, attnMask } as AttentionOptions),
      kind,
    );
    assertEquals(error.message.includes(message), true, error.message);
  }
});
