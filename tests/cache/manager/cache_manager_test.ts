import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  BlockPool,
  CacheManager,
  type CacheManagerOptions,
  OutOfBlocksError,
  PrefixIndex,
} from "../../../src/cache/mod.ts";
import { chainHash } from "../../../src/cache/prefix/prefix_hash.ts";

function setup(
  { numBlocks = 11, blockSize = 2, cached = true, ...options }:
    & Partial<Omit<CacheManagerOptions, "pool" | "index">>
    & { numBlocks?: number; blockSize?: number; cached?: boolean } = {},
) {
  const pool = new BlockPool({ numBlocks, blockSize });
  const index = new PrefixIndex(pool, { clock: () => 0 });
  const cache = new CacheManager({
    pool,
    watermark: 0,
    ...(cached ? { index } : {}),
    ...options,
  });
  /** Creates, reserves all that is pending, and commits. */
  const start = (tokens: number[], domain = {}) => {
    const admission = cache.create(tokens, domain);
    cache.reserve(admission.sequence, admission.pending);
    cache.commit(admission.sequence);
    return admission.sequence;
  };
  const blocks = (sequence: ReturnType<typeof start>, group = 0) =>
    sequence.tables[group].blocks;
  return { pool, index, cache, start, blocks };
}

Deno.test("CacheManager.create() matches what was committed, no more", () => {
  const { cache, pool } = setup();
  const first = cache.create([1, 2, 3, 4, 5]);
  assertEquals(first.cached, 0);
  assertEquals(first.pending, [1, 2, 3, 4, 5]);
  const { slots, copies } = cache.reserve(first.sequence, [1, 2, 3, 4, 5]);
  assertEquals(slots, [Uint32Array.of(2, 3, 4, 5, 6)]);
  assertEquals(copies, []);
  assertEquals(cache.create([1, 2, 3, 4, 5]).cached, 0);
  cache.commit(first.sequence, 3);
  const second = cache.create([1, 2, 3, 4, 5]);
  assertEquals([second.cached, second.pending], [2, [3, 4, 5]]);
  cache.commit(first.sequence);
  const third = cache.create([1, 2, 3, 4, 9]);
  assertEquals([third.cached, third.pending], [4, [9]]);
  assertEquals([1, 2, 3].map((id) => pool.refCount(id)), [3, 2, 1]);
  cache.verify();
});

Deno.test("CacheManager.create() copies a partial block, given a free one", () => {
  const { cache, start, pool, blocks } = setup({ numBlocks: 5, blockSize: 4 });
  const first = start([1, 2, 3, 4, 5]);
  const second = cache.create([1, 2, 3, 9, 9]);
  assertEquals(second.copies, [
    { source: 1, destination: 3, rows: 3, group: 0 },
  ]);
  assertEquals([second.cached, second.pending], [3, [9, 9]]);
  assertEquals(cache.reserve(second.sequence, [9]).slots, [Uint32Array.of(15)]);
  cache.free(first);
  assertEquals(pool.freeOrder(), [2, 4, 1]);
  const third = cache.create([1, 2, 8, 8, 8]);
  assertEquals(third.copies[0], {
    source: 1,
    destination: 2,
    rows: 2,
    group: 0,
  });
  cache.reserve(third.sequence, [8, 8]);
  assertEquals(blocks(third.sequence), [2]);
  cache.reserve(second.sequence, [9, 9, 9, 9, 9]);
  assertThrows(() => cache.reserve(third.sequence, [8]), OutOfBlocksError);
  const fourth = cache.create([9, 9]);
  assertEquals([fourth.cached, pool.freeBlocks], [0, 0]);
  cache.verify();
});

Deno.test("CacheManager.create() goes without a partial hit if it must", () => {
  const { cache, start } = setup({ numBlocks: 2, blockSize: 4 });
  cache.free(start([1, 2, 3, 4]));
  // The only free block is the source itself.
  const { cached, copies } = cache.create([1, 2, 3, 9]);
  assertEquals([cached, copies], [0, []]);
  cache.verify();
});

