import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  pagedAttention,
  type PagedAttentionProblem,
  raggedAttention,
  type RaggedAttentionProblem,
  type ReferenceResult,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import {
  type Case,
  cases,
  MASKS,
  normals,
  range,
  rowsOf,
  SCORES,
} from "./cases.ts";

/** Sequences of `lengths` (queries, keys), packed. */
function raggedOf(
  c: Case,
  lengths: [number, number][],
): RaggedAttentionProblem {
  const prng = new Prng(c.seed);
  const queryHeads = c.kvHeads * c.queriesPerKvHead;
  const starts = (part: 0 | 1) =>
    lengths.reduce((sum, l) => [...sum, sum.at(-1)! + l[part]], [0]);
  const [cuSeqlensQuery, cuSeqlensKey] = [starts(0), starts(1)];
  const keys = cuSeqlensKey.at(-1)! * c.kvHeads;
  return {
    query: normals(prng, cuSeqlensQuery.at(-1)! * queryHeads * c.headDim),
    key: normals(prng, keys * c.headDim),
    value: normals(prng, keys * c.valueHeadDim),
    cuSeqlensQuery,
    cuSeqlensKey,
    queryHeads,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    valueHeadDim: c.valueHeadDim,
    mask: MASKS[c.mask],
    score: SCORES[c.score],
  };
}

/**
 * The same sequences in shuffled blocks, with blocks to spare. Table entries,
 * slots and blocks that belong to no key hold `poison`.
 */
function pagedOf(
  ragged: RaggedAttentionProblem,
  { blockSize, seed, poison }: {
    blockSize: number;
    seed: number;
    poison: number;
  },
): PagedAttentionProblem {
  const { cuSeqlensKey, cuSeqlensQuery, kvHeads, headDim } = ragged;
  const { valueHeadDim = headDim } = ragged;
  const sequences = cuSeqlensKey.length - 1;
  const keyLengths = range(sequences)
    .map((b) => cuSeqlensKey[b + 1] - cuSeqlensKey[b]);
  const used = keyLengths.map((length) => Math.ceil(length / blockSize));
  const maxBlocks = Math.max(0, ...used) + 1;
  const numBlocks = used.reduce((sum, n) => sum + n, 0) + 3;
  const free = new Prng(seed).shuffle(range(numBlocks));
  const blockTable = new Uint32Array(sequences * maxBlocks).fill(0xffffffff);
  const slots = numBlocks * blockSize * kvHeads;
  const keyBlocks = new Float32Array(slots * headDim).fill(poison);
  const valueBlocks = new Float32Array(slots * valueHeadDim).fill(poison);
  const put = (
    blocks: Float32Array,
    from: ArrayLike<number>,
    { slot, token, width }: { slot: number; token: number; width: number },
  ) =>
    blocks.set(
      rowsOf(from, { first: token, end: token + 1, width }),
      slot * width,
    );
  for (let b = 0; b < sequences; b++) {
    for (let n = 0; n < used[b]; n++) {
      blockTable[b * maxBlocks + n] = free.pop()!;
    }
    for (let j = 0; j < keyLengths[b]; j++) {
      const block = blockTable[b * maxBlocks + Math.floor(j / blockSize)];
      const slot = block * blockSize + j % blockSize;
      const token = cuSeqlensKey[b] + j;
      put(keyBlocks, ragged.key, { slot, token, width: kvHeads * headDim });
      const width = kvHeads * valueHeadDim;
      put(valueBlocks, ragged.value, { slot, token, width });
    }
  }
  const { query, queryHeads, score, mask } = ragged;
  return {
    query,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    score,
    mask,
    cuSeqlensQuery,
    keyBlocks,
    valueBlocks,
    numBlocks,
    blockSize,
    blockTable,
    maxBlocks,
    keyLengths,
  };
}

property(
  "pagedAttention() is the same for any table, whatever lies elsewhere",
  [
    cases(),
    fc.array(fc.tuple(fc.nat(4), fc.nat(9)), { maxLength: 4 }),
    fc.constantFrom(1, 2, 3, 5, 16),
    fc.nat(),
  ],
  (c, lengths, blockSize, seed) => {
    const ragged = raggedOf(c, lengths);
    const expected: ReferenceResult = raggedAttention(ragged);
    for (const poison of [NaN, 1e30]) {
      const paged = pagedOf(ragged, { blockSize, seed, poison });
      assertEquals(pagedAttention(paged), expected);
    }
  },
);

Deno.test("pagedAttention() follows the table of two sequences by hand", () => {
  // Block 2 then 0 for the first (3 keys), block 1 for the second (1 key).
  const { output } = pagedAttention({
    query: [0, 0],
    keyBlocks: new Array(6).fill(0),
    valueBlocks: [9, NaN, 5, NaN, 1, 2],
    numBlocks: 3,
    blockSize: 2,
    blockTable: [2, 0, 1, 7],
    maxBlocks: 2,
    keyLengths: [3, 1],
    cuSeqlensQuery: [0, 1, 2],
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
  });
  assertEquals([...output].map((x) => Math.round(x * 1e9) / 1e9), [4, 5]);
});

Deno.test("pagedAttention() says what is wrong with a problem", () => {
  const problem: PagedAttentionProblem = {
    query: [1],
    keyBlocks: [1, 2, 3, 4],
    valueBlocks: [1, 2, 3, 4],
    numBlocks: 2,
    blockSize: 2,
    blockTable: [1, 0],
    maxBlocks: 2,
    keyLengths: [3],
    cuSeqlensQuery: [0, 1],
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
  };
  const wrong: [
    Partial<PagedAttentionProblem>,
    typeof TypeError | typeof RangeError,
    string,
  ][] = [
    [{ keyBlocks: [1] }, TypeError, "keyBlocks must have 4 elements"],
    [{ valueBlocks: [1] }, TypeError, "valueBlocks must have 4 elements"],
    [{ blockTable: [1] }, TypeError, "blockTable must have 2 elements [1, 2]"],
    [{ keyLengths: [] }, TypeError, "keyLengths must have 1 elements"],
    [{ blockSize: 0 }, RangeError, "blockSize must be an integer >= 1"],
    [
      { keyLengths: [5] },
      RangeError,
      "keyLengths[0] must be an integer in 0..4",
    ],
    [{ blockTable: [1, 2] }, RangeError, "blockTable[0, 1] must be"],
  ];
  for (const [change, errorClass, message] of wrong) {
    const call = () => pagedAttention({ ...problem, ...change });
    assertThrows(call, errorClass, message);
  }
});
