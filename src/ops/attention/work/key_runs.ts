/**
 * Which keys a row tile visits: the mask's runs in keys, cut to its key range.
 *
 * @module
 */

import type { BlockRunsSpec } from "../../../../kernels/selection/block_runs.ts";
import { maskRuns, type Run } from "../../../mods/mod.ts";
import { modsDependOn } from "../../../mods/trace.ts";
import type { AttentionProblem } from "../problem.ts";
import type { KeyRange, SequenceRecord } from "./key_ranges.ts";

/** A run in keys instead of tiles. */
export interface KeyRun {
  /** First key, a multiple of the step. */
  readonly first: number;
  /** One past the last key: a multiple of the step, maybe beyond the keys. */
  readonly end: number;
  /** Whether every row sees every key. */
  readonly full: boolean;
  /** Whether no row sees any key, and the tile is written all the same. */
  readonly blank?: boolean;
}

/** Runs of a row tile: one list a kv head that differs, else one for all. */
export type HeadRuns = readonly (readonly KeyRun[])[];

/**
 * Tiles of (query rows, keys), counted once a kv head that differs.
 *
 * @category Plans
 */
export interface TileCounts {
  /** Tiles of the whole problem. */
  readonly total: number;
  /** Tiles that are computed: the others were proven empty. */
  readonly visited: number;
  /** Tiles among them that skip the mask: proven full. */
  readonly full: number;
}

/** The part of runs within `from..to - 1`, both of them multiples of the step. */
export function clipRuns(
  runs: readonly KeyRun[],
  from: number,
  to: number,
): KeyRun[] {
  return runs
    .filter(({ first, end }) => first < to && end > from)
    .map((run) => ({
      ...run,
      first: Math.max(run.first, from),
      end: Math.min(run.end, to),
    }));
}

/** How many steps runs take. */
export function stepsOf(runs: readonly KeyRun[], step: number): number {
  return runs.reduce((sum, { first, end }) => sum + (end - first) / step, 0);
}

/** Which runs a row tile of a key range visits. */
export interface RunSource {
  /** What runs are of: keys, or packed query rows where roles are swapped. */
  readonly along: BlockRunsSpec["along"];
  /** Whether runs differ by kv head. */
  readonly perHead: boolean;
  /** Runs of rows `row` to `end - 1` of a range, in steps of its kernel. */
  of(
    record: SequenceRecord,
    range: KeyRange,
    tile: { row: number; end: number; step: number },
  ): HeadRuns;
}

/** The runs of a problem's row tiles; equal questions are asked once. */
export class KeyRuns implements RunSource {
  readonly along = "key";
  readonly #problem: AttentionProblem;
  readonly #depends: { readonly batch: boolean; readonly head: boolean };
  readonly #known = new Map<string, readonly KeyRun[]>();

  constructor(problem: AttentionProblem) {
    this.#problem = problem;
    this.#depends = {
      batch: modsDependOn(problem.maskMods, "batch"),
      head: modsDependOn(problem.maskMods, "head"),
    };
  }

  /** Whether runs differ by kv head. */
  get perHead(): boolean {
    return this.#depends.head;
  }

  /** Runs of packed rows `row` to `end - 1` of a key range, in steps of its kernel. */
  of(
    record: SequenceRecord,
    range: KeyRange,
    { row, end, step }: { row: number; end: number; step: number },
  ): HeadRuns {
    const { queryHeads, kvHeads } = this.#problem;
    const group = queryHeads / kvHeads;
    const { batch, query } = this.#ranges(
      record,
      Math.floor(row / group),
      Math.floor((end - 1) / group),
    );
    return Array.from({ length: this.perHead ? kvHeads : 1 }, (_, kvHead) => {
      const head: readonly [number, number] = this.perHead
        ? [kvHead * group, (kvHead + 1) * group - 1]
        : [0, queryHeads - 1];
      const runs = this.#classify({
        batch,
        head,
        queryStart: query[0],
        queryEnd: query[1],
        keyLength: range.end,
        tileKeys: step,
      });
      return range.from === 0 ? runs : clipRuns(runs, range.from, Infinity);
    });
  }

  /** Sequences and positions of queries `first` to `last` of a record. */
  #ranges(record: SequenceRecord, first: number, last: number): {
    batch: [number, number];
    query: [number, number];
  } {
    const { queries } = record;
    const batch: [number, number] = [record.batch, record.batch];
    const query: [number, number] = queries
      ? [queries[first].position, queries[first].position]
      : [first + record.queryOffset, last + record.queryOffset];
    for (const listed of queries?.slice(first, last + 1) ?? []) {
      query[0] = Math.min(query[0], listed.position);
      query[1] = Math.max(query[1], listed.position);
      batch[0] = Math.min(batch[0], listed.batch);
      batch[1] = Math.max(batch[1], listed.batch);
    }
    return { batch: this.#depends.batch ? batch : [0, 0], query };
  }

  #classify(options: Parameters<typeof maskRuns>[1]): readonly KeyRun[] {
    const { batch, head, queryStart, queryEnd, keyLength, tileKeys } = options;
    const key = this.#problem.maskMods.length === 0
      ? `${keyLength},${tileKeys}`
      : `${batch},${head},${queryStart},${queryEnd},${keyLength},${tileKeys}`;
    let runs = this.#known.get(key);
    if (!runs) {
      runs = maskRuns(this.#problem.maskMods, options).map((run: Run) => ({
        first: run.start * tileKeys,
        end: (run.start + run.count) * tileKeys,
        full: run.full,
      }));
      this.#known.set(key, runs);
    }
    return runs;
  }
}