Deno.test("CacheManager() without an index has no hits", () => {
  const { cache, start } = setup({ cached: false });
  start([1, 2, 3]);
  assertEquals(cache.create([1, 2, 3]).cached, 0);
  assertEquals(cache.canAdmit([1, 2, 3]), "now");
  cache.verify();
});

Deno.test("CacheManager.create() keeps salts and adapters apart", () => {
  const { cache, start } = setup();
  start([1, 2, 3], { salt: "a" });
  start([1, 2, 3], { keys: { adapter: 1 } });
  const cached = (domain: object) => {
    const { sequence, cached } = cache.create([1, 2, 3], domain);
    cache.free(sequence);
    return cached;
  };
  assertEquals(cached({ salt: "a" }), 2);
  assertEquals(cached({ keys: { adapter: 1 } }), 2);
  assertEquals([{}, { salt: "b" }, { keys: { adapter: 2 } }].map(cached), [
    0,
    0,
    0,
  ]);
});

Deno.test("CacheManager.fork() makes n samples that copy on write", () => {
  const { cache, start, pool, blocks } = setup();
  const prompt = start([1, 2, 3]);
  const samples = cache.fork(prompt, 2);
  assertEquals(pool.usedBlocks, 2);
  cache.free(prompt);
  assertEquals(cache.reserve(samples[0], [4]), {
    slots: [Uint32Array.of(7)],
    copies: [{ source: 2, destination: 3, rows: 1, group: 0 }],
  });
  assertEquals(cache.reserve(samples[1], [5]).copies, []);
  assertEquals(samples.map((s) => s.tokens), [[1, 2, 3, 4], [1, 2, 3, 5]]);
  assertEquals(samples.map((s) => blocks(s)), [[1, 3], [1, 2]]);
  cache.verify();
});

Deno.test("CacheManager.reorder() goes on from any beams in one call", () => {
  const { cache, start, pool, blocks } = setup({ numBlocks: 8 });
  const a = start([1, 2, 3]);
  const beams = [a, ...cache.fork(a, 2)];
  const first = cache.reorder({
    beams,
    parents: [0, 1, 2],
    tokens: [[4], [5], [6]],
  });
  assertEquals(first.map(({ copies }) => copies), [
    [{ source: 2, destination: 3, rows: 1, group: 0 }],
    [{ source: 2, destination: 4, rows: 1, group: 0 }],
    [],
  ]);
  assertEquals(beams.map((beam) => blocks(beam)), [[1, 3], [1, 4], [1, 2]]);
  // Beams 0 and 1 end: their blocks serve for the others.
  const second = cache.reorder({
    beams,
    parents: [2, 2, 2],
    tokens: [[7], [8], [9]],
  });
  assertEquals(second.flatMap(({ copies }) => copies), []);
  assertEquals(beams.map((beam) => blocks(beam)), [
    [1, 2, 4],
    [1, 2, 3],
    [1, 2, 5],
  ]);
  assertEquals([1, 2, 3, 4, 5].map((id) => pool.refCount(id)), [3, 3, 1, 1, 1]);
  assertEquals(beams.map((beam) => beam.tokens.slice(3)), [[6, 7], [6, 8], [
    6,
    9,
  ]]);
  cache.verify();
});

Deno.test("CacheManager.reorder() copies no table of beams that just go on", () => {
  const { cache, start } = setup({ growth: "powerOfTwo" });
  const beams = [start([1, 2, 3]), start([4, 5, 6, 7, 8])];
  const tables = beams.flatMap((beam) => beam.tables);
  cache.reorder({ beams, parents: [1, 0], tokens: [[9], []] });
  assert(beams[0].tables[0] === tables[1]);
  assert(beams[1].tables[0] === tables[0]);
  assertEquals(tables.map(({ capacity }) => capacity), [4, 8]);
  assertEquals(beams.map(({ tokens }) => tokens), [
    [4, 5, 6, 7, 8, 9],
    [1, 2, 3],
  ]);
  cache.verify();
  cache.commit(beams[0]);
  cache.reorder({ beams, parents: [0, 0], tokens: [[1], [2]] });
  assert(beams[0].tables[0] === tables[1]);
  assertThrows(() => tables[0].length, TypeError, "freed");
  cache.verify();
});

