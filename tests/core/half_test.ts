import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  fromBfloat16,
  fromFloat16,
  roundToFloat16,
  toFloat16,
} from "../../src/core/half.ts";
import { property } from "../support/property.ts";

const BITS = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

Deno.test("fromFloat16() reads all 65,536 float16s as Float16Array does", () => {
  const expected = new Float16Array(BITS.buffer);
  assertEquals(Array.from(BITS, fromFloat16), Array.from(expected));
});

Deno.test("toFloat16() gives each float16 its own bits back", () => {
  for (const bits of BITS) {
    const x = fromFloat16(bits);
    if (!Number.isNaN(x)) assertEquals(toFloat16(x), bits);
  }
});

Deno.test("roundToFloat16() is Math.f16round() at and beside every midpoint", () => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    const next = bits === 0x7bff ? 65536 : fromFloat16(bits + 1);
    const middle = (fromFloat16(bits) + next) / 2;
    for (const factor of [1 - 2 ** -52, 1, 1 + 2 ** -51]) {
      const x = middle * factor;
      assertEquals(roundToFloat16(x), Math.f16round(x));
      assertEquals(roundToFloat16(-x), Math.f16round(-x));
    }
  }
});

Deno.test("fromBfloat16() is the float32 with those upper bits", () => {
  const words = Uint32Array.from(BITS, (bits) => bits << 16);
  const expected = new Float32Array(words.buffer);
  assertEquals(Array.from(BITS, fromBfloat16), Array.from(expected));
});

property(
  "roundToFloat16() is Math.f16round()",
  [fc.oneof(
    fc.double(),
    fc.double({ min: -70000, max: 70000 }),
    fc.double({ min: -1e-4, max: 1e-4 }),
  )],
  (x) => assertEquals(roundToFloat16(x), Math.f16round(x)),
);
