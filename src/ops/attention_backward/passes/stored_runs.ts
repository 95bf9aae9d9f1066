/**
 * What is visited where gradients of scores are stored: whole row tiles of the
 * kernel that reads them are written, with blanks where no pair is seen, and
 * what is read is what was written.
 *
 * @module
 */

import type {
  KeyRange,
  SequenceRecord,
} from "../../attention/work/key_ranges.ts";
import type {
  HeadRuns,
  KeyRun,
  RunSource,
} from "../../attention/work/key_runs.ts";
import type { RowTile } from "../../attention/work/partition.ts";

/**
 * Runs of rows, filled up with blanks to whole tiles of `size` rows; `rows` is
 * where the last step ends.
 */
export function withBlanks(
  runs: readonly KeyRun[],
  { size, rows }: { readonly size: number; readonly rows: number },
): KeyRun[] {
  const filled: KeyRun[] = [];
  let written = 0;
  const blank = (from: number, to: number) => {
    const first = Math.max(from, written);
    const end = Math.min(to, rows);
    if (first < end) filled.push({ first, end, full: false, blank: true });
    written = Math.max(written, end);
  };
  runs.forEach((run, i) => {
    blank(Math.floor(run.first / size) * size, run.first);
    filled.push(run);
    written = run.end;
    const next = runs[i + 1]?.first ?? Infinity;
    blank(run.end, Math.min(Math.ceil(run.end / size) * size, next));
  });
  return filled;
}

/** Another source's runs of rows, filled up with blanks. */
export class BlankedRuns implements RunSource {
  /** They are of packed query rows. */
  readonly along = "row";
  readonly #runs: RunSource;
  readonly #size: number;

  /** Runs in whole tiles of `size` rows. */
  constructor(runs: RunSource, size: number) {
    this.#runs = runs;
    this.#size = size;
  }

  /** Whether runs differ by kv head. */
  get perHead(): boolean {
    return this.#runs.perHead;
  }

  /** Packed rows that keys `row` to `end - 1` write. */
  of(
    record: SequenceRecord,
    range: KeyRange,
    tile: { row: number; end: number; step: number },
  ): HeadRuns {
    const rows = Math.ceil(range.end / tile.step) * tile.step;
    return this.#runs.of(record, range, tile)
      .map((runs) => withBlanks(runs, { size: this.#size, rows }));
  }
}

/**
 * Key tiles that were written, as what a row tile reads: blanks are in row tiles
 * with something seen, if these are of the size that was filled up to.
 */
export class WrittenRuns implements RunSource {
  /** They are of keys. */
  readonly along = "key";
  /** Whether runs differ by kv head. */
  readonly perHead: boolean;
  readonly #keys: number;
  readonly #lists: number;
  readonly #tiles = new Map<number, RowTile[]>();

  /** What tiles of `keys` keys wrote. */
  constructor(
    tiles: readonly RowTile[],
    { keys, perHead, kvHeads }: {
      readonly keys: number;
      readonly perHead: boolean;
      readonly kvHeads: number;
    },
  ) {
    this.perHead = perHead;
    this.#lists = perHead ? kvHeads : 1;
    this.#keys = keys;
    for (const tile of tiles) {
      const own = this.#tiles.get(tile.range.record) ?? [];
      this.#tiles.set(tile.range.record, own);
      own.push(tile);
    }
  }

  /** Keys of a range that rows `row` to `end - 1` see. */
  of(
    _: SequenceRecord,
    { record, from, end: endKey }: KeyRange,
    { row, end, step }: { row: number; end: number; step: number },
  ): HeadRuns {
    const tiles = (this.#tiles.get(record) ?? [])
      .slice(from / this.#keys, Math.ceil(endKey / this.#keys));
    const last = Math.ceil(endKey / step) * step;
    return Array.from({ length: this.#lists }, (_, list) => {
      const keys: KeyRun[] = [];
      for (const { row: first, runs } of tiles) {
        const seen = runs[list].some((run) => run.first < end && run.end > row);
        if (!seen) continue;
        const before = keys.at(-1);
        const next = Math.min(first + this.#keys, last);
        if (before?.end === first) {
          keys[keys.length - 1] = { ...before, end: next };
        } else keys.push({ first, end: next, full: true });
      }
      return keys;
    });
  }
}
