/**
 * What reserving slots in a block table is given, and what it gives.
 *
 * @module
 */

/**
 * A block whose first rows must be copied before new ones are written.
 *
 * @category Cache
 */
export interface BlockCopy {
  /** The block to read, still held by the other tables. */
  readonly source: number;
  /** The block to write, now in this table in the source's place. */
  readonly destination: number;
  /** How many rows, from the block's first, are copied. */
  readonly rows: number;
}

/**
 * Where new tokens go, and what must be copied first.
 *
 * @category Cache
 */
export interface Reservation {
  /** The physical slot of each new token: `block * blockSize + row`. */
  readonly slots: Uint32Array;
  /**
   * Copies to carry out before anything is written to `slots`, and before
   * those of any later reservation; at most one.
   */
  readonly copies: readonly BlockCopy[];
}

/**
 * How `BlockTable.reserve()` comes by its blocks.
 *
 * @category Cache
 */
export interface ReserveOptions {
  /**
   * Blocks that the caller holds once each and no one else does: at least
   * `BlockTable.blocksNeeded()` of them. The holds pass to the table;
   * blocks beyond those needed are kept for later reservations. By
   * default the needed ones are allocated.
   */
  readonly blocks?: readonly number[];
}
