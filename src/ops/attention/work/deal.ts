/**
 * Dealing: how the keys of a share's outputs become pieces of work. An output
 * is a row tile of a unit, for all kv heads.
 *
 * @module
 */

import { clipRuns, type HeadRuns, type KeyRun, stepsOf } from "./key_runs.ts";
import { streamK } from "./stream_k.ts";
import type { Unit } from "./units.ts";

/** How the keys of a unit are divided among workgroups. */
export type Splitting =
  | { readonly kind: "size"; readonly keys: number }
  | { readonly kind: "count"; readonly count: number };

/** How a share's work is dealt. */
export type Dealing =
  /** Each unit by itself, by its packed rows; or not at all. */
  | {
    readonly kind: "splits";
    /** For people. */
    readonly text: string;
    /** How a unit with so many packed rows is split. */
    readonly of: (rows: number) => Splitting | undefined;
  }
  /** All units together, in equal stretches. */
  | {
    readonly kind: "stream-k";
    /** For people. */
    readonly text: string;
    /** How many stretches. */
    readonly workers: number;
  };

/** A row tile of a unit: what one workgroup a kv head would do, undivided. */
export interface Output {
  /** The unit. */
  readonly unit: Unit;
  /** First packed row. */
  readonly row: number;
  /** How many rows. */
  readonly rows: number;
  /** The keys that it visits. */
  readonly runs: HeadRuns;
}

/** What one workgroup does at a time. */
export interface Piece {
  /** Which output. */
  readonly output: number;
  /** The keys that it visits; one list where it has a kv head of its own. */
  readonly runs: HeadRuns;
  /** Its kv head; `undefined` for all of them, a workgroup each. */
  readonly kvHead: number | undefined;
}

/** Dealt work. */
export interface Dealt {
  /** The pieces; those of one output and kv head in the order of their keys. */
  readonly pieces: readonly Piece[];
  /** Stream-K: the first piece of each worker, and the end of the last one's. */
  readonly stretches: readonly number[] | undefined;
}

/** Deals the work of a share, whose steps have `step` keys. */
export function deal(
  outputs: readonly Output[],
  dealing: Dealing,
  { step, kvHeads }: { readonly step: number; readonly kvHeads: number },
): Dealt {
  return dealing.kind === "splits"
    ? dealSplits(outputs, dealing.of, step)
    : dealStretches(outputs, dealing.workers, { step, kvHeads });
}

function dealSplits(
  outputs: readonly Output[],
  splitting: (rows: number) => Splitting | undefined,
  step: number,
): Dealt {
  const pieces = outputs.flatMap(({ unit, runs }, output) =>
    splitRuns(runs, unit, splitting(unit.rows), step)
      .map((part): Piece => ({ output, runs: part, kvHead: undefined }))
  );
  return { pieces, stretches: undefined };
}

/**
 * Parts of the runs, one a split. Splits begin at multiples of their size, so
 * they depend on the unit alone; those that see no key are left out.
 */
function splitRuns(
  runs: HeadRuns,
  { from, end }: Unit,
  splitting: Splitting | undefined,
  step: number,
): HeadRuns[] {
  if (!splitting) return [runs];
  const tiles = Math.ceil((end - from) / step);
  const size = splitting.kind === "size"
    ? Math.max(1, Math.floor(splitting.keys / step))
    : Math.max(1, Math.ceil(tiles / splitting.count));
  const parts: HeadRuns[] = [];
  for (let tile = 0; tile < tiles; tile += size) {
    const first = from + tile * step;
    const part = runs.map((list) => clipRuns(list, first, first + size * step));
    if (part.some((list) => list.length > 0)) parts.push(part);
  }
  return parts.length > 0 ? parts : [runs];
}

function dealStretches(
  outputs: readonly Output[],
  workers: number,
  { step, kvHeads }: { readonly step: number; readonly kvHeads: number },
): Dealt {
  const lists = outputs.flatMap(({ runs }) =>
    Array.from({ length: kvHeads }, (_, h) => runs[runs.length > 1 ? h : 0])
  );
  const schedule = streamK({
    tiles: lists.map((list) => stepsOf(list, step)),
    workers,
  });
  const pieces: Piece[] = [];
  const stretches = [0];
  for (const stretch of schedule.pieces) {
    for (const { output, first, end } of stretch) {
      pieces.push({
        output: Math.floor(output / kvHeads),
        runs: [visited(lists[output], first * step, end * step)],
        kvHead: output % kvHeads,
      });
    }
    stretches.push(pieces.length);
  }
  return { pieces, stretches };
}

/** The part of runs that lies between counts of visited keys. */
function visited(
  runs: readonly KeyRun[],
  from: number,
  to: number,
): KeyRun[] {
  const part: KeyRun[] = [];
  let before = 0;
  for (const { first, end, full } of runs) {
    const start = Math.max(first, first + from - before);
    const stop = Math.min(end, first + to - before);
    if (start < stop) part.push({ first: start, end: stop, full });
    before += end - first;
  }
  return part;
}