Deno.test("CacheManager hashes a block as it fills, however long the sequence", () => {
  let hashes = 0;
  const pool = new BlockPool({ numBlocks: 300, blockSize: 4 });
  const index = new PrefixIndex(pool, {
    hash: (parent, words) => {
      hashes++;
      return chainHash(parent, words);
    },
  });
  const cache = new CacheManager({ pool, index });
  const { sequence } = cache.create([1]);
  const [beam] = (cache.reserve(sequence, [1]), cache.fork(sequence));
  const beams = [sequence, beam];
  const costs = Array.from({ length: 240 }, (_, i) => {
    hashes = 0;
    cache.reserve(sequence, [i]);
    cache.commit(sequence);
    cache.reorder({ beams, parents: [0, 1], tokens: [[i], [i, i]] });
    for (const one of beams) cache.commit(one);
    return hashes;
  });
  const perBlock = costs[2] + costs[3];
  assert(perBlock > 0);
  for (let i = 2; i < 240; i += 2) {
    assertEquals(costs[i] + costs[i + 1], perBlock, `${i} steps on`);
  }
  cache.verify();
});

Deno.test("CacheManager.reorder() serves copies from beams that end", () => {
  const { cache, start, pool, blocks } = setup({ numBlocks: 4, cached: false });
  const a = start([1]);
  const b = start([2]);
  const c = start([3]);
  assertEquals(pool.freeBlocks, 0);
  const reservations = cache.reorder({
    beams: [a, b, c],
    parents: [1, 1, 0],
    tokens: [[4], [5], [6]],
  });
  assertEquals(reservations.map(({ copies }) => copies), [
    [{ source: 2, destination: 3, rows: 1, group: 0 }],
    [],
    [],
  ]);
  assertEquals([a, b, c].map((s) => blocks(s)), [[3], [2], [1]]);
  assertEquals([a, b, c].map((s) => s.tokens), [[2, 4], [2, 5], [1, 6]]);
  cache.verify();
});

Deno.test("CacheManager.reorder() changes nothing when short of blocks", () => {
  const { cache, start, pool, blocks } = setup({ numBlocks: 3, cached: false });
  const a = start([1]);
  const [b] = cache.fork(a);
  start([2]);
  const order = pool.freeOrder();
  const error = assertThrows(
    () => cache.reorder({ beams: [a, b], parents: [0, 0], tokens: [[1], [2]] }),
    OutOfBlocksError,
  );
  assertEquals([error.needed, error.free], [1, 0]);
  assertEquals(pool.freeOrder(), order);
  assertEquals([blocks(a), blocks(b), pool.refCount(1)], [[1], [1], 2]);
  cache.reorder({ beams: [a, b], parents: [1, 0] });
  assertEquals(pool.refCount(1), 2);
  cache.verify();
});

Deno.test("CacheManager gives back blocks out of the window", () => {
  // A query sees itself and 3 keys to the left: a window of 4.
  const { cache, start, blocks, pool } = setup({ groups: [{ left: 3 }] });
  const sequence = start([1, 2, 3, 4]);
  const seen = [blocks(sequence)];
  for (const token of [5, 6, 7, 8, 9, 10, 11]) {
    cache.reserve(sequence, [token]);
    cache.commit(sequence);
    seen.push(blocks(sequence));
  }
  assertEquals(seen, [
    [1, 2],
    [0, 2, 3],
    [0, 2, 3],
    [0, 0, 3, 4],
    [0, 0, 3, 4],
    [0, 0, 0, 4, 5],
    [0, 0, 0, 4, 5],
    [0, 0, 0, 0, 5, 6],
  ]);
  assertEquals(pool.usedBlocks, 2);
  assertThrows(() => sequence.tables[0].slot(7), RangeError, "position must");
  assertEquals(sequence.tables[0].dropped, 8);
  cache.verify();
});

