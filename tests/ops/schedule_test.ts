/**
 * The schedule read back word by word: items cover every row once, runs cover
 * every key that a brute-force mask lets through, splits partition the keys.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  attentionProblem,
  causal,
  maskFunction,
  type MaskMod,
  maskMod,
  slidingWindow,
} from "../../mod.ts";
import {
  ITEM_WORDS,
  RUN_WORDS,
  SEQUENCE_WORDS,
} from "../../kernels/fragments/schedule.ts";
import { type AttentionProblem, packedRows } from "../../src/ops/problem.ts";
import {
  buildSchedule,
  type Schedule,
  type Share,
  type Splitting,
} from "../../src/ops/schedule.ts";
import { property } from "../support/property.ts";

interface Case {
  readonly lengths: readonly (readonly [queries: number, keys: number])[];
  readonly heads: readonly [kvHeads: number, group: number];
  readonly mask: string;
  readonly rows: number;
  readonly step: number;
  readonly splitting: Splitting | undefined;
}

const MASKS: Readonly<Record<string, () => MaskMod[]>> = {
  none: () => [],
  causal: () => [causal()],
  window: () => [slidingWindow({ left: 5, right: 2 })],
  never: () => [maskMod("never", ({ key }) => key.lt(0))],
  perHead: () => [
    maskMod(
      "per head",
      ({ head, query, key }) => key.le(query.sub(head.mul(3))),
    ),
  ],
  perBatch: () => [maskMod("per batch", ({ batch, key }) => key.ge(batch))],
};

const aCase: fc.Arbitrary<Case> = fc.record({
  lengths: fc.array(
    fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40 })),
    { maxLength: 4 },
  ),
  heads: fc.constantFrom([1, 1], [2, 1], [1, 3], [2, 2]) as fc.Arbitrary<
    [number, number]
  >,
  mask: fc.constantFrom(...Object.keys(MASKS)),
  rows: fc.constantFrom(1, 2, 3, 8),
  step: fc.constantFrom(1, 4, 7, 64),
  splitting: fc.constantFrom<Splitting | undefined>(
    undefined,
    { kind: "size", keys: 1 },
    { kind: "size", keys: 12 },
    { kind: "count", count: 1 },
    { kind: "count", count: 3 },
    { kind: "count", count: 100 },
  ),
});

function problemOf({ lengths, heads, mask }: Case): AttentionProblem {
  const [kvHeads, group] = heads;
  const sums = (column: 0 | 1) =>
    lengths.reduce((out, pair) => [...out, out.at(-1)! + pair[column]], [0]);
  const [queries, keys] = [sums(0), sums(1)];
  const f32 = (...shape: number[]) => ({ dtype: "f32", shape } as const);
  return attentionProblem({
    query: f32(queries.at(-1)!, kvHeads * group, 4),
    key: f32(keys.at(-1)!, kvHeads, 4),
    value: f32(keys.at(-1)!, kvHeads, 4),
    cuSeqlens: queries,
    cuSeqlensKey: keys,
    maskMod: MASKS[mask](),
  });
}

const shareOf = (test: Case): Share => ({
  takes: () => true,
  rows: test.rows,
  step: test.step,
  splitting: () => test.splitting,
});

interface Item {
  readonly sequence: number;
  readonly row: number;
  readonly slot: number;
  readonly count: number;
  /** One list of [first, end, full] a kv head. */
  readonly runs: readonly (readonly number[])[][];
}

function readItems(
  { words, runsPerHead }: Schedule,
  { at, count, heads }: { at: number; count: number; heads: number },
): Item[] {
  return Array.from({ length: count }, (_, i) => {
    const [sequence, row, runs, slot, slots] = words.subarray(
      at + i * ITEM_WORDS,
    );
    const lists = Array.from({ length: runsPerHead ? heads : 1 }, (_, h) => {
      const [offset, length] = words.subarray(runs + 2 * h);
      return Array.from({ length }, (_, r) => [
        ...words.subarray(offset + r * RUN_WORDS).subarray(0, RUN_WORDS),
      ]);
    });
    return { sequence, row, slot, count: slots, runs: lists };
  });
}

