/** Random expression trees, and how to walk a box of positions. */

import fc from "fast-check";
import {
  type Bool,
  type Capture,
  capture,
  type Float,
  float,
  type Int,
  int,
  type Interval,
  type PositionRanges,
  scoreMod,
  type ScoreVariables,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";

/** The variables as expressions, got by tracing. */
export const variables: ScoreVariables = (() => {
  let found: ScoreVariables | undefined;
  scoreMod("variables", (all) => {
    found = all;
    return all.score;
  });
  return found!;
})();

const { score, batch, head, query, key } = variables;

const floats = capture(Float32Array.of(-2, 0.5, 1.25, 0, 1.9, -0.75), {
  shape: [2, 3],
});
const ints = capture(Int32Array.of(3, -1, 0, 7, 7, -4, 2));
const words = capture(Uint32Array.of(0, 1, 5, 2, 9, 3, 3, 8), {
  shape: [2, 2, 2],
});
const bits = capture(
  Uint8Array.from({ length: 45 }, (_, i) => (i * i) % 3 === 1 ? 1 : 0),
  { shape: [5, 9] },
);

interface Trees {
  float: Float;
  int: Int;
  bool: Bool;
}

function pairs<A, B, T>(
  a: fc.Arbitrary<A>,
  b: fc.Arbitrary<B>,
  operations: readonly ((a: A, b: B) => T)[],
): fc.Arbitrary<T> {
  return fc.tuple(fc.constantFrom(...operations), a, b).map(([f, x, y]) =>
    f(x, y)
  );
}

function singles<A, T>(
  a: fc.Arbitrary<A>,
  operations: readonly ((a: A) => T)[],
): fc.Arbitrary<T> {
  return fc.tuple(fc.constantFrom(...operations), a).map(([f, x]) => f(x));
}

/** A line through positions, as `2 (query - key) - 3`. */
const lines: fc.Arbitrary<Int> = fc.record({
  position: fc.constantFrom(
    key,
    query,
    query.sub(key),
    key.sub(query),
    query.add(key),
    key.sub(head),
    batch.sub(query),
  ),
  slope: fc.constantFrom(1, 1, 1, 2, 3, -2),
  offset: fc.integer({ min: -6, max: 6 }),
}).map(({ position, slope, offset }) => position.mul(slope).add(offset));

/** Where on a line a period ends, rounded towards zero; divisors may be 0. */
const periods: fc.Arbitrary<Int> = fc.tuple(
  fc.constantFrom("rem", "rem", "div"),
  lines,
  fc.integer({ min: -7, max: 7 }),
).map(([operation, line, divisor]) => line[operation](divisor));

/** Whether it ends there, or so far before or behind. */
const remainders: fc.Arbitrary<Bool> = fc.tuple(
  periods,
  fc.constantFrom(0, 0, 1, -1, 3),
).map(([period, rest]) => period.eq(rest));

/** Integers of any sign, in one long row or in several. */
const tables: fc.Arbitrary<Capture<Int>> = fc.record({
  seed: fc.nat(),
  rows: fc.integer({ min: 1, max: 3 }),
  length: fc.integer({ min: 1, max: 150 }),
}).map(({ seed, rows, length }) => {
  const random = new Prng(seed);
  const data = Int32Array.from(
    { length: rows * length },
    () => random.below(41) - 20,
  );
  return capture(data, { shape: [rows, length] });
});

const lookups: fc.Arbitrary<Int> = fc.tuple(
  tables,
  fc.constantFrom(batch, head, int(0)),
  lines,
).map(([table, row, line]) => table.at(row, line));

/**
 * Trees of every operation over `leaf` and positions. Float operations are
 * guarded, so that finite scores give finite values; integers divide by
 * anything and overflow.
 */
function treesOver(
  leaf: Float,
): { [Type in keyof Trees]: fc.Arbitrary<Trees[Type]> } {
  return fc.letrec<Trees>((tie: fc.LetrecTypedTie<Trees>) => ({
    float: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constant(leaf),
      fc.integer({ min: -24, max: 24 }).map((n) => float(n / 8)),
      pairs(tie("float"), tie("float"), [
        (a, b) => a.add(b),
        (a, b) => a.sub(b),
        (a, b) => a.mul(b),
        (a, b) => a.div(b.abs().add(0.5)),
        (a, b) => a.min(b),
        (a, b) => a.max(b),
      ]),
      singles(tie("float"), [
        (a) => a.neg(),
        (a) => a.abs(),
        (a) => a.min(4).exp(),
        (a) => a.abs().add(0.25).log(),
        (a) => a.abs().sqrt(),
        (a) => a.tanh(),
        (a) => a.floor(),
        (a) => a.mul(a).add(a),
      ]),
      singles(tie("int"), [(a) => a.toFloat()]),
      pairs(tie("int"), tie("int"), [(i, j) => floats.at(i, j)]),
      fc.tuple(tie("bool"), tie("float"), tie("float")).map(([c, a, b]) =>
        c.select(a, b)
      ),
    ),
    int: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom(batch, head, query, key),
      fc.integer({ min: -6, max: 6 }).map(int),
      fc.constantFrom(2 ** 31 - 1, -(2 ** 31), 2 ** 30).map(int),
      lines,
      { weight: 2, arbitrary: periods },
      { weight: 2, arbitrary: lookups },
      pairs(tie("int"), tie("int"), [
        (a, b) => a.add(b),
        (a, b) => a.sub(b),
        (a, b) => a.mul(b),
        (a, b) => a.div(b),
        (a, b) => a.rem(b),
        (a, b) => a.xor(b),
        (a, b) => a.shr(b),
        (a, b) => a.min(b),
        (a, b) => a.max(b),
      ]),
      singles(tie("int"), [
        (a) => a.neg(),
        (a) => a.abs(),
        (a) => ints.at(a),
        (a) => words.at(a, key, a.sub(1)),
        (a) => a.mul(a),
      ]),
      fc.tuple(tie("bool"), tie("int"), tie("int")).map(([c, a, b]) =>
        c.select(a, b)
      ),
    ),
    bool: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      pairs(tie("int"), tie("int"), [
        (a, b) => a.lt(b),
        (a, b) => a.le(b),
        (a, b) => a.gt(b),
        (a, b) => a.ge(b),
        (a, b) => a.eq(b),
        (a, b) => a.ne(b),
        (a, b) => bits.at(a, b),
      ]),
      pairs(tie("float"), tie("float"), [
        (a, b) => a.lt(b),
        (a, b) => a.le(b),
        (a, b) => a.gt(b),
        (a, b) => a.ge(b),
        (a, b) => a.eq(b),
        (a, b) => a.ne(b),
      ]),
      pairs(tie("bool"), tie("bool"), [
        (a, b) => a.and(b),
        (a, b) => a.or(b),
        (a, b) => a.not().and(b),
      ]),
      fc.tuple(tie("bool"), tie("bool"), tie("bool")).map(([c, a, b]) =>
        c.select(a, b)
      ),
      { weight: 2, arbitrary: remainders },
    ),
  }));
}