Deno.test("CacheManager keeps what an uncommitted token still sees", () => {
  const { cache, blocks } = setup({ groups: [{ left: 1 }] });
  const { sequence } = cache.create([1, 2, 3, 4, 5, 6]);
  cache.reserve(sequence, [1, 2, 3, 4, 5, 6]);
  assertEquals(blocks(sequence), [1, 2, 3]);
  cache.commit(sequence, 3);
  assertEquals(blocks(sequence), [0, 2, 3]);
  cache.commit(sequence);
  assertEquals(blocks(sequence), [0, 0, 3]);
});

Deno.test("CacheManager's groups share one pool, each with its window", () => {
  const { cache, start, blocks, pool } = setup({
    groups: [{}, { left: 2 }],
    numBlocks: 13,
  });
  const sequence = start([1, 2, 3, 4, 5, 6, 7]);
  assertEquals([blocks(sequence), blocks(sequence, 1)], [
    [1, 2, 3, 4],
    [0, 0, 7, 8],
  ]);
  assertEquals(pool.usedBlocks, 6);
  const hit = cache.create([1, 2, 3, 4, 5, 6, 9]);
  assertEquals(hit.cached, 6);
  assertEquals(blocks(hit.sequence), [1, 2, 3]);
  assertEquals(blocks(hit.sequence, 1), [0, 0, 7]);
  // A shorter start is cached too: block 6 is free, but not handed out yet.
  assertEquals(cache.create([1, 2, 3, 4, 9]).cached, 4);
  cache.verify();
});

Deno.test("CacheManager.create() needs a start that every group has", () => {
  const { cache, start, index } = setup({
    groups: [{}, { left: 2 }],
    numBlocks: 13,
  });
  const sequence = start([1, 2, 3, 4, 5, 6, 7]);
  index.evict(7); // tokens 4 and 5 of the windowed group
  assertEquals(cache.create([1, 2, 3, 4, 5, 6, 9]).cached, 4);
  index.evict(6);
  assertEquals(cache.create([1, 2, 3, 4, 5, 6, 9]).cached, 2);
  cache.free(sequence);
  cache.verify();
});

Deno.test("CacheManager.preempt() recomputes and counts no hit for it", () => {
  const { cache, start, index, pool } = setup();
  const sequence = start([1, 2, 3, 4, 5]);
  cache.preempt(sequence);
  assertEquals([sequence.status, sequence.length], ["preempted", 0]);
  assertEquals([sequence.tables, pool.usedBlocks], [[], 0]);
  cache.verify();
  const { cached, pending } = cache.resume(sequence, [1, 2, 3, 4, 5, 6]);
  assertEquals([cached, pending], [4, [5, 6]]);
  cache.reserve(sequence, pending);
  assertEquals(sequence.tokens, [1, 2, 3, 4, 5, 6]);
  const { queries, hitTokens, resumes, recoveredTokens } = index.stats;
  assertEquals([queries, hitTokens, resumes, recoveredTokens], [1, 0, 1, 4]);
  cache.verify();
});

Deno.test("CacheManager.preempt() gives up a host copy that is lost", () => {
  const { cache, start, index, pool } = setup({ hostBlocks: 4 });
  const a = start([1, 2, 3]);
  const [b] = cache.fork(a);
  const out = cache.beginSwapOut([a, b]);
  assertThrows(() => cache.preempt(a), TypeError, "must be running or swapped");
  cache.completeSwap(out);
  cache.preempt(a);
  assertEquals([a.status, a.length, a.committed], ["preempted", 0, 0]);
  assertEquals(cache.freeHostBlocks, 2, "the fork still has its copy");
  assertThrows(() => cache.preempt(a), TypeError, "must be running or swapped");
  assertThrows(() => cache.beginSwapIn([a]), TypeError, "must be swapped");
  cache.verify();
  cache.preempt(b);
  assertEquals([cache.freeHostBlocks, pool.usedBlocks], [4, 0]);
  // What the device still has cached is found.
  const { cached, pending } = cache.resume(a, [1, 2, 3]);
  assertEquals([cached, pending], [2, [3]]);
  assertEquals([index.stats.hitTokens, index.stats.recoveredTokens], [0, 2]);
  cache.free(b);
  cache.verify();
});

