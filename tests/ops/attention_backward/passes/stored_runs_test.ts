/**
 * Of what is stored, no more is read than was written, and no less than was
 * seen.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  BlankedRuns,
  withBlanks,
  WrittenRuns,
} from "../../../../src/ops/attention_backward/passes/stored_runs.ts";
import type {
  KeyRun,
  RunSource,
} from "../../../../src/ops/attention/work/key_runs.ts";
import { property } from "../../../support/property.ts";

const STEP = 4;
const ROWS = 16;
const KEYS = 8;
const RANGE = { record: 0, rows: 0, from: 0, end: 0, prefixes: [] };

/** Runs of the steps that a mask has. */
function runsOf(steps: readonly boolean[]): KeyRun[] {
  return steps.flatMap((seen, i) =>
    seen ? [{ first: i * STEP, end: (i + 1) * STEP, full: i % 2 === 0 }] : []
  );
}

/** Steps of rows that runs go through. */
function stepsIn(runs: readonly KeyRun[], blank: boolean): Set<number> {
  const steps = new Set<number>();
  for (const run of runs) {
    if ((run.blank ?? false) !== blank) continue;
    for (let row = run.first; row < run.end; row += STEP) {
      assert(!steps.has(row), `row ${row} twice`);
      steps.add(row);
    }
  }
  return steps;
}

const someSteps = fc.array(fc.boolean(), { minLength: 1, maxLength: 30 });

property(
  "withBlanks() fills whole row tiles, in order, and leaves runs as they are",
  [someSteps],
  (seen) => {
    const runs = runsOf(seen);
    const rows = seen.length * STEP;
    const filled = withBlanks(runs, { size: ROWS, rows });
    assertEquals(filled.filter(({ blank }) => !blank), runs);
    filled.slice(1).forEach((run, i) => assert(run.first >= filled[i].end));
    const seenRows = stepsIn(filled, false);
    const blanks = stepsIn(filled, true);
    for (let row = 0; row < rows; row += STEP) {
      const tile = Math.floor(row / ROWS) * ROWS;
      const touched = [...seenRows].some((own) =>
        own >= tile && own < tile + ROWS
      );
      assertEquals(seenRows.has(row) || blanks.has(row), touched, `${row}`);
    }
  },
);

property(
  "WrittenRuns reads what was written, and all that is seen",
  [fc.array(someSteps, { maxLength: 8 }), fc.nat({ max: 8 })],
  (masks, from) => {
    const steps = Math.max(0, ...masks.map(({ length }) => length));
    const source: RunSource = {
      along: "row",
      perHead: false,
      of: (_, __, { row }) => [runsOf(masks[row / KEYS])],
    };
    const blanked = new BlankedRuns(source, ROWS);
    const range = { ...RANGE, rows: masks.length * KEYS, end: steps * STEP };
    const tiles = masks.map((_, i) => {
      const row = i * KEYS;
      const tile = { row, end: row + KEYS, step: STEP };
      const runs = blanked.of(undefined!, range, tile);
      return { range, row, rows: KEYS, runs };
    });
    const written = new WrittenRuns(tiles, {
      keys: KEYS,
      perHead: false,
      kvHeads: 2,
    });
    const first = Math.min(from, masks.length) * KEYS;
    for (let row = 0; row < steps * STEP; row += ROWS) {
      const [runs] = written.of(
        undefined!,
        { ...range, from: first, end: masks.length * KEYS },
        { row, end: row + ROWS, step: KEYS },
      );
      const keys = new Set(runs.flatMap((run) =>
        Array.from(
          { length: (run.end - run.first) / KEYS },
          (_, i) => run.first / KEYS + i,
        )
      ));
      runs.slice(1).forEach((run, i) => assert(run.first > runs[i].end));
      tiles.forEach(({ runs: [own] }, i) => {
        const seen = [...stepsIn(own, false)].some((at) =>
          at >= row && at < row + ROWS
        );
        assertEquals(keys.has(i), seen && i * KEYS >= first, `${row}, ${i}`);
        if (!keys.has(i)) return;
        const there = new Set([...stepsIn(own, false), ...stepsIn(own, true)]);
        const end = Math.min(row + ROWS, steps * STEP);
        for (let at = row; at < end; at += STEP) assert(there.has(at));
      });
    }
  },
);

Deno.test("WrittenRuns has a list for each head of what has no keys", () => {
  const range = { ...RANGE, rows: 4 };
  for (const perHead of [false, true]) {
    const written = new WrittenRuns([], { keys: KEYS, perHead, kvHeads: 3 });
    const lists = written.of(undefined!, range, { row: 0, end: 4, step: 4 });
    assertEquals(lists, perHead ? [[], [], []] : [[]]);
  }
});
