/**
 * The schedule read back record by record: every row gets every visible key once,
 * in order, however the work is partitioned and whatever is shared.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  attentionProblem,
  causal,
  type MaskMod,
  maskMod,
  scoreMod,
  slidingWindow,
} from "../../../../mod.ts";
import { maskFunction } from "../../../../src/mods/mod.ts";
import { SEQUENCE } from "../../../../kernels/fragments/schedule.ts";
import {
  type AttentionProblem,
  packedRows,
} from "../../../../src/ops/attention/problem.ts";
import type { CostModel } from "../../../../src/ops/attention/work/cost.ts";
import {
  flatWork,
  type KeyRange,
  type Work,
} from "../../../../src/ops/attention/work/key_ranges.ts";
import type { Partition } from "../../../../src/ops/attention/work/partition.ts";
import {
  buildSchedule,
  type KernelWork,
  type Schedule,
} from "../../../../src/ops/attention/work/schedule.ts";
import { sharedWork } from "../../../../src/ops/attention/work/shared_prefix.ts";
import { property } from "../../../support/property.ts";
import {
  type ReadKernel,
  readRecord,
  readSchedule,
  stepsOf,
} from "./schedule_reader.ts";

const MODEL: CostModel = { workers: 4, tileSteps: 1, dispatchSteps: 2 };
const BLOCK = 4;
const POOL = 64;

interface Case {
  readonly lengths: readonly (readonly [queries: number, keys: number])[];
  readonly heads: readonly [kvHeads: number, group: number];
  readonly mask: string;
  readonly position: boolean;
  readonly rows: number;
  readonly step: number;
  readonly partition: string;
  readonly layout: "contiguous" | "paged";
  /** The same for what is shared. */
  readonly sharedPartition: string;
  /** Paged: how many blocks a sequence has from one that comes before it. */
  readonly shared: readonly (readonly [blocks: number, from: number])[];
  readonly sharing: "never" | "always" | "sometimes";
  /** Iterations of loops that a workgroup may take. */
  readonly maxLoopIterations: number;
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

const splits = (
  of: Extract<Partition, { kind: "splits" }>["of"],
): Partition => ({ kind: "splits", text: "splits", of });
const streamK = (workers: number): Partition => ({
  kind: "stream-k",
  text: "stream-k",
  workers,
});
const PARTITIONS: Readonly<Record<string, Partition>> = {
  unsplit: splits(() => undefined),
  "1 key": splits(() => ({ kind: "size", keys: 1 })),
  "12 keys": splits(() => ({ kind: "size", keys: 12 })),
  "few rows": splits((n) => n < 4 ? { kind: "size", keys: 8 } : undefined),
  "1 split": splits(() => ({ kind: "count", count: 1 })),
  "3 splits": splits(() => ({ kind: "count", count: 3 })),
  "100 splits": splits(() => ({ kind: "count", count: 100 })),
  "1 worker": streamK(1),
  "2 workers": streamK(2),
  "7 workers": streamK(7),
  "999 workers": streamK(999),
};

const aCase: fc.Arbitrary<Case> = fc.record({
  lengths: fc.array(
    fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40 })),
    { maxLength: 5 },
  ),
  heads: fc.constantFrom([1, 1], [2, 1], [1, 3], [2, 2]) as fc.Arbitrary<
    [number, number]
  >,
  mask: fc.constantFrom(...Object.keys(MASKS)),
  position: fc.boolean(),
  rows: fc.constantFrom(1, 2, 3, 8),
  step: fc.constantFrom(1, 4, 7, 64),
  partition: fc.constantFrom(...Object.keys(PARTITIONS)),
  layout: fc.constantFrom("contiguous", "paged"),
  sharedPartition: fc.constantFrom(...Object.keys(PARTITIONS)),
  shared: fc.array(fc.tuple(fc.nat({ max: 10 }), fc.nat({ max: 4 })), {
    minLength: 5,
    maxLength: 5,
  }),
  sharing: fc.constantFrom("never", "always", "sometimes"),
  maxLoopIterations: fc.constantFrom(Infinity, 1, 250, 400, 900),
});

const f32 = (...shape: number[]) => ({ dtype: "f32", shape } as const);

