/**
 * Every bad option is refused by class, with the argument, the rule and the
 * value in its message; nothing here needs a device.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import {
  type AttentionOptions,
  attentionProblem,
  causal,
  softcap,
  type TensorShape,
} from "../../../../mod.ts";

type Options = AttentionOptions<TensorShape>;
type ErrorKind = typeof TypeError | typeof RangeError;

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });

const DENSE: Options = {
  query: f32(2, 3, 4, 8),
  key: f32(2, 5, 2, 8),
  value: f32(2, 5, 2, 6),
};
const RAGGED: Options = {
  query: f32(7, 4, 8),
  key: f32(7, 2, 8),
  value: f32(7, 2, 8),
  cuSeqlens: [0, 3, 7],
};
const PAGED: Options = {
  query: f32(2, 1, 4, 8),
  key: f32(6, 4, 2, 8),
  value: f32(6, 4, 2, 8),
  blockTable: Uint32Array.of(1, 2, 3, 5),
  keyLengths: [5, 8],
};

const host = (data: unknown, shape: unknown) => ({ data, shape });

/** [what is wrong, the base, the change, the class, what the message says]. */
const REFUSED: [string, Options, object, ErrorKind, ...string[]][] = [
  ["no query", DENSE, { query: undefined }, TypeError, "query"],
  ["query without shape", DENSE, { query: {} }, TypeError, "query"],
  ["rank 2", DENSE, { query: f32(3, 8) }, TypeError, "query.shape", "ragged"],
  ["rank 5", DENSE, { query: f32(1, 1, 1, 1, 8) }, TypeError, "query.shape"],
  ["key of rank 3", DENSE, { key: f32(5, 2, 8) }, TypeError, "key.shape"],
  ["no value", DENSE, { value: undefined }, TypeError, "value"],
  [
    "shape that is no array",
    DENSE,
    { key: { dtype: "f32", shape: 5 } },
    TypeError,
    "key.shape",
  ],
  ["negative length", DENSE, { key: f32(2, -5, 2, 8) }, RangeError, "-5"],
  ["fractional length", DENSE, { key: f32(2, 2.5, 2, 8) }, RangeError, "2.5"],
  [
    "text as a length",
    DENSE,
    { key: { dtype: "f32", shape: [2, "5", 2, 8] } },
    TypeError,
    'key.shape[1] must be an integer: current value is "5"',
  ],
  [
    "array shorter than its shape",
    DENSE,
    { query: host(new Float32Array(5), [1, 2, 1, 4]) },
    TypeError,
    "query.data.length must be 8",
    "5",
  ],
  [
    "array of another class",
    DENSE,
    { query: host(new Float64Array(8), [1, 2, 1, 4]) },
    TypeError,
    "query.data",
    "Float64Array(8)",
  ],
  [
    "array of integers",
    DENSE,
    { query: host(new Uint32Array(8), [1, 2, 1, 4]) },
    TypeError,
    "query.data",
  ],
  [
    "unknown dtype",
    DENSE,
    { query: { dtype: "f64", shape: [1, 1, 1, 8] } },
    TypeError,
    "query.dtype",
    "f64",
  ],
  [
    "key of another dtype",
    DENSE,
    { key: { dtype: "f16", shape: [2, 5, 2, 8] } },
    TypeError,
    "key.dtype must be the query's (f32)",
  ],
  [
    "value of another dtype",
    DENSE,
    { value: { dtype: "f16", shape: [2, 5, 2, 8] } },
    TypeError,
    "value.dtype must be the query's (f32)",
  ],
  [
    "another batch",
    DENSE,
    {
      key: f32(3, 5, 2, 8),
      value: f32(3, 5, 2, 8),
    },
    TypeError,
    "key.shape[0] must be the query's batch (2)",
  ],
  ["value of other keys", DENSE, { value: f32(2, 4, 2, 8) }, TypeError, "2, 4"],
  ["value of other heads", DENSE, { value: f32(2, 5, 4, 8) }, TypeError, "4"],
  [
    "another head dim",
    DENSE,
    {
      key: f32(2, 5, 2, 4),
      value: f32(2, 5, 2, 4),
    },
    TypeError,
    "key.shape must have the query's headDim (8)",
  ],
  [
    "heads that do not divide",
    DENSE,
    {
      key: f32(2, 5, 3, 8),
      value: f32(2, 5, 3, 8),
    },
    RangeError,
    "queryHeads must be a multiple of kvHeads (3)",
    "4",
  ],
  [
    "no kv heads",
    DENSE,
    {
      key: f32(2, 5, 0, 8),
      value: f32(2, 5, 0, 8),
    },
    RangeError,
    "kvHeads",
  ],
  [
    "no query heads",
    DENSE,
    { query: f32(2, 3, 0, 8) },
    RangeError,
    "queryHeads",
  ],
  [
    "head dim 0",
    DENSE,
    {
      query: f32(2, 3, 4, 0),
      key: f32(2, 5, 2, 0),
    },
    RangeError,
    "headDim must be an integer in 1..256",
  ],
  [
    "head dim 257",
    DENSE,
    {
      query: f32(2, 3, 4, 257),
      key: f32(2, 5, 2, 257),
    },
    RangeError,
    "headDim",
    "257",
  ],
  [
    "value head dim 257",
    DENSE,
    {
      value: f32(2, 5, 2, 257),
    },
    RangeError,
    "valueHeadDim",
    "257",
  ],
  ["dropout as a rate", DENSE, { dropout: 0.1 }, TypeError, "{ rate, seed }"],
  ["dropout of all", DENSE, { dropout: { rate: 1 } }, RangeError, "[0, 1)"],
  ["dropout below 0", DENSE, { dropout: { rate: -1 } }, RangeError, "[0, 1)"],
  [
    "dropout's seed",
    DENSE,
    { dropout: { rate: 0.1, seed: 1.5 } },
    RangeError,
    "dropout.seed",
    "1.5",
  ],
  ["scale NaN", DENSE, { scale: NaN }, RangeError, "scale", "NaN"],
  ["scale Infinity", DENSE, { scale: Infinity }, RangeError, "scale"],
  ["scale past float32", DENSE, { scale: 1e39 }, RangeError, "scale", "1e+39"],
  ["scale as text", DENSE, { scale: "1" }, TypeError, "scale", '"1"'],
  ["softcap 0", DENSE, { softcap: 0 }, RangeError, "cap"],
  ["softcap NaN", DENSE, { softcap: NaN }, RangeError, "cap", "NaN"],
  ["softcap negative", DENSE, { softcap: -1 }, RangeError, "cap", "-1"],
  ["softcap past float32", DENSE, { softcap: 1e39 }, RangeError],
  [
    "window of a negative side",
    DENSE,
    {
      window: { left: -1 },
    },
    RangeError,
    "left",
    "-1",
  ],
  [
    "window of a fractional side",
    DENSE,
    {
      window: { right: 1.5 },
    },
    RangeError,
    "right",
    "1.5",
  ],
  ["window as a number", DENSE, { window: 4 }, TypeError, "window", "4"],
  ["causal as text", DENSE, { causal: "no" }, TypeError, "causal", '"no"'],
  ["returnLse as text", DENSE, { returnLse: "no" }, TypeError, "returnLse"],
  [
    "fractional offset",
    DENSE,
    {
      queryOffset: 0.5,
    },
    RangeError,
    "queryOffset",
    "0.5",
  ],
  ["offset as text", DENSE, { queryOffset: "0" }, TypeError, "queryOffset"],
  [
    "offset past i32",
    DENSE,
    {
      queryOffset: 2 ** 31,
    },
    RangeError,
    "queryOffset",
  ],
  [
    "offsets of another batch",
    DENSE,
    {
      queryOffset: [0],
    },
    TypeError,
    "queryOffset.length must be the number of sequences (2)",
  ],
  [
    "fractional offsets",
    DENSE,
    {
      queryOffset: [0, 0.5],
    },
    RangeError,
    "queryOffset[1]",
    "0.5",
  ],
  [
    "slopes of other heads",
    DENSE,
    {
      alibi: new Float32Array(3),
    },
    TypeError,
    "alibi.length",
    "3",
  ],
  ["slopes as a number", DENSE, { alibi: 1 }, TypeError, "alibi", "1"],
  [
    "slope NaN",
    DENSE,
    {
      alibi: new Float32Array(4).fill(NaN),
    },
    RangeError,
    "NaN",
  ],
  [
    "mask as a function",
    DENSE,
    {
      maskMod: () => true,
    },
    TypeError,
    "maskMod",
    "a function",
  ],
  ["mask as a score mod", DENSE, { maskMod: softcap(1) }, TypeError, "maskMod"],
  ["score as a mask mod", DENSE, { scoreMod: causal() }, TypeError, "scoreMod"],
  ["null among mods", DENSE, { scoreMod: [null] }, TypeError, "scoreMod"],
  [
    "lengths past the keys",
    DENSE,
    {
      keyLengths: [5, 6],
    },
    RangeError,
    "keyLengths[1] must be <= 5",
    "6",
  ],
  [
    "negative lengths",
    DENSE,
    {
      keyLengths: [-1, 5],
    },
    RangeError,
    "keyLengths[0]",
    "-1",
  ],
  [
    "fractional lengths",
    DENSE,
    {
      keyLengths: [1.5, 5],
    },
    RangeError,
    "keyLengths[0]",
    "1.5",
  ],
  [
    "lengths of another batch",
    DENSE,
    {
      keyLengths: [5],
    },
    TypeError,
    "keyLengths.length must be the number of sequences (2)",
  ],
  ["lengths as a number", DENSE, { keyLengths: 5 }, TypeError, "keyLengths"],
  [
    "cuSeqlens with rank 4",
    DENSE,
    {
      cuSeqlens: [0, 3, 6],
    },
    TypeError,
    "cuSeqlens must not be given",
  ],
  [
    "cuSeqlensKey with rank 4",
    DENSE,
    {
      cuSeqlensKey: [0, 5, 10],
    },
    TypeError,
    "cuSeqlensKey must not be given",
  ],
  [
    "sequences without a cache",
    DENSE,
    {
      sequences: [],
    },
    TypeError,
    "sequences must be given with cache only",
  ],
  [
    "cache of another class",
    DENSE,
    {
      cache: { dtype: "f32" },
    },
    TypeError,
    "cache must be a KvCache",
  ],
  [
    "rank 3 without cuSeqlens",
    RAGGED,
    {
      cuSeqlens: undefined,
    },
    TypeError,
    "cuSeqlens must be given",
  ],
  [
    "cuSeqlens from 1",
    RAGGED,
    {
      cuSeqlens: [1, 7],
    },
    RangeError,
    "cuSeqlens must begin with 0",
    "1",
  ],
  ["cuSeqlens empty", RAGGED, { cuSeqlens: [] }, TypeError, "cuSeqlens"],
  [
    "cuSeqlens descending",
    RAGGED,
    {
      cuSeqlens: [0, 5, 3, 7],
    },
    RangeError,
    "cuSeqlens[2] must be >= 5",
    "3",
  ],
  [
    "cuSeqlens of fewer tokens",
    RAGGED,
    {
      cuSeqlens: [0, 3, 6],
    },
    RangeError,
    "cuSeqlens must end with the number of tokens (7)",
    "6",
  ],
  [
    "cuSeqlens of more tokens",
    RAGGED,
    {
      cuSeqlens: [0, 3, 8],
    },
    RangeError,
    "cuSeqlens",
    "8",
  ],
  [
    "cuSeqlens of fractions",
    RAGGED,
    {
      cuSeqlens: [0, 3.5, 7],
    },
    RangeError,
    "cuSeqlens[1]",
    "3.5",
  ],
  [
    "cuSeqlensKey of another batch",
    RAGGED,
    {
      cuSeqlensKey: [0, 7],
    },
    TypeError,
    "cuSeqlensKey.length must be cuSeqlens' (3)",
    "2",
  ],
  [
    "cuSeqlensKey of fewer tokens",
    RAGGED,
    {
      cuSeqlensKey: [0, 3, 6],
    },
    RangeError,
    "cuSeqlensKey must end with",
  ],
  [
    "table entry out of range",
    PAGED,
    {
      blockTable: Uint32Array.of(1, 6, 3, 5),
    },
    RangeError,
    "blockTable[0, 1] must be < numBlocks (6)",
    "6",
  ],
  [
    "lengths past the table",
    PAGED,
    {
      keyLengths: [5, 9],
    },
    RangeError,
    "keyLengths[1] must be <= 8, the capacity",
    "9",
  ],
  [
    "table without lengths",
    PAGED,
    {
      keyLengths: undefined,
    },
    TypeError,
    "keyLengths must be given with blockTable",
  ],
  [
    "table as an array",
    PAGED,
    {
      blockTable: [1, 2, 3, 5],
    },
    TypeError,
    "blockTable must be a Uint32Array",
  ],
  [
    "table that does not divide",
    PAGED,
    {
      blockTable: Uint32Array.of(1, 2, 3),
    },
    TypeError,
    "blockTable.length must be a multiple",
    "3",
  ],
  [
    "block size 0",
    PAGED,
    {
      key: f32(6, 0, 2, 8),
      value: f32(6, 0, 2, 8),
    },
    RangeError,
    "blockSize must be an integer >= 1",
    "0",
  ],
  [
    "blocks of rank 3",
    PAGED,
    {
      key: f32(24, 2, 8),
    },
    TypeError,
    "key.shape must have rank 4",
  ],
  [
    "table with cuSeqlensKey",
    PAGED,
    {
      cuSeqlensKey: [0, 5, 13],
    },
    TypeError,
    "cuSeqlensKey must not be given",
  ],
  [
    "2^33 elements",
    DENSE,
    {
      query: f32(2 ** 17, 2 ** 13, 1, 8),
    },
    RangeError,
    "query must have < 2^32 elements",
    "8589934592",
  ],
  [
    "4 billion empty sequences",
    DENSE,
    {
      query: f32(2 ** 32 - 1, 0, 4, 8),
    },
    RangeError,
    "query.shape[0]",
    "4294967295",
  ],
];

