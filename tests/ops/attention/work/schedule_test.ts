/**
 * The schedule read back word by word: every row gets every visible key once,
 * in order, however the work is dealt and whatever is shared.
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
  scoreMod,
  slidingWindow,
} from "../../../../mod.ts";
import { SEQUENCE_WORDS } from "../../../../kernels/fragments/schedule.ts";
import type { CostModel } from "../../../../src/ops/attention/work/cost.ts";
import type { Dealing } from "../../../../src/ops/attention/work/deal.ts";
import {
  type AttentionProblem,
  packedRows,
} from "../../../../src/ops/attention/problem.ts";
import {
  buildSchedule,
  type Schedule,
  type Share,
} from "../../../../src/ops/attention/work/schedule.ts";
import { sharedUnits } from "../../../../src/ops/attention/work/shared_prefix.ts";
import { ANY_TURNS } from "../../../../src/ops/attention/work/turns.ts";
import {
  flatUnits,
  type Unit,
  type Units,
} from "../../../../src/ops/attention/work/units.ts";
import { property } from "../../../support/property.ts";
import { readSchedule, type ReadShare } from "./schedule_reader.ts";

const MODEL: CostModel = { workers: 4, itemSteps: 1, dispatchSteps: 2 };
const BLOCK = 4;
const POOL = 64;

interface Case {
  readonly lengths: readonly (readonly [queries: number, keys: number])[];
  readonly heads: readonly [kvHeads: number, group: number];
  readonly mask: string;
  readonly position: boolean;
  readonly rows: number;
  readonly step: number;
  readonly dealing: string;
  readonly layout: "contiguous" | "paged";
  /** The same for what is shared. */
  readonly sharedDealing: string;
  /** Paged: how many blocks a sequence has from one that comes before it. */
  readonly shared: readonly (readonly [blocks: number, from: number])[];
  readonly sharing: "never" | "always" | "sometimes";
  /** Turns of loops that a workgroup may take. */
  readonly most: number;
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

