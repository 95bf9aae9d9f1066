import fc from "fast-check";
import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  alibi,
  capture,
  causal,
  classifyMask,
  dilated,
  document,
  type Expression,
  float,
  type Interval,
  maskFunction,
  maskMod,
  type PositionRanges,
  prefixLm,
  scoreMod,
} from "../../../src/mods/mod.ts";
import { intervalEvaluator } from "../../../src/mods/interval/interval.ts";
import { modsDependOn } from "../../../src/mods/trace.ts";
import { evaluator } from "../../../src/mods/evaluate.ts";
import { property } from "../../support/property.ts";
import { maskCases } from "../masks_arbitrary.ts";
import {
  boxes,
  forEachPosition,
  interval,
  maskTrees,
  trees,
  wideBoxes,
} from "../trees.ts";

const SCORES: Interval = [-2.5, 3];

function holdsEveryValue(
  tree: Expression,
  box: PositionRanges,
  scores: readonly number[] = [-2.5, -0.3, 0, 1, 3],
): void {
  const [low, high] = intervalEvaluator(tree.node)({ ...box, score: SCORES });
  if (Number.isNaN(low)) {
    assert(Number.isNaN(high));
    return;
  }
  const evaluate = evaluator(tree.node);
  for (const score of scores) {
    forEachPosition(box, (...at) => {
      const value = evaluate(score, ...at);
      assert(
        low <= value && value <= high,
        `${value} is outside ${low}..${high} at ${[score, ...at]}`,
      );
    });
  }
}

property(
  "intervalEvaluator() holds every float value of a box",
  [trees.float, boxes],
  holdsEveryValue,
  { runs: 300 },
);

property(
  "intervalEvaluator() holds every integer value of a box",
  [trees.int, boxes],
  holdsEveryValue,
  { runs: 300 },
);

property(
  "intervalEvaluator() holds every boolean value of a box",
  [trees.bool, boxes],
  holdsEveryValue,
  { runs: 300 },
);

property(
  "intervalEvaluator() holds every value of a wide box, whatever the sign",
  [fc.oneof(maskTrees.int, maskTrees.float, maskTrees.bool), wideBoxes],
  (tree, box) => holdsEveryValue(tree, box, [0]),
  { runs: 400 },
);

/** What a mask does to a box, by looking at every pair. */
function bruteForce(
  sees: ReturnType<typeof maskFunction>,
  box: PositionRanges,
): "none" | "all" | "some" {
  let [seen, total] = [0, 0];
  forEachPosition(box, (...at) => {
    total++;
    if (sees(...at)) seen++;
  });
  if (seen === 0) return "none";
  return seen === total ? "all" : "some";
}

property(
  "classifyMask() never claims none or all wrongly of a random tree",
  [maskTrees.bool, fc.oneof(boxes, wideBoxes)],
  (tree, box) => {
    const mask = maskMod("random", () => tree);
    const found = classifyMask([mask], box);
    if (found === "some") return;
    assertEquals(found, bruteForce(maskFunction([mask]), box));
  },
  { runs: 400 },
);

const servedBoxes: fc.Arbitrary<PositionRanges> = fc.record({
  batch: interval(0, 1, 1),
  head: interval(0, 1, 1),
  query: interval(-20, 100, 12),
  key: interval(0, 100, 12),
});

property(
  "classifyMask() is sound for every shipped mask, exact for the known ones",
  [maskCases, servedBoxes],
  ({ mask, meaning, exact }, box) => {
    const found = classifyMask([mask], box);
    if (found !== "some" || exact) {
      assertEquals(found, bruteForce(meaning, box));
    }
  },
  { runs: 600 },
);

const POINT: PositionRanges = {
  batch: [0, 0],
  head: [0, 0],
  query: [5, 5],
  key: [3, 3],
};

Deno.test("classifyMask() is decided at a point", () => {
  assertEquals(classifyMask([causal()], POINT), "all");
  assertEquals(classifyMask([causal()], { ...POINT, key: [6, 6] }), "none");
  assertEquals(classifyMask([], POINT), "all");
});

Deno.test("classifyMask() takes the conjunction of masks", () => {
  const even = maskMod("even", ({ key }) => key.rem(2).eq(0));
  assertEquals(classifyMask([causal(), even], POINT), "none");
  assertEquals(
    classifyMask([causal(), even], { ...POINT, key: [4, 4] }),
    "all",
  );
  assertEquals(
    classifyMask([causal(), even], { ...POINT, key: [3, 4] }),
    "some",
  );
});

