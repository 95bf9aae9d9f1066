import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BlockPool,
  BlockTable,
  OutOfBlocksError,
  type PrefixDomain,
  PrefixIndex,
  type PrefixIndexOptions,
} from "../../../src/cache/mod.ts";
import {
  chainHash,
  encodeDomain,
} from "../../../src/cache/prefix/prefix_hash.ts";
import { property } from "../../support/property.ts";

function setup(options: PrefixIndexOptions = {}, numBlocks = 11) {
  const pool = new BlockPool({ numBlocks, blockSize: 2 });
  return { pool, index: new PrefixIndex(pool, options) };
}

/** Allocates and stores the full blocks of `tokens`, as a sequence would. */
function store(
  index: PrefixIndex,
  tokens: number[],
  domain: PrefixDomain = {},
): number[] {
  const { pool } = index;
  const full = Math.floor(tokens.length / pool.blockSize);
  const blocks = pool.allocate(full);
  const cursor = index.cursor(domain);
  blocks.forEach((id, i) => cursor.advance(tokens.slice(2 * i, 2 * i + 2), id));
  cursor.close();
  return blocks;
}

function releaseAll(pool: BlockPool, blocks: number[]): void {
  for (const id of blocks.toReversed()) pool.release(id);
}

Deno.test("PrefixIndex.match() never covers the last token", () => {
  const { index } = setup();
  store(index, [1, 2, 3, 4]);
  const lengthOf = (tokens: number[]) => index.match(tokens).length;
  assertEquals(lengthOf([1, 2, 3, 4, 5]), 4);
  assertEquals(index.match([1, 2, 3, 4]), {
    blocks: [1],
    partial: { source: 2, rows: 1 },
    length: 3,
  });
  assertEquals([[1, 2, 3], [1, 2], [1], []].map(lengthOf), [2, 1, 0, 0]);
  index.verify();
});

Deno.test("PrefixIndex.match() gives the longest partial block to copy", () => {
  const pool = new BlockPool({ numBlocks: 9, blockSize: 4 });
  const index = new PrefixIndex(pool);
  const blocks = pool.allocate(3);
  [[1, 2, 9, 9], [1, 2, 3, 9], [1, 2, 3, 4]].forEach((tokens, i) => {
    const cursor = index.cursor();
    cursor.advance(tokens, blocks[i]);
    cursor.close();
  });
  const partial = (tokens: number[]) => index.match(tokens).partial;
  assertEquals(partial([1, 2, 9, 5, 5]), { source: 1, rows: 3 });
  assertEquals(partial([1, 2, 3, 5, 5]), { source: 3, rows: 3 });
  assertEquals(partial([1, 2, 3, 9, 5]), { source: 0, rows: 0 });
  assertEquals(partial([1, 2, 4, 5, 5]), { source: 2, rows: 2 });
  assertEquals(partial([1, 7, 3, 5, 5]), { source: 1, rows: 1 });
  assertEquals(partial([1, 2, 3]), { source: 3, rows: 2 });
  assertEquals(partial([0, 2, 3]), { source: 0, rows: 0 });
  assertEquals(partial([2, 2, 3, 5, 5]), { source: 0, rows: 0 });
  assertEquals(index.match([1, 2, 3, 4, 1]).partial, { source: 0, rows: 0 });
});

Deno.test("PrefixIndex keeps freed blocks findable until they are reused", () => {
  const { pool, index } = setup({}, 5);
  const blocks = store(index, [1, 2, 3, 4, 5, 6]);
  releaseAll(pool, blocks);
  assertEquals(pool.freeOrder(), [4, 3, 2, 1]);
  assertEquals([pool.freeBlocks, pool.evictableBlocks], [4, 3]);
  assertEquals(index.match([1, 2, 3, 4, 5, 6, 7]).blocks, [1, 2, 3]);
  assertEquals(pool.allocate(2), [4, 3]);
  assertEquals(index.match([1, 2, 3, 4, 5, 6, 7]).blocks, [1, 2]);
  index.verify();
});

