/**
 * Which packed query rows a tile of keys visits: the mask's runs with the roles
 * of queries and keys swapped.
 *
 * @module
 */

import { maskRowRuns } from "../../mods/block_mask/runs.ts";
import { modsDependOn } from "../../mods/trace.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import type { KeyRange, SequenceRecord } from "../attention/work/key_ranges.ts";
import type {
  HeadRuns,
  KeyRun,
  RunSource,
} from "../attention/work/key_runs.ts";

/** The runs of a problem's key tiles; equal questions are asked once. */
export class RowRuns implements RunSource {
  readonly along = "row";
  readonly #problem: AttentionProblem;
  readonly #usesBatch: boolean;
  readonly #usesHead: boolean;
  readonly #known = new Map<string, readonly KeyRun[]>();

  /** Runs of a problem. */
  constructor(problem: AttentionProblem) {
    this.#problem = problem;
    this.#usesBatch = modsDependOn(problem.maskMods, "batch");
    this.#usesHead = modsDependOn(problem.maskMods, "head");
  }

  /** Whether runs differ by kv head. */
  get perHead(): boolean {
    return this.#usesHead;
  }

  /** Packed rows that see keys `row` to `end - 1`, in steps of `step` rows. */
  of(
    { batch, keyCount, queryOffset }: SequenceRecord,
    { end: rows }: KeyRange,
    { row: first, end, step }: { row: number; end: number; step: number },
  ): HeadRuns {
    const { queryHeads, kvHeads } = this.#problem;
    const group = queryHeads / kvHeads;
    const last = Math.min(end, keyCount) - 1;
    return Array.from({ length: this.perHead ? kvHeads : 1 }, (_, kvHead) => {
      // Keys that are not written are seen by nobody.
      if (last < first) return [];
      const heads = this.perHead
        ? [kvHead * group, (kvHead + 1) * group - 1] as const
        : [0, queryHeads - 1] as const;
      return this.#classify({
        batch: this.#usesBatch ? batch : 0,
        heads,
        keys: [first, last],
        queryOffset,
        rows,
        step,
      });
    });
  }

  #classify(
    { batch, heads, keys, queryOffset, rows, step }: {
      readonly batch: number;
      readonly heads: readonly [number, number];
      readonly keys: readonly [number, number];
      readonly queryOffset: number;
      readonly rows: number;
      readonly step: number;
    },
  ): readonly KeyRun[] {
    const { maskMods, queryHeads, kvHeads } = this.#problem;
    const key = maskMods.length === 0
      ? `${rows},${step}`
      : `${batch},${heads},${keys},${queryOffset},${rows},${step}`;
    let runs = this.#known.get(key);
    if (!runs) {
      runs = maskRowRuns(maskMods, {
        batch: [batch, batch],
        head: heads,
        keyStart: keys[0],
        keyEnd: keys[1],
        queryOffset,
        rows,
        group: queryHeads / kvHeads,
        tileRows: step,
      }).map(({ start, count, full }) => ({
        first: start * step,
        end: (start + count) * step,
        full,
      }));
      this.#known.set(key, runs);
    }
    return runs;
  }
}
