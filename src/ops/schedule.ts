/**
 * The schedule: from a problem and its tiles to the words that the kernels
 * read (`kernels/fragments/schedule.ts` has the layout). Pure, no GPU.
 *
 * @module
 */

import {
  ITEM_WORDS,
  SEQUENCE_WORDS,
} from "../../kernels/fragments/schedule.ts";
import { maskDependsOn, maskRuns, type Run } from "../mods/mod.ts";
import {
  type AttentionProblem,
  packedRows,
  type SequenceShape,
} from "./problem.ts";

/** How the keys of a sequence are divided among workgroups. */
export type Splitting =
  | { readonly kind: "size"; readonly keys: number }
  | { readonly kind: "count"; readonly count: number };

/** One kernel's part of the batch. */
export interface Share {
  /** Which of the problem's sequences it takes. */
  readonly takes: (sequence: SequenceShape) => boolean;
  /** Packed query rows of an item. */
  readonly rows: number;
  /** Keys of a step: masks are classified in tiles of this many. */
  readonly step: number;
  /** How the keys of a sequence are split, by its packed rows; or not at all. */
  readonly splitting: (rows: number) => Splitting | undefined;
}

/** What the words of one share mean. */
export interface SharePass {
  /** First word of its items. */
  readonly itemsAt: number;
  /** Its work items. */
  readonly itemCount: number;
  /** Whether any row has several slots, so that a merge follows. */
  readonly partial: boolean;
  /** Slots of partial states. */
  readonly slotCount: number;
  /** First word of the merge's items. */
  readonly mergeAt: number;
  /** The merge's items. */
  readonly mergeCount: number;
}

/** Tiles of (query rows, keys), counted once a kv head that differs. */
export interface TileCounts {
  /** Tiles of the whole problem. */
  readonly total: number;
  /** Tiles that are computed: the others were proven empty. */
  readonly visited: number;
  /** Tiles among them that skip the mask: proven full. */
  readonly full: number;
}

/** A written schedule. */
export interface Schedule {
  /** What goes into the `schedule` binding. */
  readonly words: Uint32Array;
  /** First word of the sequence records. */
  readonly sequencesAt: number;
  /** One entry a share, in order. */
  readonly passes: readonly SharePass[];
  /** Whether runs differ by kv head. */
  readonly runsPerHead: boolean;
  /** What was skipped. */
  readonly tiles: TileCounts;
}

/** A run in keys instead of tiles. */
interface KeyRun {
  readonly first: number;
  readonly end: number;
  readonly full: boolean;
}

/** Words that grow. */
class Words {
  #words = new Uint32Array(256);
  length = 0;

