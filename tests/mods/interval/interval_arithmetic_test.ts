import { assert } from "@std/assert";
import type { Interval } from "../../../src/mods/mod.ts";
import { evaluator } from "../../../src/mods/evaluate.ts";
import * as arithmetic from "../../../src/mods/interval/interval_arithmetic.ts";
import { variables } from "../trees.ts";

const LEAST = -(2 ** 31);
const MOST = 2 ** 31 - 1;

/** Every range whose ends are among `values`, with those that it holds. */
function rangesOf(
  values: readonly number[],
): { range: Interval; held: readonly number[] }[] {
  return values.flatMap((low, i) =>
    values.slice(i).map((high, more) => ({
      range: [low, high] as const,
      held: values.slice(i, i + more + 1),
    }))
  );
}

const SMALL = rangesOf(Array.from({ length: 15 }, (_, i) => i - 7));

/** Where sums and products wrap. */
const EXTREME = rangesOf([
  ...[LEAST, LEAST + 1, -(2 ** 30), -65536, -3, -1],
  ...[0, 1, 2, 46341, 2 ** 30, MOST - 1, MOST],
]);

const { query, key } = variables;

const BINARY = {
  addInt: query.add(key),
  subtractInt: query.sub(key),
  multiplyInt: query.mul(key),
  divideInt: query.div(key),
  remainderInt: query.rem(key),
  exclusiveOrInt: query.xor(key),
  shiftRightInt: query.shr(key),
  minimum: query.min(key),
  maximum: query.max(key),
  less: query.lt(key),
  lessOrEqual: query.le(key),
  equal: query.eq(key),
} as const;

for (const name of Object.keys(BINARY) as (keyof typeof BINARY)[]) {
  Deno.test(`${name}() holds every result over all small and extreme ranges`, () => {
    const evaluate = evaluator(BINARY[name].node);
    for (const ranges of [SMALL, EXTREME]) {
      for (const a of ranges) {
        for (const b of ranges) {
          const [low, high] = arithmetic[name](a.range, b.range);
          for (const x of a.held) {
            for (const y of b.held) {
              const value = evaluate(0, 0, 0, x, y);
              if (low <= value && value <= high) continue;
              assert(
                false,
                `${value} of ${x} and ${y} is outside ${low}..${high}, from ${a.range} and ${b.range}`,
              );
            }
          }
        }
      }
    }
  });
}

const UNARY = { negateInt: query.neg(), absoluteInt: query.abs() } as const;

for (const name of Object.keys(UNARY) as (keyof typeof UNARY)[]) {
  Deno.test(`${name}() holds every result over all small and extreme ranges`, () => {
    const evaluate = evaluator(UNARY[name].node);
    for (const { range, held } of [...SMALL, ...EXTREME]) {
      const [low, high] = arithmetic[name](range);
      for (const x of held) {
        const value = evaluate(0, 0, 0, x, 0);
        assert(
          low <= value && value <= high,
          `${value} of ${x} is outside ${low}..${high}, from ${range}`,
        );
      }
    }
  });
}

Deno.test("remainderInt() is exact within one quotient, whatever the sign", () => {
  const exact: [Interval, Interval, Interval][] = [
    [[5, 9], [5, 5], [0, 4]],
    [[6, 8], [5, 5], [1, 3]],
    [[-9, -5], [5, 5], [-4, 0]],
    [[-8, -6], [-5, -5], [-3, -1]],
    [[-5, -1], [5, 5], [-4, 0]],
    [[-4, 4], [5, 5], [-4, 4]],
    [[3, 9], [0, 0], [0, 0]],
  ];
  for (const [a, b, expected] of exact) {
    const [low, high] = arithmetic.remainderInt(a, b);
    assert(
      low === expected[0] && high === expected[1],
      `${low}..${high} of ${a} and ${b}, not ${expected}`,
    );
  }
});

Deno.test("integers of one value stay one value, where they wrap too", () => {
  const ints = [LEAST, -65536, -1, 0, 5, 46341, MOST];
  for (const [name, tree] of Object.entries(BINARY)) {
    if (!name.endsWith("Int")) continue;
    const evaluate = evaluator(tree.node);
    for (const x of ints) {
      for (const y of ints) {
        const value = evaluate(0, 0, 0, x, y);
        const [low, high] = arithmetic[name as keyof typeof BINARY]([x, x], [
          y,
          y,
        ]);
        assert(
          low === value && high === value,
          `${low}..${high}, not ${value}: ${name}() of ${x} and ${y}`,
        );
      }
    }
  }
});

Deno.test("exclusiveOrInt() and shiftRightInt() are as tight as signs allow", () => {
  const exact: [Interval, Interval][] = [
    [arithmetic.exclusiveOrInt([0, 5], [0, 8]), [0, 15]],
    [arithmetic.exclusiveOrInt([0, 0], [0, 0]), [0, 0]],
    [arithmetic.exclusiveOrInt([-1, 5], [0, 8]), [LEAST, MOST]],
    [arithmetic.shiftRightInt([8, 17], [3, 3]), [1, 2]],
    [arithmetic.shiftRightInt([-16, -8], [28, 28]), [15, 15]],
    [arithmetic.shiftRightInt([-1, 8], [31, 31]), [0, 1]],
    [arithmetic.shiftRightInt([-1, 8], [32, 32]), [-1, 8]],
    [arithmetic.shiftRightInt([0, 8], [0, 1]), [LEAST, MOST]],
  ];
  for (const [[low, high], expected] of exact) {
    assert(
      low === expected[0] && high === expected[1],
      `${low}..${high}, not ${expected}`,
    );
  }
});