Deno.test("PrefixIndex evicts no cached block while another is free", () => {
  const { pool, index } = setup({}, 6);
  const cached = store(index, [1, 2]);
  const others = pool.allocate(2);
  releaseAll(pool, cached);
  releaseAll(pool, others);
  assertEquals(pool.freeOrder(), [2, 3, 4, 5, 1]);
  index.verify();
});

Deno.test("BlockPool.allocate() reuses cached blocks before it evicts", () => {
  const { pool, index } = setup({}, 4);
  releaseAll(pool, store(index, [1, 2, 3, 4, 5, 6]));
  assertEquals(pool.freeOrder(), [3, 2, 1]);
  const { blocks } = index.match([1, 2, 3, 4, 9]);
  const error = assertThrows(
    () => pool.allocate(2, { reuse: blocks }),
    OutOfBlocksError,
  );
  assertEquals([error.needed, error.free, error.evictable], [2, 0, 1]);
  assertEquals(pool.freeOrder(), [3, 2, 1]);
  assertEquals(pool.allocate(1, { reuse: blocks }), [3]);
  assertEquals([1, 2, 3].map((id) => pool.refCount(id)), [1, 1, 1]);
  index.verify();
});

Deno.test("OutOfBlocksError tells free blocks from evictable ones", () => {
  const { pool, index } = setup({}, 6);
  releaseAll(pool, store(index, [1, 2, 3, 4]));
  const error = assertThrows(() => pool.allocate(6), OutOfBlocksError);
  assertEquals([error.needed, error.free, error.evictable], [6, 3, 2]);
  assertEquals(index.cachedBlocks, 2);
  const held = pool.allocate(1, { reuse: [1] });
  assertEquals([held, pool.evictableBlocks], [[3], 1]);
});

Deno.test("BlockPool.allocate() gives back first, and all or nothing", () => {
  const pool = new BlockPool({ numBlocks: 4 });
  const [a, b, c] = pool.allocate(3);
  pool.retain(c);
  assertThrows(
    () => pool.allocate(2, { release: [a, c] }),
    OutOfBlocksError,
    "2 needed, 1 free",
  );
  assertThrows(() => pool.allocate(0, { release: [a, a] }), RangeError);
  assertThrows(() => pool.allocate(0, { reuse: [0] }), RangeError, "reuse");
  assertThrows(() => pool.allocate(0, { reuse: [4] }), RangeError, "reuse");
  assertEquals([a, b, c].map((id) => pool.refCount(id)), [1, 1, 2]);
  assertEquals(pool.allocate(2, { release: [b, a] }), [b, a]);
  assertEquals(pool.allocate(0, { release: [b], reuse: [b] }), []);
  assertEquals(pool.refCount(b), 1);
  pool.verify();
});

Deno.test("PrefixIndex keeps duplicates in use and evicts one id only", () => {
  const { index } = setup({ events: true });
  const [a, b, c] = [1, 2, 3].flatMap(() => store(index, [1, 2]));
  assertEquals(index.match([1, 2, 3]).blocks, [a]);
  assert(index.evict(a));
  assert(!index.evict(a));
  assertEquals(index.match([1, 2, 3]).blocks, [b]);
  assertEquals(index.cachedBlocks, 2);
  assert(index.evict(c));
  assertEquals(index.match([1, 2, 3]).blocks, [b]);
  assertEquals(index.takeEvents().map(({ type }) => type), [
    "stored",
    "stored",
    "stored",
    "removed",
    "removed",
  ]);
  index.verify();
});

