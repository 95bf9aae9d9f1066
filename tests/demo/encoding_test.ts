/**
 * The encoding's order, in exact arithmetic and in float32: a longer context
 * always wins, then the more recent; and the look-up it is held against.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  HEAD_DIM,
  keyValueRows,
  KV_HEADS,
  MAX_CONTEXT,
  MAX_POSITIONS,
  prediction,
  QUERY_HEADS,
  queryRows,
  SCALE,
  VALUE_HEAD_DIM,
} from "../../demo/encoding.ts";
import { continueText, lookUp } from "../../demo/look_up.ts";
import { attention } from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";

/** Texts that repeat themselves, and texts of any bytes. */
const texts: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 60 }),
  fc.array(fc.constantFrom(97, 98, 99), { minLength: 1, maxLength: 60 }),
  fc.array(fc.nat(255), { minLength: 1, maxLength: 60 }),
).map((bytes) => Uint8Array.from(bytes));

/** A float32 dot product, added up in the order given. */
function dot(a: Float32Array, b: Float32Array, order: number[]): number {
  return order.reduce((sum, i) => Math.fround(sum + a[i] * b[i]), 0);
}

/** Bytes before two positions that are the same, by definition. */
function matches(
  text: Uint8Array,
  at: number,
  position: number,
  length: number,
) {
  if (length > at) return false;
  for (let lag = 1; lag <= length; lag++) {
    if (text[at - lag] !== text[position - lag]) return false;
  }
  return true;
}

property(
  "keyValueRows() and queryRows() order keys by match, then by recency",
  [texts, fc.integer()],
  (text, seed) => {
    const position = text.length;
    const { key } = keyValueRows(text, 0, position);
    const query = queryRows(text, position, position + 1);
    const dims = Array.from({ length: HEAD_DIM }, (_, i) => i);
    const order = new Prng(seed).shuffle(dims);
    for (let head = 0; head < QUERY_HEADS; head++) {
      const row = query.subarray(head * HEAD_DIM, (head + 1) * HEAD_DIM);
      for (let at = 0; at < position; at++) {
        const from = at * KV_HEADS * HEAD_DIM;
        const product = dot(row, key.subarray(from, from + HEAD_DIM), order);
        const recency = at / MAX_POSITIONS;
        if (matches(text, at, position, head)) {
          assertEquals(product, 8 * head + recency);
        } else {
          assert(product <= 8 * head - 2 + recency);
        }
        assertEquals(Math.fround(product * SCALE), product * SCALE);
      }
    }
  },
);

Deno.test("keyValueRows() stays exact at the last position", () => {
  const text = new Uint8Array(MAX_POSITIONS).fill(0x55);
  const last = MAX_POSITIONS - 1;
  const { key } = keyValueRows(text, last, last + 1);
  const query = queryRows(text, last, last + 1);
  const row = query.subarray(MAX_CONTEXT * HEAD_DIM);
  const dims = Array.from({ length: HEAD_DIM }, (_, i) => i);
  const expected = 8 * MAX_CONTEXT + last / MAX_POSITIONS;
  for (let seed = 0; seed < 50; seed++) {
    const order = new Prng(seed).shuffle(dims);
    assertEquals(dot(row, key, order), expected);
  }
  assertEquals(Math.fround(expected * SCALE), expected * SCALE);
  // Neighbours are 32 apart, so that float32 sees the better one alone.
  assertEquals(SCALE / MAX_POSITIONS, 32);
  assertEquals(Math.fround(1 + Math.exp(-32) / (1 - Math.exp(-32))), 1);
});

property(
  "prediction() of exact attention is lookUp()",
  [texts],
  (text) => {
    for (let position = 0; position <= text.length; position++) {
      const { key, value } = keyValueRows(text, 0, position);
      const { output, lse } = attention({
        query: queryRows(text, position, position + 1),
        key,
        value,
        batch: 1,
        queryLength: 1,
        keyLength: position,
        queryHeads: QUERY_HEADS,
        kvHeads: KV_HEADS,
        headDim: HEAD_DIM,
        valueHeadDim: VALUE_HEAD_DIM,
        scale: SCALE,
      });
      assertEquals(prediction(output, lse, 0), lookUp(text, position));
    }
  },
  { runs: 20 },
);

property(
  "lookUp() finds the longest context, then the most recent",
  [texts, fc.nat(60)],
  (text, pick) => {
    const position = pick % (text.length + 1);
    for (let length = MAX_CONTEXT; length >= 0; length--) {
      for (let at = position - 1; at >= 0; at--) {
        if (!matches(text, at, position, length)) continue;
        assertEquals(lookUp(text, position), {
          byte: text[at],
          context: length,
        });
        return;
      }
    }
    assertEquals(lookUp(text, position), undefined);
  },
);

Deno.test("continueText() goes on from what it added", () => {
  const text = new TextEncoder().encode("abcabdabcab");
  assertEquals(new TextDecoder().decode(continueText(text, 5)), "dabca");
});

Deno.test("queryRows() of a range is that of each position", () => {
  const text = new TextEncoder().encode("several positions");
  const all = queryRows(text, 0, text.length + 1);
  const one = QUERY_HEADS * HEAD_DIM;
  for (let at = 0; at <= text.length; at++) {
    assertEquals(
      all.slice(at * one, (at + 1) * one),
      queryRows(text, at, at + 1),
    );
  }
});