/** Trees that may depend on the score. */
export const trees = treesOver(score);

/** Trees that do not, as those of masks. */
export const maskTrees = treesOver(query.sub(key).toFloat());

/** An inclusive range of at most `width` steps. */
export function interval(
  min: number,
  max: number,
  width: number,
): fc.Arbitrary<Interval> {
  return fc.tuple(fc.integer({ min, max }), fc.nat(width)).map((
    [low, steps],
  ) => [low, low + steps] as const);
}

/** A small box of positions; queries may come before every key. */
export const boxes: fc.Arbitrary<PositionRanges> = fc.record({
  batch: interval(0, 2, 1),
  head: interval(0, 3, 1),
  query: interval(-3, 12, 4),
  key: interval(0, 12, 4),
});

/** Narrow or wide ranges of positions of any sign. */
export const wideBoxes: fc.Arbitrary<PositionRanges> = fc.record({
  batch: interval(-1, 2, 1),
  head: interval(-1, 3, 1),
  query: fc.oneof(interval(-12, 12, 4), interval(-40, 20, 12)),
  key: fc.oneof(interval(-12, 12, 4), interval(-20, 60, 100)),
});

/** Calls `visit` for every position of a box. */
export function forEachPosition(
  box: PositionRanges,
  visit: (batch: number, head: number, query: number, key: number) => void,
): void {
  for (let b = box.batch[0]; b <= box.batch[1]; b++) {
    for (let h = box.head[0]; h <= box.head[1]; h++) {
      for (let q = box.query[0]; q <= box.query[1]; q++) {
        for (let k = box.key[0]; k <= box.key[1]; k++) visit(b, h, q, k);
      }
    }
  }
}
