/**
 * Block copies that reservations asked for and that are not carried out yet.
 *
 * @module
 */

import type { BlockCopy } from "../cache/block/table_types.ts";

/** The copies of one reservation. */
export interface PendingEntry {
  /** How many reservations came before. */
  readonly serial: number;
  /** The copies, in order. */
  readonly copies: readonly BlockCopy[];
}

/**
 * Copies in the order of the reservations, for which order counts: whoever
 * writes may overwrite what an earlier reservation is still to copy.
 */
export class PendingCopies {
  /** All that is to be done, to be put back where recording fails. */
  entries: readonly PendingEntry[] = [];
  #next = 0;

  /** Adds the copies of a reservation, if any; gives its number. */
  add(copies: readonly BlockCopy[]): number {
    const serial = this.#next++;
    if (copies.length > 0) this.entries = [...this.entries, { serial, copies }];
    return serial;
  }

  /** Takes the copies up to those of a reservation; all by default. */
  take(serial = Infinity): BlockCopy[] {
    const { entries } = this;
    this.entries = entries.filter((entry) => entry.serial > serial);
    return entries.slice(0, entries.length - this.entries.length)
      .flatMap(({ copies }) => copies);
  }
}
