/**
 * Where rows lie is no part of the result: slices, transposed views and expanded
 * ones give the bits of rows that lie side by side, and outputs written apart
 * leave what is between them as it was.
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
  planAttention,
  UnsupportedError,
} from "../../mod.ts";
import type {
  AttentionOptions,
  AttentionRunOptions,
} from "../../src/ops/mod.ts";
import { gpuTest } from "../support/gpu.ts";
import {
  at,
  eachRow,
  type Elements,
  laidApart,
  noise,
  POISON,
  VIEWS,
} from "./strided_rows.ts";

type Options = Omit<
  AttentionOptions & AttentionRunOptions,
  "query" | "key" | "value" | "qkv"
>;

const CASES: readonly (readonly [
  name: string,
  sizes: readonly [b: number, q: number, k: number, h: number, kv: number],
  dims: readonly [number, number],
  options: Options,
])[] = [
  ["prefill", [2, 19, 19, 4, 2], [16, 16], { causal: true }],
  ["odd dims", [3, 9, 14, 2, 1], [7, 5], { causal: true, softcap: 3 }],
  ["decode", [3, 1, 70, 8, 2], [16, 8], {}],
  ["decode, split", [2, 1, 300, 4, 1], [16, 8], { splits: 3 }],
  ["by workers", [2, 7, 90, 4, 2], [16, 16], {
    splits: "stream-k",
    workers: 5,
  }],
  ["short keys", [2, 5, 40, 4, 2], [16, 16], { keyLengths: [3, 38] }],
  ["standard", [2, 9, 20, 4, 2], [16, 24], { algorithm: "standard" }],
  ["one of each", [1, 1, 3, 1, 1], [8, 8], {}],
];

const bits = ({ data }: { data: HostTensor["data"] }) =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** Runs cases in views; few pairs of them are kernels of their own. */
async function holdViews(
  gpu: Gpu,
  type: Elements,
  { cases, views, alone }: {
    readonly cases: readonly string[];
    readonly views: readonly string[];
    /** Whether also with only one of the tensors apart. */
    readonly alone: boolean;
  },
): Promise<void> {
  for (const [name, [b, q, k, h, kv], [d, dv], options] of CASES) {
    if (!cases.includes(name)) continue;
    const run = { ...options, returnLse: true };
    const query = noise([b, q, h, d], 1, type);
    const key = noise([b, k, kv, d], 2, type);
    const value = noise([b, k, kv, dv], 3, type);
    const plain = await attention(gpu, { ...run, query, key, value });
    for (const view of views) {
      const lie = VIEWS[view];
      const apart = {
        query: laidApart(query, ...lie(b, q, h, d)),
        key: laidApart(key, ...lie(b, k, kv, d)),
        value: laidApart(value, ...lie(b, k, kv, dv)),
      };
      const given = alone
        ? (["query", "key", "value"] as const).map((one) => ({
          query,
          key,
          value,
          [one]: apart[one],
        }))
        : [apart];
      for (const tensors of given) {
        const { output, lse } = await attention(gpu, {
          ...run,
          ...tensors as typeof apart,
        });
        assertEquals(bits(output), bits(plain.output), `${name}, ${view}`);
        assertEquals(lse!.data, plain.lse!.data, `${name}, ${view}`);
      }
    }
  }
}

const ALL_CASES = CASES.map(([name]) => name);
const ALL_VIEWS = Object.keys(VIEWS);
const ODD = ["at an odd place, with odd steps", "with heads at odd places"];
const TURNED = "sequence before batch";

gpuTest(
  "attention() of rows that lie apart is that of rows side by side, bitwise",
  async (_, gpu) =>
    await holdViews(gpu, "f32", {
      cases: ALL_CASES,
      views: ALL_VIEWS.filter((view) => !ODD.includes(view)),
      alone: false,
    }),
);

gpuTest(
  "attention() of rows at odd places is that of rows side by side, bitwise",
  async (_, gpu) =>
    await holdViews(gpu, "f32", {
      cases: ["prefill", "decode", "standard"],
      views: ODD,
      alone: false,
    }),
);

gpuTest(
  "attention() with one tensor apart is that of rows side by side, bitwise",
  async (_, gpu) =>
    await holdViews(gpu, "f32", {
      cases: ["odd dims", "decode"],
      views: [TURNED],
      alone: true,
    }),
);

gpuTest(
  "attention() of halves that lie apart is that of halves side by side",
  async (_, gpu) =>
    await holdViews(gpu, "f16", {
      cases: ["odd dims", "decode"],
      views: [TURNED, ODD[0]],
      alone: false,
    }),
  { features: ["shader-f16"] },
);