/** Tables in which each begins with blocks of one that comes before it. */
function tablesOf({ lengths, shared }: Case): Uint32Array {
  const width = Math.ceil(40 / BLOCK);
  const table = new Uint32Array(lengths.length * width);
  let next = 1;
  lengths.forEach((_, s) => {
    const [blocks, from] = shared[s];
    for (let b = 0; b < width; b++) {
      table[s * width + b] = s > 0 && b < blocks
        ? table[(from % s) * width + b]
        : next++;
    }
  });
  return table;
}

function problemOf(test: Case): AttentionProblem {
  const { lengths, heads: [kvHeads, group], mask, layout } = test;
  const sums = (column: 0 | 1) =>
    lengths.reduce((out, pair) => [...out, out.at(-1)! + pair[column]], [0]);
  const [queries, keys] = [sums(0), sums(1)];
  const common = {
    query: f32(queries.at(-1)!, kvHeads * group, 4),
    cuSeqlens: queries,
    maskMod: MASKS[mask](),
    scoreMod: test.position
      ? [scoreMod("far", ({ score, query }) => score.add(query.toFloat()))]
      : [],
  };
  return attentionProblem(
    layout === "paged"
      ? {
        ...common,
        key: f32(POOL, BLOCK, kvHeads, 4),
        value: f32(POOL, BLOCK, kvHeads, 4),
        blockTable: tablesOf(test),
        keyLengths: lengths.map(([, count]) => count),
      }
      : {
        ...common,
        key: f32(keys.at(-1)!, kvHeads, 4),
        value: f32(keys.at(-1)!, kvHeads, 4),
        cuSeqlensKey: keys,
      },
  );
}

function workOf({ sharing, step }: Case, problem: AttentionProblem): Work {
  return sharing === "never" ? flatWork(problem) : sharedWork(problem, {
    alignment: step,
    worth: ({ from, end }) => sharing === "always" || (from + end) % 8 === 0,
  });
}

/** Small, so that a few steps are more than some cases may take. */
function loopsOf({ step }: Pick<Case, "step">) {
  const fullStep = 1 + 8 * step;
  return { step, fullStep, maskedStep: 2 * fullStep, tile: 100 };
}

function kernelOf(test: Case, ranges: readonly KeyRange[]): KernelWork {
  return {
    ranges,
    rows: test.rows,
    loops: loopsOf(test),
    partitions: [PARTITIONS[test.partition]],
    model: MODEL,
    maxLoopIterations: test.maxLoopIterations,
  };
}

/** A case's schedule with own ranges in one kernel, and shared in another. */
function scheduleOf(test: Case): {
  problem: AttentionProblem;
  schedule: Schedule;
  read: ReadKernel[];
} {
  const problem = problemOf(test);
  const work = workOf(test, problem);
  const schedule = buildSchedule(problem, work, [
    kernelOf({ ...test, partition: test.sharedPartition }, work.shared),
    kernelOf(test, work.own),
  ]);
  const { rows } = test;
  return {
    problem,
    schedule,
    read: [{ rows, listed: work.listed }, { rows, listed: false }],
  };
}

property(
  "buildSchedule() gives every row every visible key once, in order",
  [aCase],
  (test) => {
    const { problem, schedule, read } = scheduleOf(test);
    const { kvHeads, queryHeads, sequences, keys: layout } = problem;
    const { rows } = readSchedule(problem, schedule, read);
    const sees = maskFunction(problem.maskMods);
    const group = queryHeads / kvHeads;
    const { words } = schedule;
    let count = 0;
    sequences.forEach((sequence, batch) => {
      const place = (start: number, key: number) =>
        layout.kind === "paged"
          ? words[start + Math.floor(key / BLOCK)]
          : start + key;
      const record = readRecord(
        SEQUENCE,
        words,
        schedule.sequencesAt + batch * SEQUENCE.words,
      );
      for (let row = 0; row < packedRows(problem, sequence); row++) {
        for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
          count++;
          const query = Math.floor(row / group);
          const position = query + sequence.queryOffset;
          const head = kvHead * group + row % group;
          const states = rows.get(`${sequence.queryStart + query},${head}`)!;
          const seen = new Set<number>();
          let last = 0;
          for (const state of states) {
            for (const [first, end, full] of state.runs) {
              assert(first >= last && first < end, "runs are not in order");
              assertEquals(first % test.step, 0);
              last = end;
              if (!full || test.position) {
                assertEquals([state.position, state.batch], [position, batch]);
              }
              assert(!full || end <= state.keyCount, "full past the end");
              for (
                let key = first;
                key < Math.min(end, state.keyCount);
                key++
              ) {
                const visible = sees(batch, head, position, key);
                if (full) assert(visible, `${key} is not seen`);
                if (visible) seen.add(key);
                assertEquals(
                  place(state.keyStart, key),
                  place(record.key_start, key),
                );
              }
            }
          }
          for (let key = 0; key < sequence.keyCount; key++) {
            assertEquals(seen.has(key), sees(batch, head, position, key));
          }
        }
      }
    });
    assertEquals(rows.size, count);
  },
);

