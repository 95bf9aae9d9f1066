import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  absorb,
  attention,
  finish,
  identity,
  merge,
  mergeRows,
  type Row,
  type State,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import { assertWithin, normals } from "./cases.ts";

const DIMS = 3;

/** Scored values, as a short list of (score, seed of the value). */
type Keys = [number, number][];

const scores = fc.oneof(
  fc.integer({ min: -4, max: 4 }).map((s) => s / 3),
  fc.constantFrom(-1e4, 1e4, 0),
);
const keys: fc.Arbitrary<Keys> = fc.array(fc.tuple(scores, fc.nat(99)), {
  maxLength: 6,
});

const valueOf = (seed: number) => normals(new Prng(seed), DIMS);

function stateOf(list: Keys): State {
  return list.reduce(
    (state, [score, seed]) => absorb(state, score, valueOf(seed)),
    identity(DIMS),
  );
}

/** Attention over the same keys, from the definition. */
function directly(list: Keys): Row {
  const { output, lse } = attention({
    query: [1],
    key: list.map(([score]) => score),
    value: list.flatMap(([, seed]) => [...valueOf(seed)]),
    batch: 1,
    queryLength: 1,
    keyLength: list.length,
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    valueHeadDim: DIMS,
    scale: 1,
  });
  return { output, lse: lse[0] };
}

/**
 * Within a few roundings of float64: values are below 8, and a log-sum-exp of
 * 1e4 itself is known to 1e-12 only, which is what the weights can lose.
 */
function assertSameRow(actual: Row, expected: Row): void {
  assertWithin(
    { output: actual.output, lse: [actual.lse] },
    { output: expected.output, lse: [expected.lse] },
    { output: 8 * 1e4 * 2 ** -51, lse: 1e4 * 2 ** -51 },
  );
}

property("absorb() of all keys is attention", [keys], (list) => {
  assertSameRow(finish(stateOf(list)), directly(list));
});

property("merge() of two parts is the whole", [keys, keys], (a, b) => {
  const merged = merge(stateOf(a), stateOf(b));
  assertSameRow(finish(merged), directly([...a, ...b]));
});

property("merge() is associative", [keys, keys, keys], (a, b, c) => {
  const [x, y, z] = [stateOf(a), stateOf(b), stateOf(c)];
  const left = merge(merge(x, y), z);
  const right = merge(x, merge(y, z));
  assertSameRow(finish(left), finish(right));
});

property("merge() is commutative, bit by bit", [keys, keys], (a, b) => {
  const [x, y] = [stateOf(a), stateOf(b)];
  assertEquals(merge(x, y), merge(y, x));
});

property("merge() with identity() changes not one bit", [keys], (list) => {
  const state = stateOf(list);
  assertEquals(merge(state, identity(DIMS)), state);
  assertEquals(merge(identity(DIMS), state), state);
});

property("mergeRows() of two finished parts is the whole", [
  keys,
  keys,
], (a, b) => {
  const merged = mergeRows(finish(stateOf(a)), finish(stateOf(b)));
  assertSameRow(merged, directly([...a, ...b]));
});

property("mergeRows() is associative", [keys, keys, keys], (a, b, c) => {
  const [x, y, z] = [a, b, c].map((list) => finish(stateOf(list)));
  const left = mergeRows(mergeRows(x, y), z);
  assertSameRow(left, mergeRows(x, mergeRows(y, z)));
});

property(
  "mergeRows() with an empty row changes not one bit",
  [keys],
  (list) => {
    const row = finish(stateOf(list));
    const empty = finish(identity(DIMS));
    assertEquals(mergeRows(row, empty), row);
    assertEquals(mergeRows(empty, row), row);
  },
);

Deno.test("finish() gives 0 and -Infinity to no keys", () => {
  const { output, lse } = finish(identity(2));
  assertEquals([...output, lse], [0, 0, -Infinity]);
});