Deno.test("PrefixIndex keeps a free block only if it is alone", () => {
  const { pool, index } = setup({ events: true });
  const [a, b] = [1, 2].flatMap(() => store(index, [1, 2]));
  pool.release(a);
  assertEquals(index.match([1, 2, 3]).blocks, [b], "the one in use stays");
  assertEquals([pool.isCached(a), pool.freeOrder()[0]], [false, a]);
  pool.release(b);
  assertEquals([pool.evictableBlocks, pool.freeOrder().at(-1)], [1, b]);
  index.verify();
  const [c] = store(index, [1, 2]);
  assertEquals(c, a);
  assertEquals(index.match([1, 2, 3]).blocks, [c], "one in use replaces it");
  assertEquals([pool.isCached(b), pool.freeOrder()[0]], [false, b]);
  assertEquals([pool.evictableBlocks, index.cachedBlocks], [0, 1]);
  assertEquals(
    index.takeEvents().map((e) => [e.type, e.type === "cleared" || e.block]),
    [
      ["stored", a],
      ["stored", b],
      ["removed", a],
      ["stored", c],
      ["removed", b],
    ],
  );
  index.verify();
});

Deno.test("PrefixIndex finds what lies behind an evicted block again", () => {
  const { pool, index } = setup();
  const [first, second] = store(index, [1, 2, 3, 4]);
  index.evict(first);
  assertEquals(index.match([1, 2, 3, 4, 5]).length, 0);
  assertEquals(index.walk([1, 2, 3, 4, 5]), [0, second]);
  const [again] = store(index, [1, 2]);
  assertEquals(index.match([1, 2, 3, 4, 5]).blocks, [again, second]);
  releaseAll(pool, [first, second, again]);
  index.verify();
});

Deno.test("PrefixIndex keeps domains apart by type and content", () => {
  const domains: PrefixDomain[] = [
    {},
    { salt: "" },
    { salt: "1" },
    { salt: 1 },
    { salt: Uint8Array.of(49) },
    { salt: Uint8Array.of(1) },
    { salt: "1", keys: { adapter: "a" } },
    { keys: { adapter: "1" } },
    { keys: { adapter: 1 } },
    { keys: { adapter: 1, image: 2 } },
    { keys: { image: "1" } },
    { keys: { a: "bc" } },
    { keys: { ab: "c" } },
    { salt: "a", keys: { b: "c" } },
    { salt: "\u{1f600}a" },
    { salt: "\u{1f600}b" },
  ];
  for (const hash of [chainHash, () => 7]) {
    const { index } = setup({ hash }, 20);
    domains.forEach((domain, i) => {
      assertEquals(index.match([1, 2, 3], domain).length, 0, `domain ${i}`);
      assertEquals(store(index, [1, 2], domain), [i + 1]);
    });
    domains.forEach((domain, i) => {
      assertEquals(index.match([1, 2, 3], domain).blocks, [i + 1]);
    });
    index.verify();
  }
});

Deno.test("PrefixIndex does not mind the order of keys", () => {
  const { index } = setup();
  store(index, [1, 2], { keys: { a: 1, b: "x" } });
  assertEquals(index.match([1, 2, 3], { keys: { b: "x", a: 1 } }).length, 2);
});

Deno.test("PrefixIndex compares tokens and all before them on a collision", () => {
  const { index } = setup({ hash: () => 0 });
  store(index, [1, 2, 3, 4]);
  store(index, [5, 6, 3, 4]);
  assertEquals(index.match([1, 2, 3, 4, 9]).blocks, [1, 2]);
  assertEquals(index.match([5, 6, 3, 4, 9]).blocks, [3, 4]);
  assertEquals(index.match([3, 4, 9]).length, 0);
  assertEquals(index.match([1, 2, 5, 6, 9]).length, 2);
  index.verify();
});

Deno.test("PrefixIndex.pin() holds blocks until its time is over", () => {
  let now = 100;
  const { pool, index } = setup({ clock: () => now }, 4);
  releaseAll(pool, store(index, [1, 2, 3, 4]));
  const pin = index.pin([1, 2, 3, 4], { ttl: 10 });
  assertEquals(pin, { blocks: [1, 2], length: 4, expiresAt: 110 });
  const error = assertThrows(() => pool.allocate(2), OutOfBlocksError);
  assertEquals([error.free, error.evictable], [1, 0]);
  index.verify();
  now = 109;
  assertEquals(index.expirePins(), 0);
  now = 110;
  assertEquals([index.expirePins(), index.unpin(pin)], [1, false]);
  assertEquals(pool.evictableBlocks, 2);
  const forEver = index.pin([1, 2, 7, 8]);
  assertEquals(forEver.blocks, [1]);
  now = 1e9;
  assertEquals(index.expirePins(), 0);
  assertEquals(index.pins, [forEver]);
  assert(index.unpin(forEver));
  assertEquals(pool.usedBlocks, 0);
  index.verify();
});

