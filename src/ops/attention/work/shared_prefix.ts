/**
 * Shared prefixes: sequences whose tables begin with the same blocks read them
 * once, all their rows together, and merge that with each one's own rest
 * (Hydragen, Juravsky et al. 2024; FlashInfer's cascade). Blocks that only some
 * of them share go on as ranges of their own, to any depth.
 *
 * @module
 */

import { modsDependOn } from "../../../mods/trace.ts";
import { KeyRuns } from "./key_runs.ts";
import {
  type AttentionProblem,
  packedRows,
  type PagedKeys,
} from "../problem.ts";
import {
  flatWork,
  type KeyRange,
  type ListedQuery,
  type Prefix,
  type SequenceRecord,
  type Work,
} from "./key_ranges.ts";

/** A range of keys that sequences could read together. */
export interface SharedRange {
  /** Packed query rows of each sequence. */
  readonly rows: readonly number[];
  /** First key. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
}

/** How prefixes are found. */
export interface SharingOptions {
  /** Ranges begin and end at multiples of this: a step of every kernel. */
  readonly alignment: number;
  /** Whether a range is to be shared. */
  readonly worth: (range: SharedRange) => boolean;
}

/** The work of a problem whose sequences share what is worth it. */
export function sharedWork(
  problem: AttentionProblem,
  options: SharingOptions,
): Work {
  const flat = flatWork(problem);
  const table = hostTable(problem);
  if (table === undefined) return flat;
  const finder = new Finder(problem, table, options);
  finder.find(flat.own.map(({ record }) => record));
  return finder.finish(flat);
}

/** A block table that can be compared here. */
type HostTable = Pick<PagedKeys, "blockSize"> & {
  readonly blockTable: Uint32Array;
};

/** That of a problem; none where keys are in order, or the device writes it. */
function hostTable({ keys }: AttentionProblem): HostTable | undefined {
  if (keys.kind !== "paged") return undefined;
  const { blockTable, blockSize } = keys;
  return blockTable instanceof Uint32Array
    ? { blockTable, blockSize }
    : undefined;
}

/** Sequences whose tables agree before a column. */
interface Agreement {
  readonly members: readonly number[];
  readonly column: number;
  /** Up to which key all of them have shared so far. */
  readonly from: number;
}

class Finder {
  readonly #problem: AttentionProblem;
  readonly #keys: HostTable;
  readonly #options: SharingOptions;
  readonly #keyRuns: KeyRuns;
  readonly #records: SequenceRecord[];
  readonly #shared: KeyRange[] = [];
  readonly #prefixes = new Map<number, Prefix[]>();
  #listed: boolean;

  constructor(
    problem: AttentionProblem,
    keys: HostTable,
    options: SharingOptions,
  ) {
    this.#problem = problem;
    this.#keys = keys;
    this.#options = options;
    this.#keyRuns = new KeyRuns(problem);
    this.#records = [...flatWork(problem).records];
    // What a row's weights depend on must be looked up.
    this.#listed = problem.dropout !== undefined ||
      modsDependOn(problem.scoreMods, "query") ||
      modsDependOn(problem.scoreMods, "batch");
  }

  /** Shares what sequences have in common, range after range. */
  find(all: readonly number[]): void {
    // Not recursive: each of many forks may go on a little longer than the next.
    const found: Agreement[] = [{ members: all, column: 0, from: 0 }];
    for (let next = found.pop(); next; next = found.pop()) {
      for (const more of this.#visit(next)) found.push(more);
    }
  }

  #visit({ members, column, from }: Agreement): Agreement[] {
    const { blockSize } = this.#keys;
    const { sequences } = this.#problem;
    return this.#sameBlock(members, column).map((same) => {
      let next = column + 1;
      while (this.#sameBlock(same, next)[0]?.length === same.length) next++;
      const keys = same.reduce(
        (least, s) => Math.min(least, sequences[s].keyCount),
        next * blockSize,
      );
      const { alignment } = this.#options;
      const end = Math.floor(keys / alignment) * alignment;
      const shares = end > from && this.#options.worth({
        rows: same.map((s) => this.#rows(s)),
        from,
        end,
      });
      if (shares) this.#share(same, from, end);
      return {
        members: same.filter((s) => sequences[s].keyCount > keys),
        column: Math.floor(keys / blockSize),
        from: shares ? end : from,
      };
    });
  }

  finish({ own }: Work): Work {
    return {
      records: this.#records,
      own: own.map((range) => {
        const prefixes = this.#prefixes.get(range.record) ?? [];
        const from = prefixes.at(-1)?.range.end ?? 0;
        return { ...range, from, prefixes };
      }),
      shared: this.#shared,
      listed: this.#listed,
    };
  }

  #rows(sequence: number): number {
    return packedRows(this.#problem, this.#problem.sequences[sequence]);
  }

  /** Those that have the same block in a column, where they are several. */
  #sameBlock(members: readonly number[], column: number): number[][] {
    const { blockTable, blockSize } = this.#keys;
    const byBlock = new Map<number, number[]>();
    for (const sequence of members) {
      const { keyStart, keyCount } = this.#problem.sequences[sequence];
      if (column * blockSize >= keyCount) continue;
      const id = blockTable[keyStart + column];
      if (!byBlock.get(id)?.push(sequence)) byBlock.set(id, [sequence]);
    }
    return [...byBlock.values()].filter((same) => same.length > 1);
  }

  #share(members: readonly number[], from: number, end: number): void {
    const { sequences } = this.#problem;
    const queries = members.flatMap((batch): ListedQuery[] => {
      const { queryStart, queryCount, queryOffset } = sequences[batch];
      return Array.from({ length: queryCount }, (_, i) => ({
        token: queryStart + i,
        position: queryOffset + i,
        batch,
      }));
    });
    const [first] = members;
    const record: SequenceRecord = {
      queryStart: queries[0].token,
      queryCount: queries.length,
      keyStart: sequences[first].keyStart,
      keyCount: end,
      queryOffset: 0,
      batch: first,
      queries,
    };
    const range: KeyRange = {
      record: this.#records.push(record) - 1,
      rows: members.reduce((sum, s) => sum + this.#rows(s), 0),
      from,
      end,
      prefixes: [],
    };
    this.#shared.push(range);
    let firstRow = 0;
    for (const sequence of members) {
      const prefixes = this.#prefixes.get(sequence) ?? [];
      this.#prefixes.set(sequence, [...prefixes, { range, firstRow }]);
      firstRow += this.#rows(sequence);
    }
    this.#listed ||= !this.#isAnonymous(record, range);
  }

  /** Whether neither a row's place nor its position has to be looked up. */
  #isAnonymous(record: SequenceRecord, range: KeyRange): boolean {
    const tile = { row: 0, end: range.rows, step: this.#options.alignment };
    return record.queries!.every(({ token }, i) =>
      token === record.queryStart + i
    ) &&
      this.#keyRuns.of(record, range, tile).flat().every(({ full }) => full);
  }
}
