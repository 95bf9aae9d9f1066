/**
 * Key ranges: all query rows of a sequence, against a range of its keys. Without
 * shared prefixes every sequence has one. Where sequences share keys, those are
 * a range of all their rows, and each sequence keeps the rest.
 *
 * @module
 */

import {
  type AttentionProblem,
  packedRows,
  type SequenceShape,
} from "../problem.ts";

/** One query of a key range that has those of several sequences. */
export interface ListedQuery {
  /** Its row of the query tensor, in tokens. */
  readonly token: number;
  /** Its position in the keys' coordinate. */
  readonly position: number;
  /** Its sequence. */
  readonly batch: number;
}

/** One of the problem's sequences, or the rows of several of them. */
export interface SequenceRecord extends SequenceShape {
  /** The sequence; the first one's of several. */
  readonly batch: number;
  /** The queries one by one, where they are of several sequences. */
  readonly queries?: readonly ListedQuery[];
}

/** All rows of a record against keys `from` to `end` (exclusive). */
export interface KeyRange {
  /** Index of its record. */
  readonly record: number;
  /** Packed query rows. */
  readonly rows: number;
  /** First key: 0, or a multiple of every kernel's step. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
  /** The shared ranges before `from`, in the order of their keys. */
  readonly prefixes: readonly Prefix[];
}

/** A shared range as one of its sequences sees it. */
export interface Prefix {
  /** The range of all that share it. */
  readonly range: KeyRange;
  /** Where this sequence's rows begin among that range's. */
  readonly firstRow: number;
}

/** A problem's work: who attends to which keys. */
export interface Work {
  /** The problem's sequences in order, then those of shared ranges. */
  readonly records: readonly SequenceRecord[];
  /** Ranges of sequences that have queries, one each. */
  readonly own: readonly KeyRange[];
  /** Shared ranges. */
  readonly shared: readonly KeyRange[];
  /** Whether shared ranges need their queries listed. */
  readonly listed: boolean;
}

/** The work of a problem that shares nothing. */
export function flatWork(problem: AttentionProblem): Work {
  const { sequences } = problem;
  const own = sequences.map((sequence, record): KeyRange => ({
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
