/**
 * The schedule: from a problem, its units and its tiles to the words that the
 * kernels read (`kernels/fragments/schedule.ts` has the layout). Pure, no GPU.
 *
 * @module
 */

import {
  ITEM_WORDS,
  SEQUENCE_WORDS,
} from "../../../../kernels/fragments/schedule.ts";
import {
  type CostModel,
  type DealingCost,
  dealingCost,
  totalCost,
} from "./cost.ts";
import { deal, type Dealing, type Dealt, type Output } from "./deal.ts";
import {
  type HeadRuns,
  KeyRuns,
  stepsOf,
  type TileCounts,
} from "./key_runs.ts";
import { Merges, type PartialRows } from "./merges.ts";
import type { AttentionProblem } from "../problem.ts";
import type { Unit, Units } from "./units.ts";
import { type TurnBudget, withinTurns } from "./turns.ts";
import { Words } from "./words.ts";

/** One kernel's part of the batch. */
export interface Share {
  /** What it takes. */
  readonly units: readonly Unit[];
  /** Packed query rows of an item. */
  readonly rows: number;
  /** Keys of a step: masks are classified in tiles of this many. */
  readonly step: number;
  /** Ways of dealing its work; with several, the cheapest is taken. */
  readonly dealings: readonly Dealing[];
  /** By what they are compared. */
  readonly model: CostModel;
  /** How much a workgroup may do. */
  readonly turns: TurnBudget;
}

/** What the words of one share mean. */
export interface SharePass {
  /** First word of its items. */
  readonly itemsAt: number;
  /** Its items. */
  readonly itemCount: number;
  /** Stream-K: first word of the workers, and how many they are. */
  readonly workers: { readonly at: number; readonly count: number } | undefined;
  /** Whether it writes partial states, so that a merge follows. */
  readonly partial: boolean;
  /** How its work is dealt. */
  readonly dealing: string;
  /** What the ways of dealing were expected to cost, where there was a choice. */
  readonly costs: readonly DealingCost[];
}

/** The words of one merge. */
export interface MergePass {
  /** First word of its items. */
  readonly itemsAt: number;
  /** Its items. */
  readonly itemCount: number;
  /** Whether each item has a kv head of its own, or is for all. */
  readonly ownHeads: boolean;
}

/** A written schedule. */
export interface Schedule {
  /** What goes into the `schedule` binding. */
  readonly words: Uint32Array;
  /** First word of the sequence records. */
  readonly sequencesAt: number;
  /** One entry a share, in order. */
  readonly passes: readonly SharePass[];
  /** The merges that follow, if any. */
  readonly merges: readonly MergePass[];
  /** Rows of partial states. */
  readonly stateRows: number;
  /** Whether runs differ by kv head. */
  readonly runsPerHead: boolean;
  /** What was skipped. */
  readonly tiles: TileCounts;
}

/** Writes the schedule of a problem whose units are in the given shares. */
export function buildSchedule(
  problem: AttentionProblem,
  units: Units,
  shares: readonly Share[],
): Schedule {
  const writer = new ScheduleWriter(problem, units);
  const passes = shares.map((share) => writer.writeShare(share));
  return writer.finish(passes);
}

class ScheduleWriter {
  readonly #problem: AttentionProblem;
  readonly #units: Units;
  readonly #keyRuns: KeyRuns;
  readonly #runs = new Words();
  readonly #items = new Words();
  readonly #written = new Map<string, number>();
  readonly #merges = new Merges();
  readonly #shared: ReadonlySet<Unit>;
  readonly #tiles = { total: 0, visited: 0, full: 0 };
  #stateRows = 0;

  constructor(problem: AttentionProblem, units: Units) {
    this.#problem = problem;
    this.#units = units;
    this.#shared = new Set(units.shared);
    this.#keyRuns = new KeyRuns(problem);
  }

