/**
 * Wrong usages, as people who come from elsewhere try them. Each is refused
 * with the argument as it was written, the rule, the value and the cure.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import {
  additiveBias,
  alibi,
  attentionProblem,
  booleanMask,
  causal,
  maskMod,
  scoreMod,
  slidingWindow,
  softcap,
  type TensorShape,
} from "../../../../mod.ts";
import { checkChoices } from "../../../../src/ops/attention/options/choices.ts";

type Kind = typeof TypeError | typeof RangeError;

/** [what is tried, the class, the argument, the rule, the cure, the value]. */
type Row = readonly [
  attempt: string,
  run: () => unknown,
  kind: Kind,
  argument: string,
  rule: string,
  cure: string,
  value: string,
];

const f32 = (...shape: number[]): TensorShape => ({ dtype: "f32", shape });

const DENSE = {
  query: f32(2, 3, 4, 8),
  key: f32(2, 5, 2, 8),
  value: f32(2, 5, 2, 8),
};
const RAGGED = {
  query: f32(7, 4, 8),
  key: f32(7, 2, 8),
  value: f32(7, 2, 8),
  cuSeqlens: [0, 3, 7],
};
const PAGED = {
  query: f32(2, 1, 4, 8),
  key: f32(6, 4, 2, 8),
  value: f32(6, 4, 2, 8),
  blockTable: Uint32Array.of(1, 2, 3, 5),
  keyLengths: [5, 8],
};

// deno-lint-ignore no-explicit-any
type Any = any;

const dense = (change: object) => () =>
  attentionProblem({ ...DENSE, ...change } as Any);
const ragged = (change: object) => () =>
  attentionProblem({ ...RAGGED, ...change } as Any);
const paged = (change: object) => () =>
  attentionProblem({ ...PAGED, ...change } as Any);
const choose = (choices: object) => () =>
  checkChoices(choices as Any, { software: true });
const mask = (data: unknown, shape: unknown) =>
  dense({ attnMask: { data, shape } });
const ones = (n: number) => new Uint8Array(n).fill(1);

/** A name that attention() does not have; `cure` is what it should write. */
const unknown = (
  name: string,
  value: unknown,
  cure: string,
  shown = String(value),
): Row => [
  `${name} as an option`,
  dense({ [name]: value }),
  TypeError,
  name,
  "must not be given, as attention() has no such option",
  cure,
  shown,
];

