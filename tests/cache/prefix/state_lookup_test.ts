import { assertEquals, assertThrows } from "@std/assert";
import { PrefixIndex, StatePool } from "../../../src/cache/mod.ts";

/** States behind 2 and 6 tokens; none behind 4. */
function indexed() {
  const pool = new StatePool({ numStates: 8, blockSize: 2 });
  const index = new PrefixIndex(pool);
  const cursor = index.cursor({ salt: "tenant" });
  const [first, third] = pool.allocate(2);
  cursor.advance([1, 2], first);
  cursor.advance([3, 4], 0);
  cursor.advance([5, 6], third);
  cursor.close();
  return { pool, index, first, third };
}
const domain = { salt: "tenant" };

Deno.test("PrefixIndex.match() over states gives the last state alone", () => {
  const { index, first, third } = indexed();
  const match = (...tokens: number[]) => {
    const { blocks, length, partial } = index.match(tokens, domain);
    assertEquals(partial, { source: 0, rows: 0 });
    return [blocks, length];
  };
  assertEquals(match(1, 2, 3, 4, 5, 6, 7), [[third], 6]);
  // The last token is always computed.
  assertEquals(match(1, 2, 3, 4, 5, 6), [[first], 2]);
  assertEquals(match(1, 2, 3, 4, 5, 9, 9), [[first], 2]);
  assertEquals(match(1, 2), [[], 0]);
  assertEquals(match(1, 3, 3), [[], 0]);
  assertEquals(match(), [[], 0]);
  assertEquals(index.match([1, 2, 3]).blocks, []);
  assertThrows(() => index.match([1, -1]), RangeError, "tokens[1]");
  assertThrows(() => index.match("12" as never), TypeError, "tokens must");
});

Deno.test("PrefixIndex.pin() over states holds the last state alone", () => {
  const { pool, index, first, third } = indexed();
  for (const id of [third, first]) pool.release(id);
  const pin = index.pin([1, 2, 3, 4, 5, 6], domain);
  assertEquals([pin.blocks, pin.length], [[third], 6]);
  assertEquals([pool.refCount(third), pool.refCount(first)], [1, 0]);
  index.verify();
  index.unpin(pin);
  assertEquals(index.pin([9, 9], domain).blocks, []);
});

Deno.test("PrefixIndex() over states evicts the least recently freed", () => {
  const { pool, index, first, third } = indexed();
  for (const id of [third, first]) pool.release(id);
  pool.allocate(6);
  assertEquals(index.match([1, 2, 3, 4, 5, 6, 7], domain).blocks, [first]);
  index.verify();
});