Deno.test("CacheManager swaps out and in, sharing kept", () => {
  const { cache, start, pool, blocks } = setup({ hostBlocks: 4 });
  const a = start([1, 2, 3]);
  const [b] = cache.fork(a);
  const out = cache.beginSwapOut([a, b]);
  assertEquals(out.direction, "out");
  assertEquals(out.copies, [
    { block: 1, slot: 1, group: 0 },
    { block: 2, slot: 2, group: 0 },
  ]);
  assertEquals([pool.usedBlocks, cache.freeHostBlocks], [2, 2]);
  assertThrows(() => cache.reserve(a, [1]), TypeError, "must be running");
  assertThrows(() => cache.free(a), TypeError, "sequence.status must be");
  cache.verify();
  cache.completeSwap(out);
  assertThrows(() => cache.completeSwap(out), TypeError, "under way");
  assertThrows(() => cache.abortSwap(out), TypeError, "under way");
  assertEquals([a.status, a.length, pool.usedBlocks], ["swapped", 3, 0]);
  cache.verify();
  const into = cache.beginSwapIn([a, b]);
  assertEquals(into.copies, [
    { block: 2, slot: 1, group: 0 },
    { block: 3, slot: 2, group: 0 },
  ]);
  cache.verify();
  cache.completeSwap(into);
  assertEquals([cache.freeHostBlocks, a.status], [4, "running"]);
  assertEquals([blocks(a), blocks(b)], [[2, 3], [2, 3]]);
  assertEquals(cache.reserve(b, [4]).copies.length, 1);
  assertEquals(cache.create([1, 2, 9]).cached, 2);
  cache.verify();
});

Deno.test("CacheManager.abortSwap() leaves things as they were", () => {
  const { cache, start, pool, blocks } = setup({ hostBlocks: 2 });
  const a = start([1, 2, 3]);
  cache.abortSwap(cache.beginSwapOut([a]));
  assertEquals([a.status, cache.freeHostBlocks], ["running", 2]);
  assertEquals(blocks(a), [1, 2]);
  cache.completeSwap(cache.beginSwapOut([a]));
  cache.abortSwap(cache.beginSwapIn([a]));
  assertEquals([a.status, cache.freeHostBlocks], ["swapped", 0]);
  assertEquals(pool.usedBlocks, 0);
  cache.verify();
  cache.free(a);
  assertEquals([a.status, cache.freeHostBlocks], ["freed", 2]);
});

Deno.test("CacheManager.beginSwapOut() is bounded by host blocks", () => {
  for (const [hostBlocks, free] of [[1, 1], [0, 0]]) {
    const { cache, start } = setup({ hostBlocks });
    const a = start([1, 2, 3]);
    const error = assertThrows(
      () => cache.beginSwapOut([a]),
      OutOfBlocksError,
    );
    assertEquals([error.needed, error.free], [2, free]);
    assertEquals(a.status, "running");
    cache.verify();
  }
});

Deno.test("CacheManager.canAdmit() keeps the watermark free", () => {
  const { cache, start } = setup({ numBlocks: 11, watermark: 0.2 });
  const tokens = (n: number) => Array.from({ length: n }, (_, i) => i);
  assertEquals(cache.watermarkBlocks, 2);
  assertEquals([16, 17, 100].map((n) => cache.canAdmit(tokens(n))), [
    "now",
    "never",
    "never",
  ]);
  const sequence = start(tokens(9));
  // 5 blocks in use; 4 of them would be shared.
  assertEquals(cache.canAdmit(tokens(14)), "now");
  assertEquals(cache.canAdmit(tokens(15)), "later");
  assertEquals(cache.canAdmit(tokens(8), { domain: { salt: 1 } }), "later");
  assertEquals(cache.canAdmit(tokens(6), { domain: { salt: 1 } }), "now");
  cache.free(sequence);
  assertEquals(cache.canAdmit(tokens(15)), "now");
});

