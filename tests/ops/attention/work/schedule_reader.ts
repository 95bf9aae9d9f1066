/**
 * Reads a schedule back as the kernels do, record by record: which keys every
 * row of the output gets, through partial states and merges.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  KEY_RUN,
  MERGE_TILE,
  QUERY,
  RUN_LIST,
  SEQUENCE,
  STATE,
  WORK_TILE,
} from "../../../../kernels/fragments/schedule.ts";
import type {
  RecordFields,
  RecordValues,
  WordRecord,
} from "../../../../kernels/record.ts";
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
  /** The states of every row, by "token,head", in order of merging. */
  readonly rows: ReadonlyMap<string, readonly ReadState[]>;
  /** What every workgroup does, by kernel. */
  readonly loads: readonly (readonly ReadLoad[])[];
}

/** What a workgroup does: the runs of each of its work tiles. */
export type ReadLoad = readonly (readonly ReadRun[])[];

/** How the work of a schedule's kernel is tiled. */
export interface ReadKernel {
  readonly rows: number;
  /** Whether it reads the queries of its sequences from a list. */
  readonly listed: boolean;
}

/** The fields of the record whose first word is `words[at]`. */
export function readRecord<F extends RecordFields>(
  record: WordRecord<F>,
  words: Uint32Array,
  at: number,
): RecordValues<F> {
  const values = Object.entries(record.fields).map(([name, type], i) => {
    const word = words[at + i];
    return [name, type === "i32" ? word | 0 : word];
  });
  return Object.fromEntries(values) as RecordValues<F>;
}

/** How many steps of `step` keys runs take. */
export function stepsOf(runs: readonly ReadRun[], step: number): number {
  return runs.reduce((sum, [first, end]) => sum + (end - first) / step, 0);
}

/** Reads a schedule; throws where it contradicts itself. */
export function readSchedule(
  problem: AttentionProblem,
  schedule: Schedule,
  kernels: readonly ReadKernel[],
): ReadSchedule {
  const reader = new ScheduleReader(problem, schedule);
  const loads = schedule.kernels.map((_, k) => reader.kernel(k, kernels[k]));
  reader.merges();
  return { rows: reader.rows, loads };
}

class ScheduleReader {
  readonly rows = new Map<string, readonly ReadState[]>();
  readonly #problem: AttentionProblem;
  readonly #schedule: Schedule;
  readonly #group: number;
  readonly #states: ReadState[] = [];

  constructor(problem: AttentionProblem, schedule: Schedule) {
    this.#problem = problem;
    this.#schedule = schedule;
    this.#group = problem.queryHeads / problem.kvHeads;
  }

  /** Does a kernel's work; returns what each of its workgroups did. */
  kernel(index: number, kernel: ReadKernel): ReadLoad[] {
    const { kvHeads } = this.#problem;
    const { words } = this.#schedule;
    const { workers, tileCount } = this.#schedule.kernels[index];
    const tile = (i: number, y: number) => this.#workTile(index, kernel, i, y);
    if (!workers) {
      return Array.from(
        { length: tileCount * kvHeads },
        (_, i) => [tile(i % tileCount, Math.floor(i / tileCount))],
      );
    }
    const bounds = words.subarray(workers.at, workers.at + workers.count + 1);
    assertEquals([bounds[0], bounds.at(-1)], [0, tileCount]);
    return Array.from({ length: workers.count }, (_, w) => {
      assert(bounds[w] < bounds[w + 1], "a worker has nothing to do");
      return Array.from(
        { length: bounds[w + 1] - bounds[w] },
        (_, i) => tile(bounds[w] + i, 0),
      );
    });
  }