gpuTest("views of GPU tensors are read where they are", async (_, gpu) => {
  const [b, s, h, d] = [2, 6, 2, 8];
  // One buffer, of queries, keys and values in turns.
  const fused = noise([b, s, 3 * h, d], 4, "f32");
  using tensor = gpu.tensor(fused.data, fused.shape);
  const part = (n: number) => ({
    tensor,
    shape: [b, s, h, d],
    strides: [s * 3 * h * d, 3 * h * d, d, 1],
    offset: n * h * d,
  });
  const views = { query: part(0), key: part(1), value: part(2) };
  const { output } = await attention(gpu, { ...views, causal: true });
  const whole = await attention(gpu, { qkv: tensor, causal: true });
  assertEquals(await gpu.readOne(output), await gpu.readOne(whole.output));
  // The same rows, said to be heads before tokens.
  const turned = (n: number) => {
    const { strides: [batch, token, head], ...rest } = part(n);
    return { ...rest, shape: [b, h, s, d], strides: [batch, head, token] };
  };
  const first = await attention(gpu, {
    query: turned(0),
    key: turned(1),
    value: turned(2),
    layout: "bhsd",
    causal: true,
  });
  const swapped = await gpu.readOne(first.output);
  const plain = await gpu.readOne(output);
  eachRow([b, s, h, d], ([i, j, head], row) => {
    const from = ((i * h + head) * s + j) * d;
    assertEquals(
      swapped.slice(from, from + d),
      plain.slice(row * d, (row + 1) * d),
    );
  });
  for (const made of [output, whole.output, first.output]) made.destroy();
});

gpuTest(
  "a stride of 0 repeats what is there, as expand() does",
  async (_, gpu) => {
    const [b, q, k, h, d] = [3, 4, 9, 4, 16];
    const query = noise([b, q, h, d], 1, "f32");
    // One sequence of one head for all: cross attention over a shared memory.
    const memory = noise([k, d], 2, "f32");
    const expanded = {
      data: memory.data,
      shape: [b, k, h, d],
      strides: [0, d, 0],
    };
    const copied = new Float32Array(b * k * h * d);
    eachRow(
      [b, k, h, d],
      ([, j], row) =>
        copied.set(memory.data.subarray(j * d, (j + 1) * d), row * d),
    );
    const plain = { data: copied, shape: [b, k, h, d] };
    const view = await attention(gpu, {
      query,
      key: expanded,
      value: expanded,
    });
    const whole = await attention(gpu, { query, key: plain, value: plain });
    assertEquals(view.output.data, whole.output.data);
  },
);

gpuTest("ragged and paged tensors may have strides too", async (_, gpu) => {
  const [h, kv, d] = [4, 2, 8];
  const ragged = { cuSeqlens: [0, 3, 3, 8], cuSeqlensKey: [0, 5, 6, 13] };
  const query = noise([8, h, d], 1, "f32");
  const key = noise([13, kv, d], 2, "f32");
  const value = noise([13, kv, d], 3, "f32");
  const plain = await attention(gpu, { ...ragged, query, key, value });
  const apart = await attention(gpu, {
    ...ragged,
    query: laidApart(query, [2 * h * d + 4, 2 * d], 3),
    key: laidApart(key, [d, 13 * d], 0), // heads first
    value: laidApart(value, [kv * d + 1, d], 7),
  });
  assertEquals(apart.output.data, plain.output.data);
  const only = await attention(gpu, {
    ...ragged,
    query,
    key: laidApart(key, [d, 13 * d], 4),
    value,
  });
  assertEquals(only.output.data, plain.output.data);

  const [blocks, size] = [7, 4];
  const paged = {
    blockTable: Uint32Array.of(3, 6, 1, 5, 2, 4),
    keyLengths: [9, 12],
    query: noise([2, 3, h, d], 5, "f32"),
    causal: true,
  };
  const keys = noise([blocks, size, kv, d], 6, "f32");
  const values = noise([blocks, size, kv, d], 7, "f32");
  const flat = await attention(gpu, { ...paged, key: keys, value: values });
  for (
    const strides of [
      [size * kv * d, d, size * d], // heads before tokens, in each block
      [2 * size * kv * d, kv * d, d], // keys and values of a block in turns
    ]
  ) {
    for (const sharedPrefix of ["never", "always"] as const) {
      const { output } = await attention(gpu, {
        ...paged,
        invariant: false,
        sharedPrefix,
        key: laidApart(keys, strides, 0),
        value: laidApart(values, strides, 4),
      });
      assertEquals(output.data, flat.output.data, `${strides}`);
    }
  }
  // Prefixes that are read together: queries are listed, and lie apart.
  const same = { ...paged, blockTable: Uint32Array.of(3, 6, 1, 3, 6, 4) };
  const choices = { invariant: false, sharedPrefix: "always" } as const;
  const together = await attention(gpu, {
    ...same,
    ...choices,
    key: keys,
    value: values,
  });
  const listed = await attention(gpu, {
    ...same,
    ...choices,
    query: laidApart(paged.query, [h * d, 2 * h * d, d], 4),
    key: laidApart(keys, [size * kv * d, d, size * d], 0),
    value: values,
  });
  assertEquals(listed.output.data, together.output.data);
});