Deno.test("CacheManager.canAdmit() counts what windows hold at a time", () => {
  const { cache } = setup({ numBlocks: 6, groups: [{ left: 3 }] });
  const tokens = Array.from({ length: 40 }, (_, i) => i);
  assertEquals(cache.canAdmit(tokens), "never");
  assertEquals(cache.canAdmit(tokens, { chunk: 6 }), "now");
  assertEquals(cache.canAdmit(tokens, { chunk: 7 }), "never");
  const { sequence } = cache.create(tokens);
  for (let i = 0; i < 40; i += 6) {
    cache.reserve(sequence, tokens.slice(i, i + 6));
    cache.commit(sequence);
  }
});

Deno.test("CacheManager.truncate() takes back drafts, nothing committed", () => {
  const { cache, start, pool } = setup();
  const sequence = start([1, 2, 3]);
  cache.reserve(sequence, [4, 5, 6]);
  assertEquals(pool.usedBlocks, 3);
  cache.truncate(sequence, 4);
  assertEquals([sequence.tokens, pool.usedBlocks], [[1, 2, 3, 4], 2]);
  assertThrows(() => cache.truncate(sequence, 2), RangeError, "length must");
  assertThrows(() => cache.truncate(sequence, 5), RangeError, "length must");
  cache.verify();
});

Deno.test("CacheManager takes room by its growth policy", () => {
  const used = (growth: "page" | "powerOfTwo" | "max") => {
    const { cache, start, pool } = setup({ growth, maxLength: 14 });
    const sequence = start([1, 2, 3]);
    const counts = [pool.usedBlocks];
    for (const tokens of [[4], [5], [6, 7, 8, 9]]) {
      cache.reserve(sequence, tokens);
      counts.push(pool.usedBlocks);
      cache.verify();
    }
    const [fork] = cache.fork(sequence);
    assertEquals(fork.tables[0].blocks.length, 5);
    assert(sequence.tables[0].capacity <= 14);
    assertThrows(() => cache.reserve(sequence, [1, 1, 1, 1, 1, 1]), RangeError);
    assertEquals(cache.canAdmit(Array(15).fill(0)), "never");
    cache.free(fork);
    cache.free(sequence);
    assertEquals(pool.usedBlocks, 0);
    return counts;
  };
  assertEquals(used("page"), [2, 2, 3, 5]);
  assertEquals(used("powerOfTwo"), [2, 2, 4, 7]);
  assertEquals(used("max"), [7, 7, 7, 7]);
});

Deno.test("CacheManager gives pins back when their time is over", () => {
  let now = 0;
  const pool = new BlockPool({ numBlocks: 3, blockSize: 2 });
  const index = new PrefixIndex(pool, { clock: () => now });
  const cache = new CacheManager({ pool, index });
  const first = cache.create([1, 2, 3]).sequence;
  cache.reserve(first, [1, 2, 3]);
  cache.commit(first);
  const pin = index.pin([1, 2], { ttl: 5 });
  cache.free(first);
  cache.verify();
  const { sequence } = cache.create([7, 8, 9]);
  const error = assertThrows(
    () => cache.reserve(sequence, [7, 8, 9]),
    OutOfBlocksError,
  );
  assertEquals([error.free, error.evictable], [1, 0]);
  now = 5;
  cache.reserve(sequence, [7, 8, 9]);
  assert(!index.unpin(pin));
  cache.verify();
});