function itemsOf(problem: AttentionProblem, schedule: Schedule): Item[] {
  const [{ itemsAt, itemCount }] = schedule.passes;
  return readItems(schedule, {
    at: itemsAt,
    count: itemCount,
    heads: problem.kvHeads,
  });
}

property(
  "buildSchedule() gives every packed row to one item a split",
  [aCase],
  (test) => {
    const problem = problemOf(test);
    const schedule = buildSchedule(problem, [shareOf(test)]);
    const seen = new Map<string, number>();
    for (const { sequence, row } of itemsOf(problem, schedule)) {
      assertEquals(row % test.rows, 0);
      const key = `${sequence},${row}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
    }
    const expected = problem.sequences.flatMap((sequence, s) =>
      Array.from(
        { length: Math.ceil(packedRows(problem, sequence) / test.rows) },
        (_, i) => `${s},${i * test.rows}`,
      )
    );
    assertEquals([...seen.keys()].sort(), expected.sort());
    if (!test.splitting) {
      assertEquals(new Set(seen.values()), new Set(expected.length ? [1] : []));
    }
  },
);

property(
  "buildSchedule() runs hold every visible key once, and full ones no other",
  [aCase],
  (test) => {
    const problem = problemOf(test);
    const { kvHeads, queryHeads, sequences } = problem;
    const group = queryHeads / kvHeads;
    const schedule = buildSchedule(problem, [shareOf(test)]);
    const sees = maskFunction(problem.maskMods);
    const runs = new Map<string, (readonly number[])[]>();
    for (const item of itemsOf(problem, schedule)) {
      for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
        const list = item.runs[schedule.runsPerHead ? kvHead : 0];
        for (let r = item.row; r < item.row + test.rows; r++) {
          const key = `${item.sequence},${r},${kvHead}`;
          runs.set(key, [...runs.get(key) ?? [], ...list]);
        }
      }
    }
    sequences.forEach((sequence, batch) => {
      for (let r = 0; r < packedRows(problem, sequence); r++) {
        const query = Math.floor(r / group) + sequence.queryOffset;
        for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
          const head = kvHead * group + r % group;
          const list = runs.get(`${batch},${r},${kvHead}`)!;
          for (let key = 0; key < sequence.keyCount; key++) {
            const visible = sees(batch, head, query, key);
            const holding = list.filter(([from, to]) =>
              from <= key && key < to
            );
            assert(holding.length <= 1, `key ${key} is in two runs`);
            if (visible) assertEquals(holding.length, 1, `key ${key} is lost`);
            if (holding[0]?.[2] === 1) assert(visible, `${key} is not seen`);
          }
          for (const [from, to, full] of list) {
            assertEquals(from % test.step, 0);
            assert(from < to, "a run is empty");
            assert(
              !full || to <= sequence.keyCount,
              "a full run is past the end",
            );
          }
        }
      }
    });
  },
);

property(
  "buildSchedule() numbers the slots of a row in order of its splits",
  [aCase],
  (test) => {
    const problem = problemOf(test);
    const schedule = buildSchedule(problem, [shareOf(test)]);
    const [pass] = schedule.passes;
    const items = itemsOf(problem, schedule);
    assertEquals(items.map(({ slot }) => slot), items.map((_, i) => i));
    if (!pass.partial) return;
    assertEquals(pass.slotCount, items.length);
    const merges = readItems({ ...schedule, runsPerHead: false }, {
      at: pass.mergeAt,
      count: pass.mergeCount,
      heads: 1,
    });
    let next = 0;
    for (const { sequence, row, slot, count } of merges) {
      assertEquals(slot, next);
      const parts = items.slice(slot, slot + count);
      for (const part of parts) {
        assertEquals([part.sequence, part.row], [sequence, row]);
      }
      const firsts = parts.map((part) =>
        Math.min(...part.runs.flat().map(([first]) => first))
      );
      assertEquals(firsts, [...firsts].sort((a, b) => a - b));
      next += count;
    }
    assertEquals(next, items.length);
  },
);

property(
  "buildSchedule() splits depend on the sequence alone",
  [aCase, fc.integer({ min: 0, max: 40 })],
  (test, extra) => {
    const alone = {
      ...test,
      mask: "causal",
      lengths: [test.lengths[0] ?? [1, 9]],
    };
    const together = { ...alone, lengths: [...alone.lengths, [2, extra]] };
    const [a, b] = [alone, together].map((one) => {
      const problem = problemOf(one as Case);
      return itemsOf(problem, buildSchedule(problem, [shareOf(one as Case)]));
    });
    assertEquals(b.filter(({ sequence }) => sequence === 0), a);
  },
);

property(
  "buildSchedule() counts tiles: visited <= total, full <= visited",
  [aCase],
  (test) => {
    const problem = problemOf(test);
    const schedule = buildSchedule(problem, [shareOf(test)]);
    const { total, visited, full } = schedule.tiles;
    const heads = schedule.runsPerHead ? problem.kvHeads : 1;
    const expected = problem.sequences.reduce(
      (sum, sequence) =>
        sum + heads * Math.ceil(packedRows(problem, sequence) / test.rows) *
          Math.ceil(sequence.keyCount / test.step),
      0,
    );
    assertEquals(total, expected);
    assert(full <= visited && visited <= total);
    if (test.mask === "none") assertEquals(visited, total);
    if (test.mask === "never") assertEquals(visited, 0);
  },
);

Deno.test("buildSchedule() writes sequences and the block table", () => {
  const f32 = (...shape: number[]) => ({ dtype: "f32", shape } as const);
  const problem = attentionProblem({
    query: f32(2, 1, 1, 4),
    key: f32(9, 4, 1, 4),
    value: f32(9, 4, 1, 4),
    blockTable: Uint32Array.of(7, 3, 8, 1),
    keyLengths: [5, 2],
    queryOffset: [-3, 4],
  });
  const { words, sequencesAt, passes, tiles } = buildSchedule(problem, [{
    takes: () => true,
    rows: 8,
    step: 4,
    splitting: () => undefined,
  }]);
  const tableAt = sequencesAt + 2 * SEQUENCE_WORDS;
  assertEquals([...words.subarray(tableAt)], [7, 3, 8, 1]);
  assertEquals([...words.subarray(sequencesAt, tableAt)], [
    ...[0, 1, tableAt, 5, 2 ** 32 - 3, 0, 0, 0],
    ...[1, 1, tableAt + 2, 2, 4, 1, 0, 0],
  ]);
  assertEquals(passes[0].itemCount, 2);
  assertEquals(tiles, { total: 3, visited: 3, full: 1 });
});

Deno.test("buildSchedule() gives each sequence to the share that takes it", () => {
  const problem = problemOf({
    lengths: [[1, 4], [9, 9], [0, 3], [2, 5]],
    heads: [1, 1],
    mask: "causal",
    rows: 4,
    step: 4,
    splitting: undefined,
  });
  const share = (takes: Share["takes"], rows: number): Share => ({
    takes,
    rows,
    step: 4,
    splitting: () => undefined,
  });
  const schedule = buildSchedule(problem, [
    share(({ queryCount }) => queryCount > 2, 4),
    share(({ queryCount }) => queryCount <= 2, 2),
  ]);
  const sequences = schedule.passes.map(({ itemsAt, itemCount }) =>
    readItems(schedule, { at: itemsAt, count: itemCount, heads: 1 })
      .map(({ sequence, row }) => [sequence, row])
  );
  assertEquals(sequences, [[[1, 0], [1, 4], [1, 8]], [[0, 0], [3, 0]]]);
});