property(
  "buildSchedule() gives stream-K workers the same steps but for one, and two states each",
  [aCase, fc.integer({ min: 1, max: 40 })],
  (test, workers) => {
    const problem = problemOf({ ...test, sharing: "never" });
    const work = flatWork(problem);
    const schedule = buildSchedule(problem, work, [{
      ...kernelOf(test, work.own),
      partitions: [streamK(workers)],
      maxLoopIterations: Infinity,
    }]);
    const { loads: [loads], rows } = readSchedule(problem, schedule, [{
      rows: test.rows,
      listed: false,
    }]);
    const steps = loads.map((load) => stepsOf(load.flat(), test.step));
    const total = steps.reduce((sum, load) => sum + load, 0);
    assertEquals(steps.length, Math.min(workers, total));
    if (total > 0) assert(Math.max(...steps) - Math.min(...steps) <= 1);
    // A row whose keys several workers have has a state from each.
    const divided = [...rows.values()].filter(({ length }) => length > 1);
    const states = new Set(divided.flat().map((s) => s.runs));
    assert(states.size <= 2 * loads.length);
  },
);

property(
  "buildSchedule() gives no workgroup more iterations than it may take",
  [aCase],
  (test) => {
    const { problem, schedule, read } = scheduleOf(test);
    const { loads } = readSchedule(problem, schedule, read);
    const { step, maxLoopIterations } = test;
    for (const load of loads.flat()) {
      // Those of its steps alone; tiles begin and end besides.
      const iterations = load.flat().reduce(
        (sum, run) =>
          sum +
          stepsOf([run], step) *
            loopsOf(test)[run[2] === 0 ? "maskedStep" : "fullStep"],
        0,
      );
      // Nothing is less than one step.
      assert(
        iterations < maxLoopIterations || stepsOf(load.flat(), step) <= 1,
        `${iterations} iterations`,
      );
    }
  },
);

property(
  "buildSchedule() splits of a size depend on the sequence alone",
  [aCase, fc.integer({ min: 0, max: 40 })],
  (test, extra) => {
    const alone: Case = {
      ...test,
      mask: "causal",
      partition: "12 keys",
      sharing: "never",
      lengths: [test.lengths[0] ?? [1, 9]],
    };
    const together = { ...alone, lengths: [...alone.lengths, [2, extra]] };
    const [a, b] = [alone, together as Case].map((one) => {
      const { problem, schedule, read } = scheduleOf(one);
      const { rows } = readSchedule(problem, schedule, read);
      const tokens = alone.lengths[0][0];
      return [...rows].filter(([, [state]]) => state.token < tokens)
        .map(([row, states]) => [row, states.map(({ runs }) => runs)])
        .sort();
    });
    assertEquals(b, a);
  },
);

