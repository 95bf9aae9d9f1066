/**
 * What adding tokens to a state is given, and what it gives.
 *
 * @module
 */

/**
 * A stretch of tokens over which a state goes on. A kernel reads one slot and
 * writes another, or the same one in place, so that copy-on-write copies
 * nothing.
 *
 * @category Cache
 */
export interface StatePart {
  /** The position of the first token. */
  readonly start: number;
  /** Tokens, at least 1. */
  readonly count: number;
  /** The slot of the state before them; 0 for zeros. */
  readonly read: number;
  /** The slot that the state behind them is written to. */
  readonly write: number;
}

/**
 * How `StateSequence.reserve()` goes about it.
 *
 * @category Cache
 */
export interface StateReserveOptions {
  /**
   * Lengths on the way at which the state is kept, ascending; each takes a slot.
   * None by default.
   */
  readonly at?: readonly number[];
  /**
   * Whether the present state stays until the commit, so that written tokens can
   * be truncated. Defaults to `false`: a state that no one else holds is written
   * over.
   */
  readonly keep?: boolean;
  /**
   * Slots that the caller holds once each and no one else does: as many as
   * `StateSequence.slotsNeeded()` says. The holds pass to the sequence. By
   * default they are allocated.
   */
  readonly slots?: readonly number[];
}

/**
 * How `StateSequence.truncate()` goes about it.
 *
 * @category Cache
 */
export interface StateTruncateOptions {
  /**
   * The caller's word that nothing was written for the tokens that are
   * forgotten. Defaults to `false`: their states may be there, so that one that
   * they are written over is lost.
   */
  readonly unwritten?: boolean;
}
