import { assertEquals, assertThrows } from "@std/assert";
import {
  and,
  bindRows,
  blockDiagonal,
  booleanMask,
  causal,
  dilated,
  document,
  emitMods,
  maskFunction,
  type MaskMod,
  maskMod,
  maskRuns,
  type MaskRunsOptions,
  not,
  or,
  prefixLm,
  sinkWindow,
  slidingWindow,
  tree,
} from "../../src/mods/mod.ts";
import { property } from "../support/property.ts";
import { maskCases } from "./masks_arbitrary.ts";
import { boxes, forEachPosition } from "./trees.ts";

const ONE_TILE: MaskRunsOptions = {
  batch: [0, 0],
  head: [0, 0],
  queryStart: 0,
  queryEnd: 1,
  keyLength: 3,
  tileKeys: 4,
};

/** Rows of queries 0..5 against keys 0..5, as text. */
function draw(mask: MaskMod): string[] {
  const sees = maskFunction([mask]);
  return Array.from(
    { length: 6 },
    (_, query) =>
      Array.from({ length: 6 }, (_, key) => sees(0, 0, query, key) ? "x" : ".")
        .join(""),
  );
}

property(
  "masks mean what their definitions say",
  [maskCases, boxes],
  ({ mask, meaning }, box) => {
    const sees = maskFunction([mask]);
    forEachPosition(box, (...at) => assertEquals(sees(...at), meaning(...at)));
  },
  { runs: 400 },
);

Deno.test("masks look as drawn", () => {
  const drawn: [MaskMod, string][] = [
    [causal(), "x..... xx.... xxx... xxxx.. xxxxx. xxxxxx"],
    [
      slidingWindow({ left: 1, right: 2 }),
      "xxx... xxxx.. .xxxx. ..xxxx ...xxx ....xx",
    ],
    [slidingWindow({ right: 0 }), draw(causal()).join(" ")],
    [prefixLm(3), "xxx... xxx... xxx... xxxx.. xxxxx. xxxxxx"],
    [
      document(Int32Array.of(0, 0, 1, 1, 1, 0)),
      "xx...x xx...x ..xxx. ..xxx. ..xxx. xx...x",
    ],
    [
      sinkWindow({ sinks: 1, window: 1 }),
      "x..... xx.... xxx... x.xx.. x..xx. x...xx",
    ],
    [
      dilated({ window: 4, dilation: 2 }),
      "x.x.x. .x.x.x x.x.x. .x.x.x x.x.x. .x.x.x",
    ],
    [blockDiagonal(4), "xxxx.. xxxx.. xxxx.. xxxx.. ....xx ....xx"],
    [
      tree(Int32Array.of(-1, 0, 0, 1), 2),
      "xxx... xxx... xxx... xxxx.. xxx.x. xxxx.x",
    ],
    [not(causal()), ".xxxxx ..xxxx ...xxx ....xx .....x ......"],
  ];
  for (const [mask, rows] of drawn) {
    assertEquals(draw(mask).join(" "), rows, mask.name);
  }
});

Deno.test("booleanMask() goes by rows, or by positions as told", () => {
  const data = Uint8Array.of(1, 0, 0, 0, 1, 1);
  const unbound = booleanMask(data, [2, 3]);
  assertThrows(() => maskFunction([unbound]), TypeError, "must be bound");
  assertThrows(() => maskRuns([unbound], ONE_TILE), TypeError, "must be bound");
  assertThrows(
    () => emitMods({ scoreMods: [], maskMods: [unbound] }),
    TypeError,
    "must be bound",
  );
  const sees = maskFunction(bindRows([unbound], [1]));
  assertEquals([sees(0, 0, 1, 0), sees(0, 0, 2, 0)], [true, false]);
  const each = maskFunction(bindRows([unbound], [1, 0]));
  assertEquals([each(0, 0, 1, 0), each(0, 0, 2, 0)], [true, false]);
  assertEquals([each(1, 0, 0, 0), each(1, 0, 1, 0)], [true, false]);
  const top = maskFunction([booleanMask(data, [2, 3], { queryOffset: 0 })]);
  assertEquals([top(0, 0, 0, 0), top(0, 0, 1, 0)], [true, false]);
});

Deno.test("bindRows() leaves mods alone that do not read the row", () => {
  assertEquals(bindRows([causal()], [5, 7]), [causal()]);
  const [row] = bindRows(
    [maskMod("row", ({ row, key }) => key.le(row).or(row.rem(2).eq(0)))],
    [10, -3],
  );
  const sees = maskFunction([row]);
  assertEquals([sees(0, 0, 11, 1), sees(0, 0, 11, 2)], [true, false]);
  assertEquals([sees(1, 0, -2, 1), sees(1, 0, -2, 2)], [true, false]);
  const given = booleanMask(Uint8Array.of(1, 0), [2, 1]);
  assertThrows(() => bindRows([given], [0.5]), RangeError, "offsets[0]");
});

Deno.test("and() and or() of no masks are all and nothing", () => {
  assertEquals(maskFunction([and()])(0, 0, 0, 9), true);
  assertEquals(maskFunction([or()])(0, 0, 0, 0), false);
  assertEquals(and(causal(), not(or())).name, "and(causal, not(or()))");
});

Deno.test("masks refuse bad parameters", () => {
  // deno-lint-ignore no-explicit-any
  const wrong = (value: unknown): any => value;
  const cases: [() => unknown, typeof Error, string][] = [
    [() => slidingWindow({ left: -1 }), RangeError, "left must be an integer"],
    [() => slidingWindow({ right: 1.5 }), RangeError, "right must be"],
    [() => slidingWindow({ left: wrong("1") }), TypeError, "left must be"],
    [() => prefixLm(-1), RangeError, "lengths must be"],
    [() => prefixLm(new Uint32Array()), RangeError, "prefixLm lengths"],
    [() => document(new Int32Array(4), [3]), TypeError, "document ids shape"],
    [() => document(new Int32Array(4), [1, 2, 2]), TypeError, "1 or 2 dim"],
    [() => sinkWindow({ sinks: -1, window: 1 }), RangeError, "sinks"],
    [() => sinkWindow({ sinks: 1, window: NaN }), RangeError, "window"],
    [() => dilated({ window: 1, dilation: 0 }), RangeError, "dilation"],
    [() => blockDiagonal(0), RangeError, "size must be an integer"],
    [() => tree(wrong([0])), TypeError, "parents must be an Int32Array"],
    [() => tree(Int32Array.of(1)), RangeError, "parents[0] must be"],
    [() => tree(Int32Array.of(1, 0)), RangeError, "must not form a cycle"],
    [() => tree(Int32Array.of(0)), RangeError, "must not form a cycle"],
    [() => tree(Int32Array.of(-1), -1), RangeError, "start must be"],
    [() => booleanMask(new Uint8Array(4), []), TypeError, "1 or 2 or 3 or 4"],
    [() => booleanMask(wrong([1, 0]), [2]), TypeError, "must be a Uint8Array"],
    [() => booleanMask(new Uint8Array(4), [2, 3]), TypeError, "booleanMask"],
    [() => and(causal(), wrong(1)), TypeError, "and[1] must be a mask"],
    [() => not(wrong(undefined)), TypeError, "not() must be given a mask"],
  ];
  for (const [make, kind, message] of cases) {
    assertThrows(make, kind, message);
  }
});