gpuTest(
  "outputs are written where strides say, and nowhere else",
  async (_, gpu) => {
    const [b, q, k, h, d] = [2, 5, 12, 2, 8];
    const [query, key, value] = [
      noise([b, q, h, d], 1, "f32"),
      noise([b, k, h, d], 2, "f32"),
      noise([b, k, h, d], 3, "f32"),
    ];
    const plain = await attention(gpu, { query, key, value, returnLse: true });
    using tensors = uploaded(gpu, { query, key, value });
    for (const algorithm of ["fused", "standard"] as const) {
      for (const [splits, queries] of [["fixed", q], [3, q]] as const) {
        if (algorithm === "standard" && splits !== "fixed") continue;
        for (
          const [outputStrides, outputOffset] of [
            [[h * d, b * h * d, d], 0], // sequence before batch
            [[q * h * d + 8, h * d, d], 4],
            [[q * (h * d + 1), h * d + 1, d], 3],
            [[q * h * d, d, q * d], 0], // heads before tokens
          ] as const
        ) {
          using plan = await planAttention(gpu, {
            query,
            key,
            value,
            outputStrides,
            outputOffset,
            returnLse: true,
            algorithm,
            ...(splits !== "fixed" && { splits }),
          });
          const size = b * queries * (h * d + 8) + 16;
          using output = gpu.tensor(new Float32Array(size).fill(POISON), [
            size,
          ]);
          using lse = gpu.empty("f32", [b, q, h]);
          gpu.submit(
            "run",
            (encoder) => plan.encode(encoder, { ...tensors, output, lse }),
          );
          const [found, sums] = await gpu.read([output, lse]);
          const name = `${algorithm}, ${splits}, [${outputStrides}]`;
          const expected = new Float32Array(size).fill(POISON);
          eachRow([b, q, h, d], (index, row) =>
            expected.set(
              plain.output.data.subarray(
                row * d,
                (row + 1) * d,
              ) as Float32Array,
              at(index, { strides: outputStrides, offset: outputOffset }),
            ));
          if (algorithm === "fused" && splits === "fixed") {
            assertEquals(found, expected, name);
            assertEquals(sums, plain.lse!.data, name);
          } else {
            // Other sums, so close and not the same; the places are.
            found.forEach((x, i) => {
              assert(Math.abs(x - expected[i]) < 1e-5, `${name}: element ${i}`);
            });
          }
        }
      }
    }
  },
);

gpuTest(
  "outputs of ragged and of heads-first problems have strides too",
  async (_, gpu) => {
    const [h, d, tokens] = [2, 8, 7];
    const rows = (seed: number) => noise([tokens, h, d], seed, "f32");
    const ragged = {
      query: rows(1),
      key: rows(2),
      value: rows(3),
      cuSeqlens: [0, 2, 2, 7],
      causal: true,
    };
    const first = {
      layout: "bhsd",
      query: noise([2, h, 3, d], 4, "f32"),
      key: noise([2, h, 5, d], 5, "f32"),
      value: noise([2, h, 5, d], 6, "f32"),
    } as const;
    for (
      const [options, shape, outputStrides] of [
        [ragged, [tokens, h, d], [d, tokens * d]],
        [first, [2, h, 3, d], [h * d, d, 2 * h * d]],
      ] as const
    ) {
      const plain = await attention(gpu, options);
      using tensors = uploaded(gpu, options);
      using plan = await planAttention(gpu, { ...options, outputStrides });
      using output = gpu.empty("f32", shape);
      gpu.submit(
        "run",
        (encoder) => plan.encode(encoder, { ...tensors, output }),
      );
      const found = await gpu.readOne(output);
      eachRow(shape, (index, row) => {
        const from = at(index, { strides: outputStrides, offset: 0 });
        assertEquals(
          found.slice(from, from + d),
          plain.output.data.slice(row * d, (row + 1) * d),
          `${outputStrides}, row ${row}`,
        );
      });
    }
  },
);

function uploaded(
  gpu: Gpu,
  host: Record<"query" | "key" | "value", HostTensor>,
) {
  const of = ({ data, shape }: HostTensor) => gpu.tensor(data, shape);
  const { query, key, value } = host;
  const tensors = { query: of(query), key: of(key), value: of(value) };
  return {
    ...tensors,
    [Symbol.dispose]: () =>
      Object.values(tensors).forEach((tensor) => tensor.destroy()),
  };
}