for (const [what, base, change, ErrorClass, ...words] of REFUSED) {
  Deno.test(`attentionProblem() refuses ${what}`, () => {
    const options = { ...base, ...change } as Options;
    const error = assertThrows(() => attentionProblem(options), ErrorClass);
    for (const word of words) {
      assertEquals(error.message.includes(word), true, error.message);
    }
    if (words.length > 0) {
      assertEquals(/current value is /.test(error.message), true);
    }
  });
}

Deno.test("attentionProblem() refuses what is no object", () => {
  for (const value of [undefined, null, 3]) {
    assertThrows(
      () => attentionProblem(value as unknown as Options),
      TypeError,
      "options must be an object",
    );
  }
});

Deno.test("attentionProblem() takes surplus table entries of any value", () => {
  const { keys } = attentionProblem({
    ...PAGED,
    blockTable: Uint32Array.of(1, 2, 0xffffffff, 3, 5, 99),
  });
  assertEquals(keys.kind === "paged" && keys.tableWidth, 3);
});

Deno.test("attentionProblem() has dropout where any weight is dropped", () => {
  const of = (rate: number) =>
    attentionProblem({ ...DENSE, dropout: { rate, seed: 3 } }).dropout;
  assertEquals(of(0.5), { rate: 0.5, seed: 3 });
  assertEquals(of(0), undefined);
  assertEquals(attentionProblem(DENSE).dropout, undefined);
});

