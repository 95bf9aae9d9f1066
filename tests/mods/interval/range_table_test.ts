import fc from "fast-check";
import { assertEquals } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import type {
  CapturedBuffer,
  CapturedData,
  ScalarType,
} from "../../../src/mods/nodes.ts";
import type { Interval } from "../../../src/mods/interval/interval_arithmetic.ts";
import { hostDataOf } from "../../../src/mods/captures/device_data.ts";
import { elementRange } from "../../../src/mods/interval/range_table.ts";
import { property } from "../../support/property.ts";

/** Elements of each type, drawn by `random`. */
const DRAWN: Record<
  ScalarType,
  (random: Prng, length: number) => CapturedData
> = {
  f32: (random, length) =>
    Float32Array.from({ length }, () => 8 * random.uniform() - 4),
  i32: (random, length) =>
    Int32Array.from({ length }, () => random.below(2000) - 1000),
  // Runs of equal bits, so that ranges of one kind occur.
  bool: (random, length) => {
    let bit = 0;
    return Uint8Array.from(
      { length },
      () => bit = random.below(8) === 0 ? random.below(256) : bit,
    );
  },
};

/** Lengths about multiples of the table's chunks, of 16 elements. */
const lengths = fc.tuple(fc.nat(12), fc.integer({ min: -1, max: 1 }))
  .map(([chunks, rest]) => Math.max(1, 16 * chunks + rest));

/** A range within `size` elements, which often reaches the first or the last. */
function rangeWithin(size: number): fc.Arbitrary<Interval> {
  const ends = fc.oneof(fc.nat(size - 1), fc.constantFrom(0, size - 1));
  return fc.tuple(ends, ends).map(([a, b]) => [
    Math.min(a, b),
    Math.max(a, b),
  ]);
}

/**
 * A buffer of one to three dimensions and a range of each. In sorted data the
 * extremes lie at a range's ends, where they are missed most easily.
 */
const queries = fc.record({
  type: fc.constantFrom<ScalarType>("f32", "i32", "bool"),
  seed: fc.nat(),
  sorted: fc.boolean(),
  shape: fc.oneof(
    fc.tuple(lengths),
    fc.tuple(fc.integer({ min: 1, max: 4 }), lengths),
    fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      lengths,
    ),
  ),
}).chain(({ type, seed, sorted, shape }) => {
  const data = DRAWN[type](new Prng(seed), shape.reduce((a, b) => a * b));
  if (sorted) data.sort();
  return fc.record({
    buffer: fc.constant<CapturedBuffer>({ type, shape, data, name: "random" }),
    ranges: fc.tuple(...shape.map(rangeWithin)),
  });
});

/** Every element of a range, by walking it. */
function elements(
  buffer: CapturedBuffer,
  ranges: readonly Interval[],
): number[] {
  const { shape, type } = buffer;
  const data = hostDataOf(buffer);
  let places = [0];
  for (const [axis, [low, high]] of ranges.entries()) {
    places = places.flatMap((place) =>
      Array.from(
        { length: high - low + 1 },
        (_, i) => place * shape[axis] + low + i,
      )
    );
  }
  return places.map((place) =>
    type === "bool" ? Number(data[place] !== 0) : data[place]
  );
}

property(
  "elementRange() is the least and the greatest element, exactly",
  [queries],
  ({ buffer, ranges }) => {
    const found = elements(buffer, ranges);
    assertEquals(elementRange(buffer, ranges), [
      Math.min(...found),
      Math.max(...found),
    ]);
  },
  { runs: 500 },
);
