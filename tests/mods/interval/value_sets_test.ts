import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import {
  capture,
  classifyMask,
  type Interval,
  maskMod,
} from "../../../src/mods/mod.ts";
import type { CapturedBuffer } from "../../../src/mods/nodes.ts";
import {
  haveNothingInCommon,
  loadedFrom,
} from "../../../src/mods/interval/value_sets.ts";
import { property } from "../../support/property.ts";

const part = (size: number) =>
  fc.tuple(fc.nat(size - 1), fc.nat(size - 1)).map((
    [a, b],
  ): Interval => [Math.min(a, b), Math.max(a, b)]);

/** Values that come in runs, of a few neighbours or of any. */
function valuesOf(random: Prng, length: number, far: boolean): Int32Array {
  let value = 0;
  return Int32Array.from({ length }, () => {
    if (random.below(20) === 0) {
      value = far ? random.below(2 ** 32) - 2 ** 31 : random.below(250);
    }
    return value;
  });
}

const cases = fc.record({
  seed: fc.nat(),
  far: fc.boolean(),
  rows: fc.integer({ min: 1, max: 3 }),
  columns: fc.constantFrom(1, 63, 64, 65, 200, 700),
}).chain(({ seed, far, rows, columns }) =>
  fc.record({
    far: fc.constant(far),
    buffer: fc.constant<CapturedBuffer>({
      type: "i32",
      shape: [rows, columns],
      data: valuesOf(new Prng(seed), rows * columns, far),
      name: "random",
    }),
    left: fc.tuple(part(rows), part(columns)),
    right: fc.tuple(part(rows), part(columns)),
  })
);

function elements(
  { data, shape: [, columns] }: CapturedBuffer,
  [rows, within]: readonly [Interval, Interval],
): number[] {
  const found: number[] = [];
  for (let r = rows[0]; r <= rows[1]; r++) {
    for (let c = within[0]; c <= within[1]; c++) {
      found.push((data as Int32Array)[r * columns + c]);
    }
  }
  return found;
}

property(
  "haveNothingInCommon() is never wrong, and tells all of a few values",
  [cases],
  ({ far, buffer, left, right }) => {
    const [a, b] = [left, right].map((ranges) => elements(buffer, ranges));
    const interval = (values: readonly number[], ranges: readonly Interval[]) =>
      loadedFrom(
        [Math.min(...values), Math.max(...values)],
        buffer,
        ranges,
      );
    const other = new Set(b);
    const apart = a.every((value) => !other.has(value));
    const told = haveNothingInCommon(interval(a, left), interval(b, right));
    assert(!told || apart, "told wrongly");
    if (!far) assertEquals(told, apart);
    // One of them may be a number.
    const value = b[0];
    const alone = haveNothingInCommon(interval(a, left), [value, value]);
    assert(!alone || !a.includes(value), "told wrongly of a number");
    if (!far) assertEquals(alone, !a.includes(value));
  },
);

Deno.test("haveNothingInCommon() tells a range's ends from what is beside them", () => {
  const length = 200;
  const buffer: CapturedBuffer = {
    type: "i32",
    shape: [length],
    data: Int32Array.from({ length }, (_, i) => i),
    name: "places",
  };
  for (let low = 0; low < length; low += 1 + low % 3) {
    for (let high = low + 1; high < length; high++) {
      const range = loadedFrom([low, high], buffer, [[low, high]]);
      const apart = [low - 1, low, high, high + 1].map((value) =>
        haveNothingInCommon(range, [value, value])
      );
      assertEquals(apart, [true, false, false, true], `${low}..${high}`);
    }
  }
});

Deno.test("haveNothingInCommon() knows nothing of other intervals", () => {
  assertEquals(haveNothingInCommon([0, 4], [5, 9]), false);
  assertEquals(haveNothingInCommon([NaN, NaN], [5, 5]), false);
});

Deno.test("values are told of look-ups, and of nothing that is made of them", () => {
  const ids = capture(Int32Array.of(1, 5, 1, 5, 3, 3, 9, 0), { name: "ids" });
  const at = { batch: [0, 0], head: [0, 0] } as const;
  const found = (
    mask: Parameters<typeof maskMod>[1],
    query: Interval,
    key: Interval,
  ) => classifyMask([maskMod("test", mask)], { ...at, query, key });
  // 1 and 5, 3 between them.
  for (
    const [mask, kinds] of [
      [({ query, key }) => ids.at(query).eq(ids.at(key)), ["none", "some"]],
      [({ query, key }) => ids.at(query).ne(ids.at(key)), ["all", "some"]],
      [({ query }) => ids.at(query).eq(3), ["none", "none"]],
      // 2 and 6, as far as ranges tell, may be 3.
      [({ query }) => ids.at(query).add(1).eq(3), ["some", "some"]],
      [
        ({ query, key }) => ids.at(query).toFloat().eq(ids.at(key).toFloat()),
        ["none", "some"],
      ],
      [
        ({ query, key }) => ids.at(query).abs().eq(ids.at(key)),
        ["some", "some"],
      ],
      [
        ({ query, key }) => ids.at(query).sub(6).abs().eq(ids.at(key)),
        ["some", "some"],
      ],
    ] as [Parameters<typeof maskMod>[1], string[]][]
  ) {
    assertEquals(
      [found(mask, [0, 3], [4, 5]), found(mask, [0, 3], [3, 7])],
      kinds,
      mask.toString(),
    );
  }
});