const ROWS: readonly Row[] = [
  // Names of other libraries.
  unknown("isCausal", true, "write causal"),
  unknown("is_causal", true, "write causal"),
  unknown("dropout_p", 0, "write dropout: { rate, seed }"),
  unknown("dropoutRate", 0.1, "write dropout: { rate, seed }"),
  unknown("training", true, "dropout is where it is given"),
  unknown("attn_mask", null, "write attnMask"),
  unknown("attnmask", null, "write attnMask"),
  unknown("attention_mask", null, "write attnMask: { data, shape }"),
  unknown("mask", null, "write attnMask: { data, shape }"),
  unknown("attn_bias", null, "write attnMask: { data, shape }"),
  unknown("key_padding_mask", null, "write keyLengths"),
  unknown("softmax_scale", 0.1, "write scale"),
  unknown("softmaxScale", 0.1, "write scale"),
  unknown("sm_scale", 0.1, "write scale"),
  unknown("window_size", [16, 0], "write window: { left, right }", "[16, 0]"),
  unknown("alibi_slopes", null, "write alibi"),
  unknown("logits_soft_cap", 30, "write softcap"),
  unknown("num_heads", 4, "the shapes say it"),
  unknown("numHeads", 4, "the shapes say it"),
  unknown("enable_gqa", true, "heads may always share keys"),
  unknown("cu_seqlens_q", [0, 3], "write cuSeqlens", "[0, 3]"),
  unknown("cu_seqlens_k", [0, 5], "write cuSeqlensKey", "[0, 5]"),
  unknown("max_seqlen_q", 3, "cuSeqlens says it"),
  unknown("cache_seqlens", [5], "write keyLengths", "[5]"),
  unknown("block_table", null, "write blockTable"),
  unknown("page_table", null, "write blockTable"),
  unknown("k_cache", null, "write key, or cache and sequences"),
  unknown("past_key", null, "write key with the past in it"),
  unknown("score_mod", null, "write scoreMod"),
  unknown("block_mask", null, "write blockMask"),
  unknown("return_lse", true, "write returnLse"),
  unknown("need_weights", true, "write returnLse"),
  unknown("deterministic", true, "see invariant"),
  unknown("num_splits", 2, "write splits"),
  unknown("output", null, "encode() of a plan"),
  // Slips of the pen.
  unknown("casual", true, "write causal"),
  unknown("queryOffest", 0, "write queryOffset"),
  unknown("keyLength", [3, 4], "write keyLengths", "[3, 4]"),
  unknown("colour", "red", "its options are query, key, value", '"red"'),
  // Values by which others mean that something is off.
  [
    "softcap 0",
    dense({ softcap: 0 }),
    RangeError,
    "softcap",
    "must be a float32 above 0",
    "leave it out for none",
    "0",
  ],
  [
    "softcap null",
    dense({ softcap: null }),
    TypeError,
    "softcap",
    "must be a number",
    "leave it out for none",
    "null",
  ],
  [
    "softcap infinite",
    dense({ softcap: Infinity }),
    RangeError,
    "softcap",
    "must be a float32 above 0",
    "leave it out for none",
    "Infinity",
  ],
  [
    "window.left -1",
    dense({ window: { left: -1, right: 0 } }),
    RangeError,
    "window.left",
    "must be an integer >= 0",
    "leave it out for no bound",
    "-1",
  ],
  [
    "window.right infinite",
    dense({ window: { right: Infinity } }),
    RangeError,
    "window.right",
    "must be an integer >= 0",
    "leave it out for no bound",
    "Infinity",
  ],
  [
    "window.left null",
    dense({ window: { left: null } }),
    TypeError,
    "window.left",
    "must be an integer",
    "leave it out for no bound",
    "null",
  ],
  [
    "window as a pair",
    dense({ window: [16, 0] }),
    TypeError,
    "window",
    "must be { left, right }",
    "how many keys are seen before and after",
    "[16, 0]",
  ],
  [
    "window as a number",
    dense({ window: 16 }),
    TypeError,
    "window",
    "must be { left, right }",
    "how many keys are seen before and after",
    "16",
  ],
  [
    "window by other names",
    dense({ window: { before: 16 } }),
    TypeError,
    "before",
    "must not be given, as window has no such option",
    "write left",
    "16",
  ],
  [
    "slidingWindow() of a slip",
    () => slidingWindow({ lef: 16 } as Any),
    TypeError,
    "lef",
    "must not be given, as slidingWindow() has no such option",
    "write left",
    "16",
  ],
  // Masks and biases.
  [
    "mask of fewer keys",
    dense({ maskMod: booleanMask(ones(12), [3, 4]) }),
    TypeError,
    "booleanMask shape",
    "must broadcast to [batch, heads, queries, keys], here [2, 4, 3, 5]",
    "keys must be 5 or 1, not 4",
    "[3, 4]",
  ],
  [
    "mask of keys by queries",
    dense({ maskMod: booleanMask(ones(15), [5, 3]) }),
    TypeError,
    "booleanMask shape",
    "must broadcast to [batch, heads, queries, keys], here [2, 4, 3, 5]",
    "queries must be 3 or 1, not 5",
    "[5, 3]",
  ],
  [
    "padding mask of [batch, keys]",
    mask(ones(10), [2, 5]),
    TypeError,
    "attnMask shape",
    "must broadcast to [batch, heads, queries, keys]",
    "queries must be 3 or 1, not 2",
    "[2, 5]",
  ],
  [
    "mask of batch * heads",
    mask(ones(120), [8, 3, 5]),
    TypeError,
    "attnMask shape",
    "must broadcast to [batch, heads, queries, keys]",
    "heads must be 4 or 1, not 8",
    "[8, 3, 5]",
  ],
  [
    "mask of rank 5",
    mask(ones(15), [1, 1, 1, 3, 5]),
    TypeError,
    "attnMask shape",
    "must have 1 or 2 or 3 or 4 dimensions",
    "1 or 2 or 3 or 4",
    "[1, 1, 1, 3, 5]",
  ],
  [
    "mask shorter than its shape",
    mask(ones(14), [3, 5]),
    TypeError,
    "attnMask shape",
    "must have as many elements as the data",
    "(14)",
    "[3, 5]",
  ],
  [
    "mask of numbers",
    mask([1, 0, 1, 1, 1], [5]),
    TypeError,
    "attnMask.data[0]",
    "must be a boolean",
    "give numbers as a Float32Array",
    "1",
  ],
  [
    "mask of int64",
    mask(new BigInt64Array(5), [5]),
    TypeError,
    "attnMask.data",
    "must be a Uint8Array or booleans",
    "or a Float32Array, a Float16Array",
    "BigInt64Array(5)",
  ],
  [
    "mask without a shape",
    dense({ attnMask: ones(15) }),
    TypeError,
    "attnMask",
    "must be",
    "{ data, shape }",
    "Uint8Array(15)",
  ],
  [
    "mask with NaN",
    mask(Float32Array.of(0, NaN, 0, 0, 0), [5]),
    RangeError,
    "attnMask.data[1]",
    "must be finite",
    "or -Infinity to hide a key",
    "NaN",
  ],
  [
    "bias with -Infinity",
    () => additiveBias(Float32Array.of(0, -Infinity), [2]),
    RangeError,
    "additiveBias data[1]",
    "must be finite",
    "(a mask, not a score of -Infinity, hides a key)",
    "-Infinity",
  ],
  [
    "mask of booleans as booleanMask()",
    () => booleanMask([true, false] as Any, [2]),
    TypeError,
    "booleanMask data",
    "must be a Uint8Array",
    "nonzero where a key is seen",
    "[true, false]",
  ],
  [
    "one of two offsets",
    dense({ maskMod: booleanMask(ones(15), [3, 5], { queryOffset: 0 }) }),
    TypeError,
    "booleanMask shape",
    "must have a row for each query's position",
    "leave queryOffset out where row i is query i's",
    "[3, 5]",
  ],
  [
    "offset of a mask by another name",
    () => booleanMask(ones(15), [3, 5], { offset: 0 } as Any),
    TypeError,
    "offset",
    "must not be given, as booleanMask() has no such option",
    "write queryOffset",
    "0",
  ],
  [
    "slopes of other heads",
    dense({ scoreMod: alibi(new Float32Array(3)) }),
    TypeError,
    "alibi slopes shape",
    "must broadcast to [batch, heads, queries, keys]",
    "heads must be 4 or 1, not 3",
    "[3]",
  ],
  [
    "a function as a mask",
    dense({ maskMod: () => true }),
    TypeError,
    "maskMod",
    "must be made by maskMod()",
    "or be a shipped mask mod",
    "a function",
  ],
  [
    "a shipped mod that is not called",
    dense({ maskMod: causal }),
    TypeError,
    "maskMod",
    "must be made by maskMod()",
    "or be a shipped mask mod",
    "a function",
  ],
  [
    "a score mod as a mask",
    dense({ maskMod: softcap(1) }),
    TypeError,
    "maskMod",
    "must be made by maskMod()",
    "or be a shipped mask mod",
    "Object",
  ],
  [
    "heads before tokens without a word",
    dense({
      query: f32(1, 4, 10, 8),
      key: f32(1, 4, 12, 8),
      value: f32(1, 4, 12, 8),
    }),
    RangeError,
    "queryHeads",
    "shapes are read as [batch, sequence, heads, headDim]",
    'with layout: "bhsd" as [batch, heads, sequence, headDim]',
    "10",
  ],
  [
    "strides in bytes",
    dense({ query: { ...f32(2, 3, 4, 8), strides: [384, 128, 32, 4] } }),
    TypeError,
    "query.strides[3]",
    "must be 1 (strides are in elements, not bytes)",
    "copy it to be so, or check layout where heads come first",
    "4",
  ],
  [
    "strides as an option",
    dense({ strides: [96, 32, 8] }),
    TypeError,
    "strides",
    "must not be given, as attention() has no such option",
    "write query: { tensor, shape, strides, offset }",
    "[96, 32, 8]",
  ],
  [
    "an output that overlaps itself",
    dense({ outputStrides: [96, 16, 8] }),
    RangeError,
    "outputStrides[1]",
    "must be >= 32",
    "so that rows which are written do not overlap",
    "16",
  ],
  [
    "bits of a mask without their dtype",
    mask(new Uint16Array(5), [5]),
    TypeError,
    "attnMask dtype",
    'must be "bf16" or "f16"',
    "as its data are a Uint16Array of bits",
    "undefined",
  ],
  // Mods.
  [
    "? : in a mod",
    () => scoreMod("m", ({ score, query }) => query.lt(3) ? score : score),
    TypeError,
    "score mod m",
    "must use each condition that it makes",
    "write condition.select(a, b) for condition ? a : b",
    '".lt() that is not used"',
  ],
  [
    "&& in a mod",
    () => maskMod("m", ({ query, key }) => query.lt(3) && key.lt(3)),
    TypeError,
    "mask mod m",
    "must use each condition that it makes",
    "a.and(b) for a && b",
    '".lt() that is not used"',
  ],
  [
    "+ in a mod",
    () => scoreMod("m", ({ score }) => (score as Any) + 1),
    TypeError,
    "a Float",
    "must not be given to JavaScript's own operators",
    "a.add(b)",
    "an expression",
  ],
  [
    "< in a mod",
    () => maskMod("m", ({ query, key }) => (key < query) as Any),
    TypeError,
    "an Int",
    "must not be given to JavaScript's own operators",
    "a.lt(b)",
    "an expression",
  ],
  [
    "=== in a mod",
    () => maskMod("m", ({ query, key }) => (key === query) as Any),
    TypeError,
    "mask mod m",
    "must return a Bool",
    "a Bool",
    "false",
  ],
  [
    "an Int where a Float belongs",
    () => scoreMod("m", ({ score, key }) => score.add(key as Any)),
    TypeError,
    "add() operand",
    "must be a Float or a number",
    "convert it with toFloat()",
    "Int",
  ],
  // Lengths, offsets and tables.
  [
    "lengths as a bigint that is too large",
    dense({ keyLengths: [5n, 2n ** 40n] }),
    RangeError,
    "keyLengths[1]",
    "must be an integer in",
    "4294967295",
    "1099511627776",
  ],
  [
    "lengths of float32",
    dense({ keyLengths: Float32Array.of(5, 5) }),
    TypeError,
    "keyLengths",
    "must be an array of integers",
    "integers",
    "Float32Array(2)",
  ],
  [
    "lengths past the keys",
    dense({ keyLengths: [5, 6] }),
    RangeError,
    "keyLengths[1]",
    "must be <= 5",
    "the capacity of the sequence",
    "6",
  ],
  [
    "lengths as a number",
    dense({ keyLengths: 5 }),
    TypeError,
    "keyLengths",
    "must be an array of integers",
    "an array",
    "5",
  ],
  [
    "cuSeqlens that are lengths",
    ragged({ cuSeqlens: [3, 4] }),
    RangeError,
    "cuSeqlens",
    "must begin with 0",
    "begin with 0",
    "3",
  ],
  [
    "cuSeqlens without its end",
    ragged({ cuSeqlens: [0, 3] }),
    RangeError,
    "cuSeqlens",
    "must end with the number of tokens",
    "(7)",
    "3",
  ],
  [
    "rank 3 without cuSeqlens",
    ragged({ cuSeqlens: undefined }),
    TypeError,
    "cuSeqlens",
    "must be given",
    "with a query of rank 3",
    "undefined",
  ],
  [
    "an offset past i32 among several",
    dense({ queryOffset: [0, 2 ** 31] }),
    RangeError,
    "queryOffset[1]",
    "must be an integer in",
    "2147483647",
    "2147483648",
  ],
  [
    "a table without lengths",
    paged({ keyLengths: undefined }),
    TypeError,
    "keyLengths",
    "must be given",
    "with blockTable",
    "undefined",
  ],
  [
    "a table of -1 for no block",
    paged({ blockTable: Uint32Array.of(1, 2 ** 32 - 1, 3, 5) }),
    RangeError,
    "blockTable[0, 1]",
    "must be < numBlocks",
    "(6)",
    "4294967295",
  ],
  [
    "sequences without a cache",
    dense({ sequences: [] }),
    TypeError,
    "sequences",
    "must be given with cache only",
    "with cache",
    "[]",
  ],
  // Choices.
  [
    "splits auto of an invariant plan",
    choose({ invariant: true, splits: "auto" }),
    TypeError,
    "splits",
    'must be "fixed"',
    "for a plan that is invariant",
    '"auto"',
  ],
  [
    "algorithm flash",
    choose({ algorithm: "flash" }),
    TypeError,
    "algorithm",
    'must be "fused" or "standard" or "fa1"',
    '"fused" or "standard" or "fa1"',
    '"flash"',
  ],
  [
    "causal as a number",
    dense({ causal: 1 }),
    TypeError,
    "causal",
    "must be a boolean",
    "a boolean",
    "1",
  ],
  [
    "slope NaN",
    dense({ alibi: Float32Array.of(1, 1, NaN, 1) }),
    RangeError,
    "alibi[2]",
    "must be finite",
    "finite",
    "NaN",
  ],
];

