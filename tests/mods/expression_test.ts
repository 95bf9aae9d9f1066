import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import {
  Bool,
  bool,
  capture,
  Float,
  float,
  Int,
  int,
  maskMod,
  scoreMod,
  type ScoreVariables,
} from "../../src/mods/mod.ts";

// deno-lint-ignore no-explicit-any
const wrong = (value: unknown): any => value;

Deno.test("expressions are typed by their operation", () => {
  const types = [
    float(1).add(2),
    int(1).add(2),
    int(1).toFloat(),
    int(1).lt(2),
    int(1).lt(2).select(int(1), 2),
    int(1).lt(2).select(1, float(2)),
    int(1).lt(2).select(bool(true), false),
    capture(Float32Array.of(1)).at(0),
    capture(Int32Array.of(1)).at(0),
    capture(Uint32Array.of(1)).at(0),
    capture(Uint8Array.of(1)).at(0),
  ].map(({ type, node }) => {
    assertStrictEquals(type, node.type);
    return type;
  });
  assertEquals(
    types.join(" "),
    "f32 i32 f32 bool i32 f32 bool f32 i32 i32 bool",
  );
});

Deno.test("expressions refuse operands of another type", () => {
  assertThrows(
    () => float(1).add(wrong(int(2))),
    TypeError,
    "add() operand must be a Float or a number; convert it with toFloat(): current value is Int",
  );
  assertThrows(
    () => int(1).lt(wrong(float(2))),
    TypeError,
    "lt() operand must be an Int or an integer: current value is Float",
  );
  assertThrows(
    () => bool(true).and(wrong(1)),
    TypeError,
    "and() operand must be a Bool or a boolean: current value is 1",
  );
  assertThrows(
    () => float(1).mul(wrong("2")),
    TypeError,
    'mul() operand must be a Float or a number: current value is "2"',
  );
  assertThrows(
    () => bool(true).select(wrong(int(2)), wrong(float(1))),
    TypeError,
    "select() choice must be an Int or an integer: current value is Float",
  );
  assertThrows(
    () => bool(true).select(wrong(1), wrong(2)),
    TypeError,
    "select() choices must include an expression",
  );
});

Deno.test("literals must be finite float32 or i32", () => {
  for (const value of [NaN, Infinity, 1e39]) {
    assertThrows(() => float(value), RangeError, "must be finite");
    assertThrows(() => float(0).add(value), RangeError, "must be finite");
  }
  for (const value of [0.5, 2 ** 31, NaN]) {
    assertThrows(() => int(value), RangeError, "must be an integer in");
    assertThrows(() => int(0).mul(value), RangeError, "must be an integer in");
  }
  assertThrows(() => float(wrong("1")), TypeError, "float() value");
  assertThrows(() => int(wrong(null)), TypeError, "int() value");
  assertThrows(() => bool(wrong(1)), TypeError, "bool() value");
});

Deno.test("capture() checks its data and shape", () => {
  assertThrows(
    () => capture(wrong([1, 2])),
    TypeError,
    "capture data must be a Float32Array",
  );
  assertThrows(
    () => capture(new Float32Array(6), { shape: [2, 2], name: "bias" }),
    TypeError,
    "bias shape must have as many elements as the data (6): current value is [2, 2]",
  );
  assertThrows(() => capture(new Int32Array()), RangeError, "shape[0]");
  assertThrows(
    () => capture(new Int32Array(1), { shape: [] }),
    TypeError,
    "must have a dimension",
  );
  assertThrows(
    () => capture(Float32Array.of(0, -Infinity)),
    RangeError,
    "capture data[1] must be finite",
  );
  assertThrows(
    () => capture(Uint32Array.of(0, 2 ** 31)),
    RangeError,
    "capture data[1] must be < 2^31: current value is 2147483648",
  );
});

Deno.test("Capture.at() takes one Int per dimension", () => {
  const table = capture(new Float32Array(6), { shape: [2, 3], name: "table" });
  assertThrows(
    () => table.at(1),
    TypeError,
    'at() indices must be 2 for capture "table": current value is 1 indices',
  );
  assertThrows(() => table.at(0, wrong(float(1))), TypeError, "at() index");
});

