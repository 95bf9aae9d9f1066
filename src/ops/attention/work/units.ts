/**
 * Units: all query rows of a sequence, against a stretch of its keys. Without
 * shared prefixes every sequence is one unit. Where sequences share keys, the
 * shared stretch is a unit of all their rows, and each sequence keeps the rest.
 *
 * @module
 */

import {
  type AttentionProblem,
  packedRows,
  type SequenceShape,
} from "../problem.ts";

/** One query of a unit that has those of several sequences. */
export interface ListedQuery {
  /** Its row of the query tensor, in tokens. */
  readonly token: number;
  /** Its position in the keys' coordinate. */
  readonly position: number;
  /** Its sequence. */
  readonly batch: number;
}

/** A sequence record: one of the problem's, or the rows of several of them. */
export interface RowSet extends SequenceShape {
  /** The sequence; the first one's of several. */
  readonly batch: number;
  /** The queries one by one, where they are of several sequences. */
  readonly queries?: readonly ListedQuery[];
}

/** All rows of a record against keys `from` to `end` (exclusive). */
export interface Unit {
  /** Index of its record. */
  readonly record: number;
  /** Packed query rows. */
  readonly rows: number;
  /** First key: 0, or a multiple of every kernel's step. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
  /** The shared stretches before `from`, in the order of their keys. */
  readonly prefixes: readonly Prefix[];
}

/** A shared stretch as one of its sequences sees it. */
export interface Prefix {
  /** The unit of all that share it. */
  readonly unit: Unit;
  /** Where this sequence's rows begin among that unit's. */
  readonly firstRow: number;
}

/** A problem's work: who attends to which keys. */
export interface Units {
  /** The problem's sequences in order, then those of shared stretches. */
  readonly records: readonly RowSet[];
  /** Units of sequences that have queries, one each. */
  readonly own: readonly Unit[];
  /** Units of shared stretches. */
  readonly shared: readonly Unit[];
  /** Whether shared units need their queries listed. */
  readonly listed: boolean;
}

/** The units of a problem that shares nothing. */
export function flatUnits(problem: AttentionProblem): Units {
  const { sequences } = problem;
  const own = sequences.map((sequence, record): Unit => ({
    record,
    rows: packedRows(problem, sequence),
    from: 0,
    end: sequence.keyCount,
    prefixes: [],
  }));
  return {
    records: sequences.map((sequence, batch) => ({ ...sequence, batch })),
    own: own.filter(({ rows }) => rows > 0),
    shared: [],
    listed: false,
  };
}