Deno.test("CacheManager throws on bad arguments and changes nothing", () => {
  const { cache, start, pool, index } = setup({ maxLength: 8 });
  const a = start([1, 2, 3]);
  const empty = cache.create([1]).sequence;
  const gone = start([9]);
  cache.free(gone);
  const foreign = setup().start([1]);
  const order = pool.freeOrder();
  for (const bad of [gone, foreign, {} as never, undefined as never]) {
    const uses: (() => unknown)[] = [
      () => cache.reserve(bad, [1]),
      () => cache.commit(bad),
      () => cache.truncate(bad, 0),
      () => cache.fork(bad),
      () => cache.free(bad),
      () => cache.preempt(bad),
      () => cache.resume(bad, []),
      () => cache.reorder({ beams: [a, bad], parents: [0, 0] }),
      () => cache.beginSwapOut([bad]),
      () => cache.beginSwapIn([bad]),
    ];
    for (const use of uses) assertThrows(use, TypeError, "must be a live");
  }
  assertThrows(() => cache.fork(empty), RangeError, "more than 0 to fork");
  for (const count of [0, -1, 1.5]) {
    assertThrows(() => cache.fork(a, count), RangeError, "count must");
  }
  for (const end of [-1, 2, 4, 3.5]) {
    assertThrows(() => cache.commit(a, end), RangeError, "length must");
  }
  assertThrows(() => cache.commit(a, "3" as never), TypeError, "length must");
  assertThrows(() => cache.reserve(a, [-1]), RangeError, "tokens[0] must");
  assertThrows(() => cache.reserve(a, 5 as never), TypeError, "tokens must");
  assertThrows(
    () => cache.reserve(a, Array(6).fill(0)),
    RangeError,
    "maxLength, 8",
  );
  assertThrows(() => cache.create(Array(9).fill(0)), RangeError, "maxLength");
  assertThrows(() => cache.create([1], { salt: {} as never }), TypeError);
  assertThrows(() => cache.canAdmit([1], { chunk: 0 }), RangeError, "chunk");
  assertThrows(() => cache.resume(a, [1]), TypeError, "must be preempted");
  assertThrows(() => cache.beginSwapIn([a]), TypeError, "must be swapped");
  const reorder = (parents: number[], tokens?: number[][]) => () =>
    cache.reorder({
      beams: [a, empty],
      parents,
      ...(tokens ? { tokens } : {}),
    });
  assertThrows(reorder([0]), RangeError, "parents.length");
  assertThrows(reorder([0, 2]), RangeError, "parents[1] must");
  assertThrows(reorder([0, 0], [[1]]), RangeError, "tokens.length");
  assertThrows(reorder([0, 0], [[1], [-1]]), RangeError, "tokens[0] must");
  assertThrows(reorder([0, 0], [[1], Array(9).fill(0)]), RangeError, "maxLen");
  assertThrows(
    () => cache.reorder({ beams: [a, a], parents: [0, 0] }),
    TypeError,
    "must not name a sequence twice",
  );
  assertThrows(() => cache.completeSwap({} as never), TypeError, "transfer");
  assertEquals(pool.freeOrder(), order);
  assertEquals(cache.sequences, [a, empty]);
  cache.verify();
  const make = (options: object) => () =>
    new CacheManager({ pool, index, ...options } as CacheManagerOptions);
  assertThrows(make({ pool: {} }), TypeError, "pool must");
  assertThrows(make({ index: {} }), TypeError, "index must");
  assertThrows(make({ index: setup().index }), TypeError, "index must");
  assertThrows(make({ groups: [] }), RangeError, "groups must");
  assertThrows(make({ groups: [{ left: -1 }] }), RangeError, "groups[0].left");
  assertThrows(make({ groups: 3 }), TypeError, "groups must");
  assertThrows(make({ watermark: 2 }), RangeError, "watermark must");
  assertThrows(make({ watermark: "1" }), TypeError, "watermark must");
  assertThrows(make({ hostBlocks: -1 }), RangeError, "hostBlocks must");
  assertThrows(make({ growth: "half" }), TypeError, "policy must");
  assertThrows(make({ growth: "max" }), RangeError, "maxLength must");
});