for (const [attempt, run, kind, argument, rule, cure, value] of ROWS) {
  Deno.test(`bad input: ${attempt}`, () => {
    const { message } = assertThrows(run, kind);
    assertEquals(message.startsWith(`${argument} `), true, message);
    for (const part of [rule, cure, `current value is ${value}`]) {
      assertEquals(message.includes(part), true, `${part}\n${message}`);
    }
  });
}

Deno.test("bad input: at least 60 wrong usages are tried", () => {
  assertEquals(ROWS.length >= 60, true, `${ROWS.length}`);
});

Deno.test("lengths and offsets may be bigints", () => {
  const plain = attentionProblem({
    ...DENSE,
    keyLengths: [3, 4],
    queryOffset: [-1, 2],
  });
  for (
    const of of [
      (...all: number[]) => all.map(BigInt),
      (...all: number[]) => BigInt64Array.from(all, BigInt),
    ]
  ) {
    const { sequences } = attentionProblem({
      ...DENSE,
      keyLengths: of(3, 4),
      queryOffset: of(-1, 2),
    });
    assertEquals(sequences, plain.sequences);
  }
  assertEquals(
    attentionProblem({ ...RAGGED, cuSeqlens: BigUint64Array.of(0n, 3n, 7n) })
      .sequences,
    attentionProblem(RAGGED).sequences,
  );
  assertEquals(
    attentionProblem({ ...DENSE, queryOffset: 2n }).sequences,
    attentionProblem({ ...DENSE, queryOffset: 2 }).sequences,
  );
});
