import { assert, assertEquals } from "@std/assert";
import { SENTINEL, SENTINEL_WGSL } from "../../src/core/sentinel.ts";

Deno.test("SENTINEL is the lowest float32, and finite", () => {
  assertEquals(Math.fround(SENTINEL), SENTINEL);
  const [bits] = new Uint32Array(Float32Array.of(SENTINEL).buffer);
  const [next] = new Float32Array(Uint32Array.of(bits + 1).buffer);
  assertEquals(next, -Infinity);
});

Deno.test("SENTINEL_WGSL is the same number", () => {
  const match = SENTINEL_WGSL.match(/^-0x1\.([0-9a-f]{6})p\+(\d+)f$/);
  assert(match);
  const fraction = 1 + parseInt(match[1], 16) / 2 ** 24;
  assertEquals(-fraction * 2 ** Number(match[2]), SENTINEL);
});