  push(...values: number[]): number {
    const at = this.length;
    while (at + values.length > this.#words.length) {
      const grown = new Uint32Array(2 * this.#words.length);
      grown.set(this.#words);
      this.#words = grown;
    }
    for (const value of values) this.#words[this.length++] = value;
    return at;
  }

  view(): Uint32Array {
    return this.#words.subarray(0, this.length);
  }
}

/** Writes the schedule of a problem for the given shares. */
export function buildSchedule(
  problem: AttentionProblem,
  shares: readonly Share[],
): Schedule {
  const writer = new ScheduleWriter(problem);
  const passes = shares.map((share) => writer.writeShare(share));
  return writer.finish(passes);
}

class ScheduleWriter {
  readonly #problem: AttentionProblem;
  readonly #depends: { readonly batch: boolean; readonly head: boolean };
  readonly #heads: number;
  readonly #runs = new Words();
  readonly #items = new Words();
  readonly #keyRuns = new Map<string, readonly KeyRun[]>();
  readonly #written = new Map<string, number>();
  #total = 0;
  #visited = 0;
  #full = 0;

  constructor(problem: AttentionProblem) {
    this.#problem = problem;
    this.#depends = maskDependsOn(problem.maskMods);
    this.#heads = this.#depends.head ? problem.kvHeads : 1;
  }

  writeShare(share: Share): SharePass {
    const { sequences } = this.#problem;
    const items: number[][] = [];
    const merges: number[][] = [];
    let slots = 0;
    sequences.forEach((sequence, index) => {
      if (sequence.queryCount === 0 || !share.takes(sequence)) return;
      const rows = packedRows(this.#problem, sequence);
      for (let row = 0; row < rows; row += share.rows) {
        const runs = this.#rowRuns(share, index, row);
        const parts = splitRuns(
          runs,
          share.splitting(rows),
          share.step,
          sequence.keyCount,
        );
        merges.push([index, row, 0, slots, parts.length]);
        for (const part of parts) {
          items.push([index, row, this.#writeRuns(part), slots++, 1]);
        }
      }
    });
    const partial = items.length > merges.length;
    return {
      itemsAt: this.#writeItems(items),
      itemCount: items.length,
      partial,
      slotCount: partial ? slots : 0,
      mergeAt: partial ? this.#writeItems(merges) : 0,
      mergeCount: partial ? merges.length : 0,
    };
  }

  finish(passes: readonly SharePass[]): Schedule {
    const { sequences, source } = this.#problem;
    const runs = this.#runs.view();
    const items = this.#items.view();
    const itemsAt = runs.length;
    const sequencesAt = itemsAt + items.length;
    const tableAt = sequencesAt + sequences.length * SEQUENCE_WORDS;
    const table = source.kind === "paged"
      ? source.blockTable
      : new Uint32Array(0);
    const words = new Uint32Array(tableAt + table.length);
    words.set(runs);
    words.set(items, itemsAt);
    sequences.forEach((sequence, index) => {
      words.set([
        sequence.queryStart,
        sequence.queryCount,
        sequence.keyStart + (source.kind === "paged" ? tableAt : 0),
        sequence.keyCount,
        sequence.queryOffset,
        index,
      ], sequencesAt + index * SEQUENCE_WORDS);
    });
    words.set(table, tableAt);
    return {
      words,
      sequencesAt,
      passes: passes.map((pass) => ({
        ...pass,
        itemsAt: pass.itemsAt + itemsAt,
        mergeAt: pass.mergeAt + itemsAt,
      })),
      runsPerHead: this.#depends.head,
      tiles: { total: this.#total, visited: this.#visited, full: this.#full },
    };
  }

  /** The runs of the rows from `row` on, one list a kv head that differs. */
  #rowRuns(share: Share, index: number, row: number): (readonly KeyRun[])[] {
    const { queryHeads, kvHeads, sequences } = this.#problem;
    const sequence = sequences[index];
    const group = queryHeads / kvHeads;
    const last = Math.min(
      row + share.rows,
      packedRows(this.#problem, sequence),
    ) - 1;
    const queryStart = Math.floor(row / group) + sequence.queryOffset;
    const queryEnd = Math.floor(last / group) + sequence.queryOffset;
    return Array.from({ length: this.#heads }, (_, kvHead) => {
      const head: readonly [number, number] = this.#depends.head
        ? [kvHead * group, (kvHead + 1) * group - 1]
        : [0, queryHeads - 1];
      const batch = this.#depends.batch ? index : 0;
      const runs = this.#classify({
        batch: [batch, batch],
        head,
        queryStart,
        queryEnd,
        keyLength: sequence.keyCount,
        tileKeys: share.step,
      });
      this.#total += Math.ceil(sequence.keyCount / share.step);
      for (const { first, end, full } of runs) {
        const tiles = (end - first) / share.step;
        this.#visited += tiles;
        if (full) this.#full += tiles;
      }
      return runs;
    });
  }

  #classify(options: Parameters<typeof maskRuns>[1]): readonly KeyRun[] {
    const { batch, head, queryStart, queryEnd, keyLength, tileKeys } = options;
    const key = this.#problem.maskMods.length === 0
      ? `${keyLength},${tileKeys}`
      : `${batch},${head},${queryStart},${queryEnd},${keyLength},${tileKeys}`;
    let runs = this.#keyRuns.get(key);
    if (!runs) {
      runs = maskRuns(this.#problem.maskMods, options).map((run: Run) => ({
        first: run.start * tileKeys,
        end: (run.start + run.count) * tileKeys,
        full: run.full,
      }));
      this.#keyRuns.set(key, runs);
    }
    return runs;
  }

  /** Writes (offset, count) pairs and their runs; equal ones are shared. */
  #writeRuns(lists: readonly (readonly KeyRun[])[]): number {
    const key = lists.map((runs) =>
      runs.map(({ first, end, full }) => `${first}-${end}${full ? "f" : ""}`)
        .join()
    ).join(";");
    let at = this.#written.get(key);
    if (at === undefined) {
      at = this.#runs.length;
      let next = at + 2 * lists.length;
      for (const runs of lists) {
        this.#runs.push(next, runs.length);
        next += 3 * runs.length;
      }
      for (const { first, end, full } of lists.flat()) {
        this.#runs.push(first, end, full ? 1 : 0);
      }
      this.#written.set(key, at);
    }
    return at;
  }

  #writeItems(items: readonly number[][]): number {
    const at = this.#items.length;
    for (const item of items) {
      this.#items.push(...item, ...new Array(ITEM_WORDS - item.length).fill(0));
    }
    return at;
  }
}

/**
 * Parts of the runs, one a split. Splits begin at multiples of their size, so
 * they depend on the sequence alone; those that see no key are left out.
 */
function splitRuns(
  lists: readonly (readonly KeyRun[])[],
  splitting: Splitting | undefined,
  step: number,
  keyCount: number,
): (readonly (readonly KeyRun[])[])[] {
  if (!splitting) return [lists];
  const tiles = Math.ceil(keyCount / step);
  const size = splitting.kind === "size"
    ? Math.max(1, Math.floor(splitting.keys / step))
    : Math.max(1, Math.ceil(tiles / splitting.count));
  const parts = [];
  for (let tile = 0; tile < tiles; tile += size) {
    const part = lists.map((runs) =>
      clip(runs, tile * step, (tile + size) * step)
    );
    if (part.some((runs) => runs.length > 0)) parts.push(part);
  }
  return parts.length > 0 ? parts : [lists];
}

function clip(runs: readonly KeyRun[], from: number, to: number): KeyRun[] {
  return runs
    .filter(({ first, end }) => first < to && end > from)
    .map(({ first, end, full }) => ({
      first: Math.max(first, from),
      end: Math.min(end, to),
      full,
    }));
}