Deno.test("attentionProblem() fills in scale, offset and spans", () => {
  const dense = attentionProblem({ ...DENSE, keyLengths: [4, 0] });
  assertEquals(dense.scale, 1 / Math.sqrt(8));
  assertEquals(dense.valueHeadDim, 6);
  assertEquals(dense.sequences, [
    { queryStart: 0, queryCount: 3, keyStart: 0, keyCount: 4, queryOffset: 1 },
    { queryStart: 3, queryCount: 3, keyStart: 5, keyCount: 0, queryOffset: -3 },
  ]);
  const ragged = attentionProblem({ ...RAGGED, queryOffset: [5, -2] });
  assertEquals(ragged.sequences, [
    { queryStart: 0, queryCount: 3, keyStart: 0, keyCount: 3, queryOffset: 5 },
    { queryStart: 3, queryCount: 4, keyStart: 3, keyCount: 4, queryOffset: -2 },
  ]);
  const paged = attentionProblem(PAGED);
  assertEquals(paged.sequences, [
    { queryStart: 0, queryCount: 1, keyStart: 0, keyCount: 5, queryOffset: 4 },
    { queryStart: 1, queryCount: 1, keyStart: 2, keyCount: 8, queryOffset: 7 },
  ]);
});

Deno.test("attentionProblem() puts softcap before ALiBi before score mods", () => {
  const { scoreMods } = attentionProblem({
    ...DENSE,
    scoreMod: softcap(3),
    alibi: true,
    softcap: 2,
  });
  assertEquals(scoreMods.map(({ name }) => name), [
    "softcap",
    "alibi",
    "softcap",
  ]);
});