  /** Merges; every state must be merged into the row that it is of. */
  merges(): void {
    const { words, merges } = this.#schedule;
    const merged = new Set<number>();
    for (const { tilesAt, tileCount, ownHeads } of merges) {
      for (let index = 0; index < tileCount; index++) {
        const at = tilesAt + index * MERGE_TILE.words;
        const tile = readRecord(MERGE_TILE, words, at);
        for (let y = 0; y < (ownHeads ? 1 : this.#problem.kvHeads); y++) {
          for (let i = 0; i < tile.row_count; i++) {
            for (const state of this.#merge(tile, tile.kv_head + y, i)) {
              merged.add(state);
            }
          }
        }
      }
    }
    assertEquals(merged.size, this.#states.length, "states nobody merges");
  }

  /** Merges a row's states; returns their places. */
  #merge(
    tile: RecordValues<typeof MERGE_TILE.fields>,
    kvHead: number,
    i: number,
  ): number[] {
    const { words } = this.#schedule;
    const { query_start } = this.#sequence(tile.sequence);
    const row = tile.first_row + i;
    const token = query_start + Math.floor(row / this.#group);
    const head = kvHead * this.#group + row % this.#group;
    const places = Array.from({ length: tile.state_count }, (_, s) => {
      const at = tile.states_at + s * STATE.words;
      const state = readRecord(STATE, words, at);
      return state.row + kvHead * state.stride + i;
    });
    const states = places.map((place) => this.#states[place]);
    for (const state of states) {
      assertEquals([state.token, state.head], [token, head]);
    }
    this.#finish({ token, head }, states);
    return places;
  }

  #sequence(index: number): RecordValues<typeof SEQUENCE.fields> {
    const { words, sequencesAt } = this.#schedule;
    return readRecord(SEQUENCE, words, sequencesAt + index * SEQUENCE.words);
  }

  #runs(listAt: number): ReadRun[] {
    const { words } = this.#schedule;
    const list = readRecord(RUN_LIST, words, listAt);
    return Array.from({ length: list.count }, (_, r) => {
      const at = list.runs_at + r * KEY_RUN.words;
      const { first_key, end_key, full } = readRecord(KEY_RUN, words, at);
      return [first_key, end_key, full];
    });
  }

  /** Does a work tile for a kv head; returns its runs. */
  #workTile(
    index: number,
    { rows, listed }: ReadKernel,
    i: number,
    y: number,
  ): ReadRun[] {
    const { words, stateRows, runsPerHead, kernels } = this.#schedule;
    const { tilesAt, partial, workers } = kernels[index];
    const at = tilesAt + i * WORK_TILE.words;
    const tile = readRecord(WORK_TILE, words, at);
    const kvHead = tile.kv_head + y;
    const sequence = this.#sequence(tile.sequence);
    const runs = this.#runs(
      tile.runs_at + (runsPerHead && !workers ? RUN_LIST.words * kvHead : 0),
    );
    for (let i = 0; i < rows; i++) {
      const row = tile.first_row + i;
      if (row >= sequence.query_count * this.#group) break;
      const query = Math.floor(row / this.#group);
      const listedAt = sequence.queries_at + QUERY.words * query;
      const state: ReadState = {
        ...(listed ? readRecord(QUERY, words, listedAt) : {
          token: sequence.query_start + query,
          position: query + sequence.query_offset,
          batch: sequence.batch,
        }),
        head: kvHead * this.#group + row % this.#group,
        keyStart: sequence.key_start,
        keyCount: sequence.key_count,
        runs,
      };
      if (!partial) {
        this.#finish(state, [state]);
        continue;
      }
      const place = tile.state_row + kvHead * tile.state_stride + i;
      assert(place < stateRows, "a state is past the end");
      assert(
        this.#states[place] === undefined,
        `state ${place} is written twice`,
      );
      this.#states[place] = state;
    }
    return runs;
  }

  #finish(
    { token, head }: Pick<ReadState, "token" | "head">,
    states: readonly ReadState[],
  ): void {
    const key = `${token},${head}`;
    assert(!this.rows.has(key), `row ${key} is written twice`);
    this.rows.set(key, states);
  }
}