gpuTest("strides that cannot be are refused by their name", async (_, gpu) => {
  const shape = [2, 3, 4, 8];
  const good = { data: new Float32Array(192), shape };
  const rows = { query: good, key: good, value: good };
  const with_ = (strides: unknown, more: object = {}) => ({
    ...rows,
    query: { ...good, strides, ...more },
  });
  using tensor = gpu.tensor(new Float32Array(192), [192]);
  const wrong: [object, typeof TypeError | typeof RangeError, string][] = [
    [
      with_([96, 32]),
      TypeError,
      "query.strides must be an array of 4 strides in elements, or 3 without the last dimension's: current value is [96, 32]",
    ],
    [with_(8), TypeError, "query.strides must be an array"],
    [
      with_([96, 32, 8, 2]),
      TypeError,
      "query.strides[3] must be 1 (strides are in elements, not bytes)",
    ],
    [
      with_([96, -32, 8]),
      RangeError,
      "query.strides[1] must be an integer in 0..",
    ],
    [with_([96, 1.5, 8]), RangeError, "query.strides[1]"],
    [
      with_([96, 32, 8], { offset: -1 }),
      RangeError,
      "query.offset must be an integer in 0..",
    ],
    [
      with_(undefined, { offset: 1 }),
      TypeError,
      "query.offset must not be given without strides: current value is 1",
    ],
    [
      with_([96, 32, 8], { offset: 1 }),
      RangeError,
      "query.strides must stay within the 192 elements that hold the rows; they reach 193",
    ],
    [
      with_([97, 32, 8]),
      RangeError,
      "they reach 193: current value is [97, 32, 8]",
    ],
    [
      with_([0, 0, 0], { data: new Int32Array(192) }),
      TypeError,
      "query.dtype must be f32 or f16",
    ],
    [
      { ...rows, key: { tensor: good, shape, strides: [96, 32, 8] } },
      TypeError,
      "key.tensor must be a GpuTensor",
    ],
    [
      { ...rows, value: { tensor, shape, strides: [96, 32, 9] } },
      RangeError,
      "value.strides must stay within the 192",
    ],
    [
      { qkv: { ...good, shape: [2, 2, 6, 8], strides: [96, 48, 8] } },
      TypeError,
      "qkv.strides must not be given; give query, key and value each",
    ],
    [
      { ...rows, strides: [96, 32, 8] },
      TypeError,
      "strides must not be given, as attention() has no such option; write query: { tensor, shape, strides, offset }",
    ],
    [
      { ...rows, outputOffset: 4 },
      TypeError,
      "outputOffset must be given with outputStrides",
    ],
    [
      { ...rows, outputStrides: [96, 32, 7] },
      RangeError,
      "outputStrides[2] must be >= 8, so that rows which are written do not overlap: current value is 7",
    ],
    [
      { ...rows, outputStrides: [95, 32, 8] },
      RangeError,
      "outputStrides[0] must be >= 96",
    ],
    [
      { ...rows, outputStrides: [0, 32, 8] },
      RangeError,
      "outputStrides[0] must be >= 8",
    ],
    [
      { ...rows, outputStrides: [96, 32] },
      TypeError,
      "outputStrides must be an array of 4 strides",
    ],
    [
      { ...rows, outputStrides: [96, 32, 8], outputOffset: 0.5 },
      RangeError,
      "outputOffset must be an integer",
    ],
  ];
  for (const [options, kind, message] of wrong) {
    const error = assertThrows(
      () => attentionProblem(options as AttentionOptions),
      kind,
    );
    assert(error.message.includes(message), error.message);
  }
  assertThrows(
    () =>
      attentionProblem({
        ...rows,
        query: { dtype: "f32", shape, strides: [2 ** 31, 2 ** 31, 2 ** 31] },
      }),
    RangeError,
    "query.strides must reach fewer than 2^32 elements",
  );
  await assertRejects(
    () => attention(gpu, { ...rows, outputStrides: [96, 32, 8] }),
    TypeError,
    "outputStrides must be given to planAttention() only",
  );
  const strided = { ...rows, query: { ...good, strides: [96, 32, 8] } };
  for (
    const [options, message] of [
      [{ algorithm: "fa1" }, "use the fused algorithm"],
    ] as const
  ) {
    const { message: found } = await assertRejects(
      () => attention(gpu, { ...strided, ...options }),
      UnsupportedError,
    );
    assert(found.includes(message), found);
  }
  using plan = await planAttention(gpu, {
    query: { dtype: "f32", shape, strides: [96, 32, 8], offset: 4 },
    key: good,
    value: good,
  });
  const encode = (query: GpuTensor) => () => {
    const encoder = gpu.device.createCommandEncoder();
    plan.encode(encoder, { query, key: tensor, value: tensor, output: tensor });
  };
  assertThrows(
    encode(tensor),
    TypeError,
    "query must have >= 196 elements, which its strides reach: current value is 192",
  );
});