property(
  "buildSchedule() counts tiles: visited <= total, full <= visited",
  [aCase],
  (given) => {
    const test: Case = { ...given, sharing: "never" };
    const { problem, schedule } = scheduleOf(test);
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

property(
  "sharedWork() shares all aligned keys that tables have in common",
  [aCase],
  (given) => {
    const test: Case = { ...given, layout: "paged", sharing: "always" };
    const problem = problemOf(test);
    const { own, shared, records } = workOf(test, problem);
    const tables = tablesOf(test);
    const width = Math.ceil(40 / BLOCK);
    const { sequences } = problem;
    const common = (a: number, b: number) => {
      let blocks = 0;
      while (
        blocks < width &&
        tables[a * width + blocks] === tables[b * width + blocks]
      ) blocks++;
      return Math.min(
        blocks * BLOCK,
        sequences[a].keyCount,
        sequences[b].keyCount,
      );
    };
    for (const range of own) {
      const a = range.record;
      const most = own.filter(({ record }) => record !== a)
        .reduce((keys, { record }) => Math.max(keys, common(a, record)), 0);
      assert(range.from <= most && most - range.from < test.step);
      assertEquals(range.from, range.prefixes.at(-1)?.range.end ?? 0);
      // Each prefix begins where the one before it ends.
      range.prefixes.reduce((end, { range: { from, end: next } }) => {
        assertEquals(from, end);
        return next;
      }, 0);
    }
    for (const range of shared) {
      const members = own.filter(({ prefixes }) =>
        prefixes.some((prefix) => prefix.range === range)
      );
      assert(members.length > 1, "shared with nobody");
      assertEquals(range.rows, members.reduce((n, { rows }) => n + rows, 0));
      assertEquals(
        records[range.record].queries!.length,
        records[range.record].queryCount,
      );
    }
  },
);

Deno.test("buildSchedule() writes sequences and the block table", () => {
  const problem = attentionProblem({
    query: f32(2, 1, 1, 4),
    key: f32(9, 4, 1, 4),
    value: f32(9, 4, 1, 4),
    blockTable: Uint32Array.of(7, 3, 8, 1),
    keyLengths: [5, 2],
    queryOffset: [-3, 4],
  });
  const work = flatWork(problem);
  const { words, sequencesAt, kernels, tiles } = buildSchedule(problem, work, [{
    ranges: work.own,
    rows: 8,
    loops: loopsOf({ step: 4 }),
    partitions: [PARTITIONS.unsplit],
    model: MODEL,
    maxLoopIterations: Infinity,
  }]);
  const tableAt = sequencesAt + 2 * SEQUENCE.words;
  assertEquals([...words.subarray(tableAt)], [7, 3, 8, 1]);
  assertEquals([...words.subarray(sequencesAt, tableAt)], [
    ...[0, 1, tableAt, 5, 2 ** 32 - 3, 0, tableAt, 0],
    ...[1, 1, tableAt + 2, 2, 4, 1, tableAt, 0],
  ]);
  assertEquals(kernels[0].tileCount, 2);
  assertEquals(tiles, { total: 3, visited: 3, full: 1 });
});

Deno.test("buildSchedule() takes the cheapest partition", () => {
  const tensor = f32(1, 64, 1, 4);
  const one = attentionProblem({
    query: f32(1, 1, 1, 4),
    key: tensor,
    value: tensor,
  });
  const choose = (problem: AttentionProblem, dispatchSteps: number) => {
    const work = flatWork(problem);
    const { kernels: [{ partition, costs }] } = buildSchedule(problem, work, [{
      ranges: work.own,
      rows: 1,
      loops: loopsOf({ step: 4 }),
      partitions: [
        { kind: "splits", text: "unsplit", of: () => undefined },
        streamK(4),
      ],
      model: { workers: 4, tileSteps: 1, dispatchSteps },
      maxLoopIterations: Infinity,
    }]);
    return { partition, costs };
  };
  assertEquals(choose(one, 2), {
    partition: "stream-k",
    costs: [
      { splits: "unsplit", workgroups: 1, makespan: 17, merge: 0 },
      { splits: "stream-k", workgroups: 4, makespan: 5, merge: 2 },
    ],
  });
  assertEquals(choose(one, 20).partition, "unsplit");
  // Five equal sequences on four workers: a second wave for the last one.
  const five = attentionProblem({
    query: f32(5, 1, 1, 4),
    key: f32(5, 64, 1, 4),
    value: f32(5, 64, 1, 4),
  });
  const { costs } = choose(five, 2);
  assertEquals(costs[0].makespan, 34);
  // 80 steps on 4 workers, of whom each has keys of two sequences.
  assertEquals(costs[1].makespan, 22);
});
