/**
 * Reads a schedule back as the kernels do, word by word: which keys every
 * output row gets, through partial states and merges.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  ITEM_WORDS,
  QUERY_WORDS,
  RUN_WORDS,
  SEQUENCE_WORDS,
} from "../../../../kernels/fragments/schedule.ts";
import type { AttentionProblem } from "../../../../src/ops/attention/problem.ts";
import type { Schedule } from "../../../../src/ops/attention/work/schedule.ts";

/** First key, one past the last, and 1 where the mask is skipped. */
export type ReadRun = readonly [first: number, end: number, full: number];

/** A row's state over a part of the keys. */
export interface ReadState {
  readonly token: number;
  readonly head: number;
  /** What mods would see. */
  readonly position: number;
  readonly batch: number;
  /** Where the sequence's keys are: a row, or a word of the table. */
  readonly keyStart: number;
  readonly keyCount: number;
  readonly runs: readonly ReadRun[];
}

/** What a schedule does. */
export interface ReadSchedule {
  /** The states of every output row, by "token,head", in order of merging. */
  readonly rows: ReadonlyMap<string, readonly ReadState[]>;
  /** What every workgroup does, by pass. */
  readonly loads: readonly (readonly ReadLoad[])[];
}

/** What a workgroup does. */
export interface ReadLoad {
  /** Its items. */
  readonly items: number;
  /** Steps of all of them. */
  readonly steps: number;
  /** Those of them that are masked. */
  readonly masked: number;
}

/** How the shares of a schedule are tiled. */
export interface ReadShare {
  readonly rows: number;
  readonly step: number;
  /** Whether it reads the queries of its records from a list. */
  readonly listed: boolean;
}

const i32 = (word: number) => word | 0;

/** Reads a schedule; throws where it contradicts itself. */
export function readSchedule(
  { queryHeads, kvHeads }: AttentionProblem,
  schedule: Schedule,
  shares: readonly ReadShare[],
): ReadSchedule {
  const { words, sequencesAt } = schedule;
  const group = queryHeads / kvHeads;
  const states: ReadState[] = [];
  const rows = new Map<string, readonly ReadState[]>();
  const sequence = (index: number) => {
    const at = sequencesAt + index * SEQUENCE_WORDS;
    const [queryStart, queryCount, keyStart, keyCount, offset, batch, queries] =
      words.subarray(at, at + SEQUENCE_WORDS);
    return {
      queryStart,
      queryCount,
      keyStart,
      keyCount,
      offset,
      batch,
      queries,
    };
  };
  const runsAt = (at: number): ReadRun[] => {
    const [offset, count] = words.subarray(at, at + 2);
    return Array.from({ length: count }, (_, r) => {
      const run = offset + r * RUN_WORDS;
      return [words[run], words[run + 1], words[run + 2]];
    });
  };
  const finish = (state: ReadState, parts: readonly ReadState[]) => {
    const key = `${state.token},${state.head}`;
    assert(!rows.has(key), `row ${key} is written twice`);
    rows.set(key, parts);
  };

  const loads = schedule.passes.map((pass, p) => {
    const { rows: tileRows, step, listed } = shares[p];
    const item = (index: number, y: number) => {
      const at = pass.itemsAt + index * ITEM_WORDS;
      const [record, firstRow, runsWord, stateRow, stride, itemHead] = words
        .subarray(at, at + ITEM_WORDS);
      const kvHead = itemHead + y;
      const own = sequence(record);
      const runs = runsAt(
        runsWord + (schedule.runsPerHead && !pass.workers ? 2 * kvHead : 0),
      );
      for (let i = 0; i < tileRows; i++) {
        const row = firstRow + i;
        if (row >= own.queryCount * group) break;
        const query = Math.floor(row / group);
        const at = own.queries + QUERY_WORDS * query;
        const state: ReadState = {
          token: listed ? words[at] : own.queryStart + query,
          head: kvHead * group + row % group,
          position: listed ? i32(words[at + 1]) : query + i32(own.offset),
          batch: listed ? words[at + 2] : own.batch,
          keyStart: own.keyStart,
          keyCount: own.keyCount,
          runs,
        };
        if (pass.partial) {
          const at = stateRow + kvHead * stride + i;
          assert(at < schedule.stateRows, "a state is past the end");
          assert(states[at] === undefined, `state ${at} is written twice`);
          states[at] = state;
        } else finish(state, [state]);
      }
      const steps = (of: readonly ReadRun[]) =>
        of.reduce((sum, [from, to]) => sum + (to - from) / step, 0);
      return {
        items: 1,
        steps: steps(runs),
        masked: steps(runs.filter(([, , full]) => !full)),
      };
    };
    const { workers, itemCount } = pass;
    if (!workers) {
      return Array.from(
        { length: itemCount * kvHeads },
        (_, i) => item(i % itemCount, Math.floor(i / itemCount)),
      );
    }
    const bounds = words.subarray(workers.at, workers.at + workers.count + 1);
    assertEquals([bounds[0], bounds.at(-1)], [0, itemCount]);
    return Array.from({ length: workers.count }, (_, w) => {
      const load = { items: 0, steps: 0, masked: 0 };
      for (let i = bounds[w]; i < bounds[w + 1]; i++) {
        const { items, steps, masked } = item(i, 0);
        load.items += items;
        load.steps += steps;
        load.masked += masked;
      }
      return load;
    });
  });

  const merged = new Set<number>();
  for (const { itemsAt, itemCount, ownHeads } of schedule.merges) {
    for (let index = 0; index < itemCount; index++) {
      const at = itemsAt + index * ITEM_WORDS;
      const [record, firstRow, parts, partCount, rowCount, itemHead] = words
        .subarray(at, at + ITEM_WORDS);
      const own = sequence(record);
      for (let y = 0; y < (ownHeads ? 1 : kvHeads); y++) {
        const kvHead = itemHead + y;
        for (let i = 0; i < rowCount; i++) {
          const row = firstRow + i;
          const token = own.queryStart + Math.floor(row / group);
          const head = kvHead * group + row % group;
          const found = Array.from({ length: partCount }, (_, part) => {
            const [base, stride] = words.subarray(parts + 2 * part);
            const at = base + kvHead * stride + i;
            merged.add(at);
            const state = states[at];
            assertEquals([state.token, state.head], [token, head]);
            return state;
          });
          finish({ token, head } as ReadState, found);
        }
      }
    }
  }
  assertEquals(merged.size, states.length, "states that nobody merges");
  return { rows, loads };
}