Deno.test("classifyMask() does not decide what overflow or NaN may decide", () => {
  const overflow = maskMod(
    "overflow",
    ({ key }) => key.toFloat().mul(1e38).mul(10).abs().ge(0),
  );
  const noNumber = maskMod(
    "noNumber",
    ({ key }) => key.toFloat().neg().log().abs().ge(-1),
  );
  assertEquals(classifyMask([overflow], { ...POINT, key: [0, 9] }), "some");
  assertEquals(classifyMask([noNumber], { ...POINT, key: [0, 9] }), "some");
  // A device may flush what is below the least normal number to zero.
  const flushed = maskMod("flushed", () => float(1e-40).log().lt(0));
  assertEquals(classifyMask([flushed], POINT), "some");
});

Deno.test("classifyMask() does not decide a tie of rounded floats", () => {
  // 0.1 + 0.2 against 0.3: float32 and float64 may disagree.
  const tie = maskMod("tie", ({ key }) => {
    const zero = key.mul(0).toFloat();
    return zero.add(0.1).add(0.2).le(zero.add(0.3));
  });
  assertEquals(classifyMask([tie], POINT), "some");
});

Deno.test("classifyMask() finds extremes of a long captured buffer", () => {
  const ids = Int32Array.from({ length: 1000 }, (_, i) => Math.floor(i / 250));
  ids[777] = -9;
  const captured = capture(ids);
  const mask = maskMod(
    "same",
    ({ query, key }) => captured.at(query).eq(captured.at(key)),
  );
  const box = (query: Interval, key: Interval) =>
    classifyMask([mask], { ...POINT, query, key });
  assertEquals(box([0, 249], [0, 249]), "all");
  assertEquals(box([0, 249], [250, 999]), "none"); // -9 below, 3 above
  assertEquals(box([0, 249], [249, 999]), "some");
  assertEquals(box([0, 249], [778, 5000]), "none");
  assertEquals(box([777, 777], [777, 777]), "all");
  assertEquals(box([777, 777], [0, 776]), "none");
});

Deno.test("classifyMask() tells documents one after the other, whatever their ids", () => {
  // Of one bit in sets of values, which tell other ids apart.
  const ids = Int32Array.of(7, 7, 258, 258, 513, 513, 3, 3);
  const found = (query: Interval, key: Interval) =>
    classifyMask([document(ids)], { ...POINT, query, key });
  // Between 3 and 513, and neither of them.
  assertEquals(found([2, 3], [4, 7]), "none");
  assertEquals(found([4, 5], [4, 5]), "all");
  assertEquals(found([3, 4], [4, 4]), "some");
});

Deno.test("classifyMask() tells tiles beyond the last distance of a dilated window", () => {
  const mask = dilated({ window: 5, dilation: 4 });
  const found = (key: Interval) =>
    classifyMask([mask], { ...POINT, query: [10, 10], key });
  // Distances 5 to 8: within the window, or divisible, and none is both.
  assertEquals(found([2, 5]), "none");
  assertEquals(found([2, 6]), "some");
});

Deno.test("classifyMask() refuses empty and fractional ranges", () => {
  assertThrows(
    () => classifyMask([], { ...POINT, key: [4, 3] }),
    RangeError,
    "key must not be an empty range: current value is [4, 3]",
  );
  assertThrows(
    () => classifyMask([], { ...POINT, head: [0, 0.5] }),
    RangeError,
    "head high must be an integer",
  );
});

Deno.test("modsDependOn() tells which variables matter", () => {
  const lengths = Uint32Array.of(1, 2);
  assert(!modsDependOn([], "batch"));
  assert(!modsDependOn([causal()], "batch"));
  assert(modsDependOn([causal(), prefixLm(lengths)], "batch"));
  assert(!modsDependOn([causal(), prefixLm(lengths)], "head"));
  const perHead = maskMod("perHead", ({ head, key }) => key.ge(head));
  assert(modsDependOn([perHead], "head"));
  assert(!modsDependOn([perHead], "batch"));
  const slopes = alibi(Float32Array.of(0.5, 0.25));
  assert(modsDependOn([slopes], "query"));
});

Deno.test("intervalEvaluator() keeps a score mod's range", () => {
  const { expression } = alibi(Float32Array.of(0.5, 0.25));
  const [low, high] = intervalEvaluator(expression)({
    score: [0, 1],
    batch: [0, 0],
    head: [0, 1],
    query: [8, 8],
    key: [4, 8],
  });
  assert(low <= -2 && low > -2.001 && high >= 1 && high < 1.001);
  const twice = scoreMod("twice", ({ score }) => score.add(score));
  assertEquals(
    intervalEvaluator(twice.expression) ===
      intervalEvaluator(twice.expression),
    true,
  );
});