  writeShare(share: Share): SharePass {
    const outputs = share.units.flatMap((unit) => this.#outputs(share, unit));
    const { dealt, text, partial, costs } = this.#deal(share, outputs);
    const states = partial ? this.#states(share, outputs, dealt) : undefined;
    return {
      itemsAt: this.#writeItems(dealt.pieces.map((piece, i) => {
        const { unit, row } = outputs[piece.output];
        const { at, stride } = states?.[i] ?? { at: 0, stride: 0 };
        const runs = this.#writeRuns(piece.runs);
        return [unit.record, row, runs, at, stride, piece.kvHead ?? 0];
      })),
      itemCount: dealt.pieces.length,
      workers: dealt.stretches && {
        at: this.#runs.append(dealt.stretches),
        count: dealt.stretches.length - 1,
      },
      partial,
      dealing: text,
      costs,
    };
  }

  finish(passes: readonly SharePass[]): Schedule {
    const { source } = this.#problem;
    const { records, listed } = this.#units;
    const merges = this.#writeMerges();
    const queries = new Words();
    const lists = records.map((record) =>
      listed && record.queries
        ? queries.append(
          record.queries.flatMap((q) => [q.token, q.position, q.batch]),
        )
        : 0
    );
    const runs = this.#runs.view();
    const items = this.#items.view();
    const itemsAt = runs.length;
    const sequencesAt = itemsAt + items.length;
    const queriesAt = sequencesAt + records.length * SEQUENCE_WORDS;
    const tableAt = queriesAt + queries.length;
    const table = source.kind === "paged"
      ? source.blockTable
      : new Uint32Array(0);
    const words = new Uint32Array(tableAt + table.length);
    words.set(runs);
    words.set(items, itemsAt);
    records.forEach((record, index) => {
      words.set([
        record.queryStart,
        record.queryCount,
        record.keyStart + (source.kind === "paged" ? tableAt : 0),
        record.keyCount,
        record.queryOffset,
        record.batch,
        queriesAt + lists[index],
      ], sequencesAt + index * SEQUENCE_WORDS);
    });
    words.set(queries.view(), queriesAt);
    words.set(table, tableAt);
    const moved = <P extends { readonly itemsAt: number }>(pass: P): P => ({
      ...pass,
      itemsAt: pass.itemsAt + itemsAt,
    });
    return {
      words,
      sequencesAt,
      passes: passes.map(moved),
      merges: merges.map(moved),
      stateRows: this.#stateRows,
      runsPerHead: this.#keyRuns.perHead,
      tiles: this.#tiles,
    };
  }

  /** The row tiles of a unit, with the keys that each visits. */
  #outputs({ rows, step }: Share, unit: Unit): Output[] {
    const record = this.#units.records[unit.record];
    const outputs: Output[] = [];
    for (let row = 0; row < unit.rows; row += rows) {
      const end = Math.min(row + rows, unit.rows);
      const runs = this.#keyRuns.of(record, unit, { row, end, step });
      outputs.push({ unit, row, rows: end - row, runs });
      this.#count(runs, unit, step);
    }
    return outputs;
  }

  #count(runs: HeadRuns, { from, end }: Unit, step: number): void {
    for (const list of runs) {
      this.#tiles.total += Math.ceil((end - from) / step);
      this.#tiles.visited += stepsOf(list, step);
      this.#tiles.full += stepsOf(list.filter(({ full }) => full), step);
    }
  }

  /** The cheapest way of dealing; of equal ones the first. */
  #deal(
    { dealings, step, units, model, turns }: Share,
    outputs: readonly Output[],
  ) {
    const { kvHeads } = this.#problem;
    const stretch = units.some((unit) =>
      this.#shared.has(unit) || unit.prefixes.length > 0
    );
    const options = dealings.map((dealing) => {
      const whole = deal(outputs, dealing, { step, kvHeads });
      const dealt = withinTurns(whole, turns, step);
      const partial = stretch || dealt.stretches !== undefined ||
        dealt.pieces.length > outputs.length;
      const cut = dealt.pieces.length > whole.pieces.length;
      const text = cut ? `${dealing.text}, cut for its loops` : dealing.text;
      return { dealt, text, partial };
    });
    if (options.length === 1) return { ...options[0], costs: [] };
    const costs = options.map(({ dealt, text, partial }) =>
      dealingCost(dealt, { text, step, kvHeads, partial, model })
    );
    const totals = costs.map(totalCost);
    const best = totals.indexOf(Math.min(...totals));
    return { ...options[best], costs };
  }

  /** Gives every piece its state rows, and notes what is to be merged. */
  #states(
    share: Share,
    outputs: readonly Output[],
    { pieces, stretches }: Dealt,
  ): { at: number; stride: number }[] {
    const { kvHeads } = this.#problem;
    const heads = stretches ? kvHeads : 1;
    const parts = Array.from(
      { length: outputs.length * heads },
      (): { at: number; stride: number }[] => [],
    );
    const states = pieces.map(({ output, kvHead = 0 }) => {
      const { rows } = outputs[output];
      const state = { at: this.#stateRows, stride: stretches ? 0 : rows };
      this.#stateRows += stretches ? rows : rows * kvHeads;
      parts[output * heads + kvHead].push(state);
      return state;
    });
    parts.forEach((own, i) => {
      const { unit, row, rows } = outputs[Math.floor(i / heads)];
      const kvHead = stretches ? i % heads : undefined;
      this.#merges.add(unit, share.rows, { row, rows, kvHead, parts: own });
    });
    return states;
  }

  #writeMerges(): MergePass[] {
    const all: number[][] = [];
    const own: number[][] = [];
    for (const unit of this.#units.own) {
      for (const rows of this.#merges.of(unit)) {
        const items = rows.kvHead === undefined ? all : own;
        for (const chunk of chunksOf(rows, this.#problem.valueHeadDim)) {
          items.push(this.#mergeItem(unit, chunk));
        }
      }
    }
    return [all, own].map((items, i) => ({
      itemsAt: this.#writeItems(items),
      itemCount: items.length,
      ownHeads: i === 1,
    })).filter(({ itemCount }) => itemCount > 0);
  }

  #mergeItem({ record }: Unit, partial: PartialRows): number[] {
    const { row, rows, kvHead, parts } = partial;
    const at = this.#runs.append(
      parts.flatMap((part) => [part.at, part.stride]),
    );
    return [record, row, at, parts.length, rows, kvHead ?? 0];
  }

  /** Writes (offset, count) pairs and their runs; equal ones are shared. */
  #writeRuns(lists: HeadRuns): number {
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

  #writeItems(items: readonly (readonly number[])[]): number {
    const at = this.#items.length;
    for (const item of items) this.#items.append(item, ITEM_WORDS);
    return at;
  }
}

/**
 * Words of state that a merge item reads. It bounds the turns of its loops, and
 * what has many parts is merged by many workgroups.
 */
const MERGE_WORDS = 2 ** 17;

/** Rows of a merge in chunks, of one row at least. */
function chunksOf(partial: PartialRows, valueHeadDim: number): PartialRows[] {
  const { row, rows, parts } = partial;
  const words = Math.max(1, parts.length) * (valueHeadDim + 4);
  const size = Math.max(1, Math.floor(MERGE_WORDS / words));
  if (size >= rows) return [partial];
  const chunks: PartialRows[] = [];
  for (let at = 0; at < rows; at += size) {
    chunks.push({
      ...partial,
      row: row + at,
      rows: Math.min(size, rows - at),
      parts: parts.map((part) => ({ ...part, at: part.at + at })),
    });
  }
  return chunks;
}