Deno.test("PrefixIndex.reset() refuses while blocks are in use", () => {
  const { pool, index } = setup({ events: true }, 5);
  const blocks = store(index, [1, 2, 3, 4]);
  assertThrows(() => index.reset(), TypeError, "as 2 blocks are in use");
  releaseAll(pool, blocks);
  const pin = index.pin([1, 2]);
  assertThrows(() => index.reset(), TypeError, "as 1 blocks are in use");
  index.unpin(pin);
  const cursor = index.cursor();
  assertThrows(() => index.reset(), TypeError, "1 cursors open");
  cursor.close();
  assertEquals(index.match([1, 2, 3]).length, 2);
  const order = pool.freeOrder();
  index.takeEvents();
  index.reset();
  assertEquals(index.takeEvents(), [{ type: "cleared" }]);
  assertEquals(pool.freeOrder(), [...order.slice(2), ...order.slice(0, 2)]);
  assertEquals([pool.evictableBlocks, index.cachedBlocks], [0, 0]);
  assertEquals(index.match([1, 2, 3]).length, 0);
  index.verify();
});

Deno.test("PrefixIndex.takeEvents() tells what was stored and removed", () => {
  const { pool, index } = setup({ events: true }, 3);
  releaseAll(pool, store(index, [1, 2, 3, 4], { salt: 1 }));
  pool.allocate(1);
  const root = chainHash(
    -1,
    [...encodeDomain({ salt: 1 })].map((c) => c.charCodeAt(0)),
  );
  const first = chainHash(root, [1, 2]);
  const second = chainHash(first, [3, 4]);
  assertEquals(index.takeEvents(), [
    { type: "stored", block: 1, hash: first, parent: root, tokens: [1, 2] },
    { type: "stored", block: 2, hash: second, parent: first, tokens: [3, 4] },
    { type: "removed", block: 2, hash: second },
  ]);
  assertEquals(index.takeEvents(), []);
  assertEquals(setup().index.takeEvents(), []);
});

Deno.test("PrefixIndex.record() counts no recomputed token as a hit", () => {
  const { index } = setup();
  index.record({ tokens: 10, hits: 4 });
  index.record({ tokens: 8, hits: 6, resumed: true });
  assertEquals(index.stats, {
    queries: 1,
    queriedTokens: 10,
    hitTokens: 4,
    resumes: 1,
    resumedTokens: 8,
    recoveredTokens: 6,
  });
});

Deno.test("PrefixIndex forgets prefixes that nothing keeps", () => {
  const { pool, index } = setup({}, 3);
  for (let i = 0; i < 20; i++) {
    releaseAll(pool, store(index, [i, i, i, i], { salt: i }));
    index.verify();
  }
  assertEquals(index.cachedBlocks, 2);
});