Deno.test("CacheManager refuses salts of the wrong type, index or none", () => {
  for (const cached of [true, false]) {
    const { cache, start, pool } = setup({ cached });
    start([1, 2, 3]);
    for (const salt of [null, true, {}, [1]]) {
      const domain = { salt } as never;
      assertThrows(() => cache.create([1], domain), TypeError, "salt must");
      assertThrows(
        () => cache.canAdmit([1], { domain }),
        TypeError,
        "salt must",
      );
    }
    const domain = { keys: { adapter: NaN } };
    assertThrows(() => cache.create([1], domain), RangeError, "keys.adapter");
    assertThrows(() => cache.canAdmit([1], { domain }), RangeError, "keys");
    assertThrows(() => cache.create([1], 5 as never), TypeError, "domain must");
    assertEquals([cache.sequences.length, pool.usedBlocks], [1, 2]);
    cache.verify();
  }
});

Deno.test("CacheManager is not moved by edits of what it gave or was given", () => {
  const { cache, pool, index } = setup();
  const tokens = [1, 2, 3];
  const domain = { salt: Uint8Array.of(1), keys: { adapter: 1 } };
  const { sequence, pending } = cache.create(tokens, domain);
  cache.reserve(sequence, pending);
  domain.salt[0] = 9;
  domain.keys.adapter = 2;
  tokens[0] = 9;
  (sequence.tokens as number[])[1] = 9;
  (sequence.tables as unknown[]).pop();
  (sequence.tables[0].blocks as number[])[0] = 9;
  cache.commit(sequence);
  const same = { salt: Uint8Array.of(1), keys: { adapter: 1 } };
  assertEquals(index.match([1, 2, 3], same).blocks, [1]);
  const match = index.match([1, 2, 3], same);
  (match.blocks as number[])[0] = 5;
  assertEquals(cache.create([1, 2, 3], same).cached, 2);
  const pin = index.pin([1, 2], same);
  assertThrows(() => (pin.blocks as number[])[0] = 2, TypeError);
  index.unpin(pin);
  assertEquals(pool.refCount(1), 2);
  cache.preempt(sequence);
  assertEquals(cache.resume(sequence, [1, 2, 3]).cached, 2);
  cache.verify();
});

Deno.test("CacheManager.fork() shares what a window left", () => {
  const { cache, start, blocks, pool } = setup({ groups: [{ left: 1 }] });
  const sequence = start([1, 2, 3, 4, 5]);
  const [fork] = cache.fork(sequence);
  assertEquals([blocks(sequence), blocks(fork)], [[0, 0, 3], [0, 0, 3]]);
  assertEquals(cache.reorder({ beams: [fork], parents: [0] }), [
    { slots: [new Uint32Array()], copies: [] },
  ]);
  cache.free(sequence);
  assertEquals(pool.refCount(3), 1);
  cache.verify();
});

Deno.test("CacheManager.create() drops what a partial hit's window passes", () => {
  const { cache, start, blocks } = setup({ groups: [{}, { left: 3 }] });
  cache.free(start([1, 2, 3, 4, 5, 6]));
  const { sequence, cached } = cache.create([1, 2, 3, 4, 5, 6]);
  assertEquals([cached, blocks(sequence, 1)[0]], [5, 0]);
  cache.verify();
});

Deno.test("CacheManager.create() needs nothing of a group that sees nothing", () => {
  const { cache, start, index } = setup({ groups: [{ left: 0 }, {}] });
  const sequence = start([1, 2, 3]);
  cache.free(sequence);
  index.evict(1);
  assertEquals(cache.create([1, 2, 3]).cached, 2);
  cache.verify();
});

Deno.test("CacheManager swaps an empty sequence, host or none", () => {
  const { cache } = setup();
  const { sequence } = cache.create([1]);
  cache.completeSwap(cache.beginSwapOut([sequence]));
  cache.verify();
  cache.completeSwap(cache.beginSwapIn([sequence]));
  assertEquals(sequence.status, "running");
});
