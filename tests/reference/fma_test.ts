import { assertEquals } from "@std/assert";
import { dotFma, fmaF32 } from "../../reference/fma.ts";

Deno.test("fmaF32() rounds once", () => {
  const x = 1 + 2 ** -12;
  assertEquals(Math.fround(x * x) - 1, 2 ** -11);
  assertEquals(fmaF32(x, x, -1), 2 ** -11 + 2 ** -24);
  assertEquals(fmaF32(1, 1, 2 ** -24), 1);
});

Deno.test("dotFma() takes four elements at a time, the last of them first", () => {
  const large = 2 ** 24;
  const dot = (...a: number[]) => dotFma(a, 0, a.map(() => 1), 0, a.length);
  // A one is lost beside 2^24, two of them are not.
  assertEquals(dot(large, 1, 1), large + 2);
  assertEquals(dot(1, 1, large), large);
  assertEquals(dot(1, 0, 0, 0, 1, 0, 0, 0, large), large + 2);
  assertEquals(dot(large, 0, 0, 0, 1, 0, 0, 0, 1), large);
  assertEquals(dot(), 0);
  assertEquals(dotFma([9, 2, 3], 1, [4, 5, 9], 0, 2), 23);
});
