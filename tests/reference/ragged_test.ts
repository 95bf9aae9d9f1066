import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  attention,
  raggedAttention,
  type RaggedAttentionProblem,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { property } from "../support/property.ts";
import { cases, MASKS, normals, problemOf, rowsOf, SCORES } from "./cases.ts";

property(
  "raggedAttention() is attention() of each sequence",
  [
    cases(),
    fc.array(fc.tuple(fc.nat(4), fc.nat(6)), { maxLength: 4 }),
    fc.boolean(),
  ],
  (c, lengths, withOffset) => {
    const prng = new Prng(c.seed);
    const queryHeads = c.kvHeads * c.queriesPerKvHead;
    const starts = (part: 0 | 1) =>
      lengths.reduce((sum, l) => [...sum, sum.at(-1)! + l[part]], [0]);
    const [cuSeqlensQuery, cuSeqlensKey] = [starts(0), starts(1)];
    const keyTokens = cuSeqlensKey.at(-1)!;
    const { headDim, valueHeadDim, kvHeads } = c;
    const shared = { queryHeads, kvHeads, headDim, valueHeadDim };
    const [score, mask] = [SCORES[c.score], MASKS[c.mask]];
    const queryOffset = withOffset
      ? Int32Array.from(lengths, (_, b) => 2 * b - 1)
      : undefined;
    const problem: RaggedAttentionProblem = {
      ...shared,
      query: normals(prng, cuSeqlensQuery.at(-1)! * queryHeads * headDim),
      key: normals(prng, keyTokens * kvHeads * headDim),
      value: normals(prng, keyTokens * kvHeads * valueHeadDim),
      cuSeqlensQuery,
      cuSeqlensKey,
      queryOffset,
      // The index of the sequence matters to both.
      score: (s, b, h, i, j) => (score?.(s, b, h, i, j) ?? s) + b,
      mask,
    };
    const { output, lse } = raggedAttention(problem);

    lengths.forEach(([queryLength, keyLength], b) => {
      const queries = { first: cuSeqlensQuery[b], end: cuSeqlensQuery[b + 1] };
      const keys = { first: cuSeqlensKey[b], end: cuSeqlensKey[b + 1] };
      const one = attention({
        ...shared,
        query: rowsOf(problem.query, {
          ...queries,
          width: queryHeads * headDim,
        }),
        key: rowsOf(problem.key, { ...keys, width: kvHeads * headDim }),
        value: rowsOf(problem.value, {
          ...keys,
          width: kvHeads * valueHeadDim,
        }),
        batch: 1,
        queryLength,
        keyLength,
        queryOffset: queryOffset?.[b],
        score: (s, _, h, i, j) => (score?.(s, b, h, i, j) ?? s) + b,
        mask: mask && ((_, h, i, j) => mask(b, h, i, j)),
      });
      const width = queryHeads * valueHeadDim;
      assertEquals(rowsOf(output, { ...queries, width }), [...one.output]);
      const heads = { ...queries, width: queryHeads };
      assertEquals(rowsOf(lse, heads), [...one.lse]);
    });
  },
);

property(
  "raggedAttention() of equal lengths is dense attention()",
  [cases()],
  (c) => {
    const problem = problemOf(c);
    const starts = (length: number) =>
      Uint32Array.from({ length: c.batch + 1 }, (_, b) => b * length);
    const ragged = raggedAttention({
      ...problem,
      cuSeqlensQuery: starts(c.queryLength),
      cuSeqlensKey: starts(c.keyLength),
    });
    assertEquals(ragged, attention(problem));
  },
);

Deno.test("raggedAttention() says what is wrong with a problem", () => {
  const problem: RaggedAttentionProblem = {
    query: [1, 2],
    key: [1, 2, 3],
    value: [1, 2, 3],
    cuSeqlensQuery: [0, 1, 2],
    cuSeqlensKey: [0, 1, 3],
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
  };
  const wrong: [
    Partial<RaggedAttentionProblem>,
    typeof TypeError | typeof RangeError,
    string,
  ][] = [
    [{ query: [1] }, TypeError, "query must have 2 elements"],
    [{ cuSeqlensQuery: [] }, TypeError, "must have batch + 1 elements"],
    [{ cuSeqlensKey: [0, 3] }, TypeError, "cuSeqlensKey must have 3 elements"],
    [{ queryOffset: [0] }, TypeError, "queryOffset must have 2 elements"],
    [{ cuSeqlensQuery: [1, 1, 2] }, RangeError, "cuSeqlensQuery[0]"],
    [{ cuSeqlensKey: [0, 4, 3] }, RangeError, "cuSeqlensKey[2]"],
  ];
  for (const [change, errorClass, message] of wrong) {
    const call = () => raggedAttention({ ...problem, ...change });
    assertThrows(call, errorClass, message);
  }
});