Deno.test("PrefixIndex throws on bad arguments and changes nothing", () => {
  const { pool, index } = setup();
  const [a, b] = store(index, [1, 2, 3, 4]);
  for (const salt of [null, true, {}, [1]]) {
    const domain = { salt } as unknown as PrefixDomain;
    assertThrows(() => index.match([1], domain), TypeError, "salt must");
    assertThrows(() => index.cursor(domain), TypeError, "salt must");
  }
  assertThrows(() => index.match([1], { salt: NaN }), RangeError, "salt must");
  assertThrows(
    () => index.match([1], { keys: { adapter: null } } as never),
    TypeError,
    "keys.adapter must",
  );
  assertThrows(() => index.match([1], 5 as never), TypeError, "domain must");
  assertThrows(() => index.match([1], { keys: 5 } as never), TypeError, "keys");
  assertThrows(() => index.match("12" as never), TypeError, "tokens must");
  assertThrows(() => index.match(["1"] as never), TypeError, "tokens[0] must");
  for (const token of [-1, 0.5, NaN, 2 ** 32]) {
    assertThrows(() => index.match([1, token]), RangeError, "tokens[1] must");
  }
  const cursor = index.cursor();
  assertThrows(() => cursor.advance([1], a), RangeError, "must be the block");
  assertThrows(() => cursor.advance([9, 9], a), RangeError, "other tokens");
  assertThrows(() => cursor.advance([9, 9], 5), RangeError, "in use");
  assertThrows(() => cursor.advance([9, 9], 11), RangeError, "block must");
  assertEquals(cursor.blocks, 0);
  cursor.advance([1, 2], a);
  cursor.close();
  assertThrows(() => cursor.close(), TypeError, "as it is closed");
  assertThrows(() => cursor.fork(), TypeError, "as it is closed");
  assertThrows(() => cursor.advance([3, 4], b), TypeError, "as it is closed");
  for (const ttl of [0, -1, NaN]) {
    assertThrows(() => index.pin([1, 2], { ttl }), RangeError, "ttl must");
  }
  assertThrows(() => index.pin([1], { ttl: "1" } as never), TypeError, "ttl");
  assertThrows(() => new PrefixIndex({} as never), TypeError, "pool must");
  assertThrows(() => new PrefixIndex(pool), TypeError, "a second index");
  assertThrows(() => setup({ hash: 1 as never }), TypeError, "hash must");
  assertThrows(() => setup({ clock: 1 as never }), TypeError, "clock must");
  assertEquals([pool.refCount(a), index.cachedBlocks], [1, 2]);
  index.verify();
});

Deno.test("BlockTable copies a cached block rather than write into it", () => {
  const { pool, index } = setup();
  const table = new BlockTable(pool);
  table.reserve(2);
  const cursor = index.cursor();
  cursor.advance([1, 2], 1);
  cursor.close();
  table.truncate(1);
  assertEquals(table.reserve(1).copies, [
    { source: 1, destination: 2, rows: 1 },
  ]);
  assertEquals(index.match([1, 2, 3]).blocks, [1]);
  assertEquals(pool.refCount(1), 0);
  index.verify();
});

const value = fc.oneof(
  fc.string({ unit: "binary", maxLength: 4 }),
  fc.integer({ min: -3, max: 3 }),
  fc.uint8Array({ maxLength: 3 }),
);
const domain = fc.record(
  { salt: value, keys: fc.dictionary(fc.string({ maxLength: 2 }), value) },
  { requiredKeys: [] },
) as fc.Arbitrary<PrefixDomain>;

property(
  "encodeDomain() is the same for equal domains only",
  [domain, domain],
  (a, b) => {
    const plain = ({ salt, keys = {} }: PrefixDomain) => ({
      salt,
      keys: Object.keys(keys).sort().map((name) => [name, keys[name]]),
    });
    let equal = true;
    try {
      assertEquals(plain(a), plain(b));
    } catch {
      equal = false;
    }
    assertEquals(encodeDomain(a) === encodeDomain(b), equal);
  },
  { runs: 300 },
);

property(
  "chainHash() is a safe integer that differs where one word does",
  [fc.array(fc.nat(2 ** 32 - 1), { minLength: 1 }), fc.nat(), fc.nat()],
  (words, parent, pick) => {
    const hash = chainHash(parent, words);
    assert(Number.isSafeInteger(hash) && hash >= 0);
    const other = words.with(pick % words.length, 2 ** 32 - 1);
    if (words[pick % words.length] !== 2 ** 32 - 1) {
      assert(chainHash(parent, other) !== hash);
    }
    assert(chainHash(parent + 1, words) !== hash);
    assert(chainHash(parent, [...words, 0]) !== hash);
  },
  { runs: 300 },
);
