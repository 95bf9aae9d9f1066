/**
 * Problems drawn for what plans foretell that they move, and which tiles of them
 * have a pair, asked pair by pair.
 *
 * @module
 */

import fc from "fast-check";
import { type AttentionProblem, attentionProblem } from "../../src/ops/mod.ts";
import type { AttentionSizes } from "../../src/planning/mod.ts";

/** What is drawn. */
export interface Drawn {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: readonly [number, number];
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly causal: boolean;
  readonly dtype: "f32" | "f16";
  readonly lse: boolean;
  readonly window: number | undefined;
}

/** Small problems. */
export const drawn: fc.Arbitrary<Drawn> = fc.record({
  batch: fc.integer({ min: 1, max: 2 }),
  queries: fc.integer({ min: 1, max: 200 }),
  keys: fc.integer({ min: 1, max: 200 }),
  heads: fc.constantFrom([1, 1], [4, 2], [6, 1]),
  headDim: fc.integer({ min: 1, max: 64 }),
  valueHeadDim: fc.integer({ min: 1, max: 64 }),
  causal: fc.boolean(),
  dtype: fc.constantFrom("f32", "f16"),
  lse: fc.boolean(),
  window: fc.option(fc.nat(60), { nil: undefined }),
});

/** The problem of what is drawn. */
export function problemOf(c: Drawn): AttentionProblem {
  const [queryHeads, kvHeads] = c.heads;
  const tensor = (rows: number, heads: number, dim: number) => ({
    dtype: c.dtype,
    shape: [c.batch, rows, heads, dim],
  });
  return attentionProblem({
    query: tensor(c.queries, queryHeads, c.headDim),
    key: tensor(c.keys, kvHeads, c.headDim),
    value: tensor(c.keys, kvHeads, c.valueHeadDim),
    causal: c.causal,
    ...(c.window !== undefined && { window: { left: c.window } }),
    returnLse: c.lse,
  });
}

/** Its sizes, as cost models take them. */
export function sizesOf(c: Drawn): AttentionSizes {
  const { batch, queries, keys, headDim, valueHeadDim, lse } = c;
  const [queryHeads, kvHeads] = c.heads;
  return {
    batch,
    queries,
    keys,
    queryHeads,
    kvHeads,
    headDim,
    valueHeadDim,
    lse,
  };
}

/** Whether a packed row sees a key. */
function sees(c: Drawn, row: number, key: number): boolean {
  const group = c.heads[0] / c.heads[1];
  const position = Math.floor(row / group) + c.keys - c.queries;
  return (!c.causal || key <= position) &&
    (c.window === undefined || key >= position - c.window);
}

/** The tiles of which a pair is seen, asked pair by pair. */
export function visitsOf(
  c: Drawn,
  { rows, keys }: { rows: number; keys: number },
) {
  const known = new Map<string, boolean>();
  const all = c.queries * c.heads[0] / c.heads[1];
  return (rowTile: number, keyTile: number): boolean => {
    const name = `${rowTile}/${keyTile}`;
    let found = known.get(name);
    if (found === undefined) {
      found = false;
      const end = Math.min((rowTile + 1) * rows, all);
      const last = Math.min((keyTile + 1) * keys, c.keys);
      for (let r = rowTile * rows; r < end && !found; r++) {
        for (let j = keyTile * keys; j < last && !found; j++) {
          found = sees(c, r, j);
        }
      }
      known.set(name, found);
    }
    return found;
  };
}
