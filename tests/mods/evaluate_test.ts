import { assert, assertEquals } from "@std/assert";
import {
  type Bool,
  capture,
  causal,
  type Expression,
  float,
  int,
  maskFunction,
  scoreFunction,
  scoreMod,
  slidingWindow,
} from "../../src/mods/mod.ts";
import { evaluator } from "../../src/mods/evaluate.ts";

function valueOf(expression: Expression): number {
  return evaluator(expression.node)(0, 0, 0, 0, 0);
}

Deno.test("scoreFunction() applies mods in order, none is the identity", () => {
  const plus = scoreMod("plus", ({ score, key }) => score.add(key.toFloat()));
  const twice = scoreMod("twice", ({ score }) => score.mul(2));
  assertEquals(scoreFunction([])(1.5, 0, 0, 0, 0), 1.5);
  assertEquals(scoreFunction([plus, twice])(1.5, 0, 0, 0, 3), 9);
  assertEquals(scoreFunction([twice, plus])(1.5, 0, 0, 0, 3), 6);
});

Deno.test("maskFunction() is the conjunction, none is true", () => {
  const sees = maskFunction([causal(), slidingWindow({ left: 2 })]);
  assertEquals([0, 1, 2, 3, 4, 5].map((key) => sees(0, 0, 4, key)), [
    false,
    false,
    true,
    true,
    true,
    false,
  ]);
  assert(maskFunction([])(0, 0, -5, 5));
});

Deno.test("evaluator() computes floats in float64 from float32 literals", () => {
  assertEquals(valueOf(float(0.1)), Math.fround(0.1));
  assertEquals(valueOf(float(3).div(2).floor()), 1);
  assertEquals(valueOf(float(2).exp().log()), Math.log(Math.exp(2)));
  assertEquals(valueOf(float(-3).abs().sqrt().neg()), -Math.sqrt(3));
  assertEquals(valueOf(float(0.5).tanh().min(1).max(-1)), Math.tanh(0.5));
  assertEquals(valueOf(float(5).sub(7).mul(2)), -4);
});

Deno.test("evaluator() computes integers as WGSL's i32", () => {
  const least = -(2 ** 31);
  const most = 2 ** 31 - 1;
  const cases: [Expression, number][] = [
    [int(-7).div(2), -3],
    [int(-7).rem(2), -1],
    [int(7).rem(-4), 3],
    [int(7).div(0), 7],
    [int(7).rem(0), 0],
    [int(least).div(-1), least],
    [int(least).rem(-1), 0],
    [int(least).neg(), least],
    [int(least).abs(), least],
    [int(most).add(1), least],
    [int(least).sub(1), most],
    [int(65537).mul(65537), 131073],
    [int(3).min(-2).max(-5), -2],
    [int(12).xor(-6), -10],
    [int(least).xor(most), -1],
    [int(13).shr(2), 3],
    [int(-1).shr(1), most],
    [int(-1).shr(32), -1],
    [int(-1).shr(33), most],
    [int(9).toFloat().div(2), 4.5],
  ];
  for (const [expression, value] of cases) {
    assert(Object.is(valueOf(expression), value), `${valueOf(expression)}`);
  }
});

Deno.test("evaluator() compares and chooses", () => {
  const truths: [Bool, boolean][] = [
    [int(1).lt(2), true],
    [int(2).lt(2), false],
    [int(2).le(2), true],
    [int(2).gt(2), false],
    [int(2).ge(2), true],
    [int(2).eq(3), false],
    [int(2).ne(3), true],
    [float(1).lt(1.5).and(true), true],
    [float(1).lt(1.5).and(false), false],
    [float(1).ge(1.5).or(false), false],
    [float(1).ge(1.5).or(true), true],
    [float(1).eq(1).not(), false],
  ];
  for (const [expression, value] of truths) {
    assertEquals(valueOf(expression), Number(value));
    assertEquals(valueOf(expression.select(int(4), 5)), value ? 4 : 5);
  }
});

Deno.test("evaluator() clamps the indices of captured buffers", () => {
  const table = capture(Int32Array.of(1, 2, 3, 4, 5, 6), { shape: [2, 3] });
  const at = (i: number, j: number) => valueOf(table.at(i, j));
  assertEquals([at(0, 0), at(0, 2), at(1, 0), at(1, 2)], [1, 3, 4, 6]);
  assertEquals([at(-1, 9), at(9, -1), at(0, 3)], [3, 4, 3]);
  const flags = capture(Uint8Array.of(0, 1, 255));
  assertEquals([0, 1, 2].map((i) => valueOf(flags.at(i))), [0, 1, 1]);
});

Deno.test("evaluator() computes shared and deep trees in linear time", () => {
  let shared = float(1);
  for (let i = 0; i < 60; i++) shared = shared.add(shared).mul(0.5);
  assertEquals(valueOf(shared), 1);
  let deep = int(0);
  for (let i = 0; i < 50_000; i++) deep = deep.add(1);
  assertEquals(valueOf(deep), 50_000);
});