const splits = (of: Extract<Dealing, { kind: "splits" }>["of"]): Dealing => ({
  kind: "splits",
  text: "splits",
  of,
});
const streamK = (workers: number): Dealing => ({
  kind: "stream-k",
  text: "stream-k",
  workers,
});
const DEALINGS: Readonly<Record<string, Dealing>> = {
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
  dealing: fc.constantFrom(...Object.keys(DEALINGS)),
  layout: fc.constantFrom("contiguous", "paged"),
  sharedDealing: fc.constantFrom(...Object.keys(DEALINGS)),
  shared: fc.array(fc.tuple(fc.nat({ max: 10 }), fc.nat({ max: 4 })), {
    minLength: 5,
    maxLength: 5,
  }),
  sharing: fc.constantFrom("never", "always", "sometimes"),
  most: fc.constantFrom(Infinity, 1, 4, 11),
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

function unitsOf({ sharing, step }: Case, problem: AttentionProblem): Units {
  return sharing === "never" ? flatUnits(problem) : sharedUnits(problem, {
    alignment: step,
    worth: ({ from, end }) => sharing === "always" || (from + end) % 8 === 0,
  });
}

function shareOf(test: Case, units: readonly Unit[]): Share {
  const { rows, step, dealing } = test;
  const turns = { most: test.most, item: 1, fullStep: 1, maskedStep: 2 };
  return {
    units,
    rows,
    step,
    dealings: [DEALINGS[dealing]],
    model: MODEL,
    turns,
  };
}

/** A case's schedule with all own units in one share, and shared in another. */
function scheduleOf(test: Case): {
  problem: AttentionProblem;
  units: Units;
  schedule: Schedule;
  read: ReadShare[];
} {
  const problem = problemOf(test);
  const units = unitsOf(test, problem);
  const schedule = buildSchedule(problem, units, [
    shareOf({ ...test, dealing: test.sharedDealing }, units.shared),
    shareOf(test, units.own),
  ]);
  const { rows, step } = test;
  const read = [{ rows, step, listed: units.listed }, {
    rows,
    step,
    listed: false,
  }];
  return { problem, units, schedule, read };
}

property(
  "buildSchedule() gives every row every visible key once, in order",
  [aCase],
  (test) => {
    const { problem, schedule, read } = scheduleOf(test);
    const { kvHeads, queryHeads, sequences, source } = problem;
    const { rows } = readSchedule(problem, schedule, read);
    const sees = maskFunction(problem.maskMods);
    const group = queryHeads / kvHeads;
    const { words } = schedule;
    let count = 0;
    sequences.forEach((sequence, batch) => {
      const place = (start: number, key: number) =>
        source.kind === "paged"
          ? words[start + Math.floor(key / BLOCK)]
          : start + key;
      const record = schedule.sequencesAt + batch * SEQUENCE_WORDS;
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
                  place(words[record + 2], key),
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
  "buildSchedule() deals stream-K workers within a step, two states each",
  [aCase, fc.integer({ min: 1, max: 40 })],
  (test, workers) => {
    const dealing = streamK(workers);
    const problem = problemOf({ ...test, sharing: "never" });
    const units = flatUnits(problem);
    const share = {
      ...shareOf(test, units.own),
      dealings: [dealing],
      turns: ANY_TURNS,
    };
    const schedule = buildSchedule(problem, units, [share]);
    const { loads: [loads], rows } = readSchedule(problem, schedule, [{
      ...test,
      listed: false,
    }]);
    const steps = loads.map((load) => load.steps);
    const total = steps.reduce((sum, load) => sum + load, 0);
    assertEquals(steps.length, Math.min(workers, total));
    if (total > 0) assert(Math.max(...steps) - Math.min(...steps) <= 1);
    // A row whose keys several workers share has a state from each.
    const shared = [...rows.values()].filter(({ length }) => length > 1);
    const states = new Set(shared.flat().map((s) => s.runs));
    assert(states.size <= 2 * loads.length);
  },
);

property(
  "buildSchedule() gives no workgroup more turns than it may take",
  [aCase],
  (test) => {
    const { problem, schedule, read } = scheduleOf(test);
    const { loads } = readSchedule(problem, schedule, read);
    for (const { items, steps, masked } of loads.flat()) {
      // Nothing is less than one step.
      const turns = items + steps + masked;
      assert(turns < test.most || steps <= 1, `${turns} turns`);
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
      dealing: "12 keys",
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
  "sharedUnits() shares all aligned keys that tables have in common",
  [aCase],
  (given) => {
    const test: Case = { ...given, layout: "paged", sharing: "always" };
    const problem = problemOf(test);
    const { own, shared, records } = unitsOf(test, problem);
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
    for (const unit of own) {
      const a = unit.record;
      const most = own.filter(({ record }) => record !== a)
        .reduce((keys, { record }) => Math.max(keys, common(a, record)), 0);
      assert(unit.from <= most && most - unit.from < test.step);
      assertEquals(unit.from, unit.prefixes.at(-1)?.unit.end ?? 0);
      // Each stretch begins where the one before it ends.
      unit.prefixes.reduce((end, { unit: { from, end: next } }) => {
        assertEquals(from, end);
        return next;
      }, 0);
    }
    for (const unit of shared) {
      const members = own.filter(({ prefixes }) =>
        prefixes.some((prefix) => prefix.unit === unit)
      );
      assert(members.length > 1, "shared with nobody");
      assertEquals(unit.rows, members.reduce((n, { rows }) => n + rows, 0));
      assertEquals(
        records[unit.record].queries!.length,
        records[unit.record].queryCount,
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
  const units = flatUnits(problem);
  const { words, sequencesAt, passes, tiles } = buildSchedule(problem, units, [{
    units: units.own,
    rows: 8,
    step: 4,
    dealings: [DEALINGS.unsplit],
    model: MODEL,
    turns: ANY_TURNS,
  }]);
  const tableAt = sequencesAt + 2 * SEQUENCE_WORDS;
  assertEquals([...words.subarray(tableAt)], [7, 3, 8, 1]);
  assertEquals([...words.subarray(sequencesAt, tableAt)], [
    ...[0, 1, tableAt, 5, 2 ** 32 - 3, 0, tableAt, 0],
    ...[1, 1, tableAt + 2, 2, 4, 1, tableAt, 0],
  ]);
  assertEquals(passes[0].itemCount, 2);
  assertEquals(tiles, { total: 3, visited: 3, full: 1 });
});

Deno.test("buildSchedule() takes the cheapest way of dealing", () => {
  const tensor = f32(1, 64, 1, 4);
  const one = attentionProblem({
    query: f32(1, 1, 1, 4),
    key: tensor,
    value: tensor,
  });
  const choose = (problem: AttentionProblem, dispatchSteps: number) => {
    const units = flatUnits(problem);
    const { passes: [{ dealing, costs }] } = buildSchedule(problem, units, [{
      units: units.own,
      rows: 1,
      step: 4,
      dealings: [
        { kind: "splits", text: "unsplit", of: () => undefined },
        streamK(4),
      ],
      model: { workers: 4, itemSteps: 1, dispatchSteps },
      turns: ANY_TURNS,
    }]);
    return { dealing, costs };
  };
  assertEquals(choose(one, 2), {
    dealing: "stream-k",
    costs: [
      { splits: "unsplit", workgroups: 1, makespan: 17, merge: 0 },
      { splits: "stream-k", workgroups: 4, makespan: 5, merge: 2 },
    ],
  });
  assertEquals(choose(one, 20).dealing, "unsplit");
  // Five equal sequences on four workers: a second wave for the last one.
  const five = attentionProblem({
    query: f32(5, 1, 1, 4),
    key: f32(5, 64, 1, 4),
    value: f32(5, 64, 1, 4),
  });
  const { costs } = choose(five, 2);
  assertEquals(costs[0].makespan, 34);
  // 80 steps on 4 workers, of whom each has parts of two sequences.
  assertEquals(costs[1].makespan, 22);
});