Deno.test("scoreMod() and maskMod() trace a function once", () => {
  let calls = 0;
  const mod = scoreMod("mine", (variables) => {
    calls++;
    assertEquals(
      Object.values(variables).map((v) => v.constructor),
      [Float, Int, Int, Int, Int, Int],
    );
    return variables.score;
  });
  assertEquals([calls, mod.kind, mod.name], [1, "score", "mine"]);
  const mask = maskMod("mask", (variables) => {
    assertEquals(Object.keys(variables), [
      "batch",
      "head",
      "query",
      "key",
      "row",
    ]);
    return variables.key.ge(1);
  });
  assertEquals([mask.kind, mask.expression.type], ["mask", "bool"]);
});

Deno.test("a mod must use the conditions that it makes", () => {
  const table = capture(Uint8Array.of(1, 0, 1), { name: "table" });
  const wrongs: [() => unknown, string][] = [
    [
      () => scoreMod("m", ({ score, query }) => query.lt(3) ? score : score),
      "score mod m must use each condition that it makes: write condition.select(a, b)",
    ],
    [
      () => maskMod("m", ({ query, key }) => query.lt(3) && key.lt(2)),
      'for !a: current value is ".lt() that is not used"',
    ],
    [
      () =>
        maskMod("m", ({ query, key }) => {
          if (query.rem(2).eq(0)) return key.lt(2);
          return key.gt(2);
        }),
      ".eq() that is not used",
    ],
    [
      () =>
        scoreMod("m", ({ score, key }) => table.at(key) ? score : score.neg()),
      ".at() that is not used",
    ],
    [
      () => maskMod("m", ({ query, key }) => key.lt(2).and(!query.lt(3))),
      ".lt() that is not used",
    ],
  ];
  for (const [trace, message] of wrongs) {
    const error = assertThrows(trace, TypeError);
    assertEquals(error.message.includes(message), true, error.message);
  }
  // Masks that are made within another count by themselves.
  const mask = maskMod("outer", ({ key }) => {
    const inner = maskMod("inner", ({ query }) => query.lt(3));
    return new Bool(inner.expression).and(key.gt(1));
  });
  assertEquals(mask.kind, "mask");
  assertThrows(
    () =>
      scoreMod("throws", ({ score }) => {
        score.lt(1);
        throw new RangeError("own");
      }),
    RangeError,
    "own",
  );
  // What is made when no mod is traced is no one's.
  float(1).lt(2);
  assertEquals(scoreMod("m", ({ score }) => score).kind, "score");
});

Deno.test("expressions refuse JavaScript's own operators", () => {
  const wrongs: [(v: ScoreVariables) => unknown, string][] = [
    // deno-lint-ignore no-explicit-any
    [({ score }) => (score as any) + 1, "a Float must not be given to"],
    // deno-lint-ignore no-explicit-any
    [({ key }) => (key as any) * 2, "an Int must not be given to"],
    [({ key, query }) => key < query, "a.lt(b), a.le(b)"],
    [({ key }) => `${key}`, "write a.add(b)"],
    // deno-lint-ignore no-explicit-any
    [({ key }) => (key.lt(2) as any) | 1, "a Bool must not be given to"],
    // deno-lint-ignore no-explicit-any
    [({ score }) => -(score as any), "a.neg()"],
    // deno-lint-ignore no-explicit-any
    [({ score }) => Math.exp(score as any), "a Float"],
  ];
  for (const [modify, message] of wrongs) {
    const error = assertThrows(
      () => scoreMod("m", wrong(modify)),
      TypeError,
    );
    assertEquals(error.message.includes(message), true, error.message);
  }
});

Deno.test("scoreMod() and maskMod() refuse results of another type", () => {
  assertThrows(
    () => scoreMod("mine", wrong(() => 1)),
    TypeError,
    "score mod mine must return a Float: current value is 1",
  );
  assertThrows(
    () => maskMod("mine", wrong(() => int(1))),
    TypeError,
    "mask mod mine must return a Bool: current value is Int",
  );
  let leaked = new Bool(bool(true).node);
  scoreMod("leak", ({ score }) => {
    leaked = score.gt(0);
    return leaked.select(score, 0);
  });
  assertThrows(
    () => maskMod("mine", () => leaked),
    TypeError,
    "mask mod mine must not depend on a score",
  );
});
