/**
 * What is merged: for every row of a sequence, the states of all ranges of
 * its keys, in their order.
 *
 * @module
 */

import type { KeyRange, Prefix } from "./key_ranges.ts";

/** States of consecutive rows: row i of kv head h is `at + h * stride + i`. */
export interface StateRows {
  /** The first row's state, of kv head 0 or of the only one. */
  readonly at: number;
  /** State rows from one kv head to the next; 0 where there is only one. */
  readonly stride: number;
}

/** Rows whose states are the same. */
export interface PartialRows {
  /** First packed row. */
  readonly row: number;
  /** How many. */
  readonly rows: number;
  /** Their kv head; `undefined` for all. */
  readonly kvHead: number | undefined;
  /** Their states, in the order of keys; none where there is no key. */
  readonly states: readonly StateRows[];
}

/** Partial rows of key ranges, by row tile. */
export class Merges {
  readonly #tiles = new Map<
    KeyRange,
    { rows: number; tiles: PartialRows[][] }
  >();

  /** Adds rows of a range whose row tiles have `tileRows` rows. */
  add(range: KeyRange, tileRows: number, partial: PartialRows): void {
    const found = this.#tiles.get(range) ?? { rows: tileRows, tiles: [] };
    this.#tiles.set(range, found);
    (found.tiles[partial.row / tileRows] ??= []).push(partial);
  }

  /** What is to be merged for a sequence's own range; nothing where it is whole. */
  of(range: KeyRange): PartialRows[] {
    const own = this.#tiles.get(range)?.tiles.flat() ?? [];
    return range.prefixes.reduceRight(
      (rows, prefix) => rows.flatMap((one) => this.#behind(prefix, one)),
      own,
    );
  }

  /** Rows with a prefix's states before their own, cut where its tiles are. */
  #behind(prefix: Prefix, own: PartialRows): PartialRows[] {
    const { rows: tileRows, tiles } = this.#tiles.get(prefix.range)!;
    const from = own.row + prefix.firstRow;
    const end = from + own.rows;
    const first = Math.floor(from / tileRows);
    return tiles.slice(first, Math.ceil(end / tileRows)).flat()
      .filter(({ kvHead }) =>
        kvHead === undefined || own.kvHead === undefined ||
        kvHead === own.kvHead
      )
      .map((theirs) => {
        const start = Math.max(from, theirs.row);
        const stop = Math.min(end, theirs.row + theirs.rows);
        const kvHead = own.kvHead ?? theirs.kvHead;
        return {
          row: start - prefix.firstRow,
          rows: stop - start,
          kvHead,
          states: [
            ...theirs.states.map((state) => ofHead(state, start - theirs.row)),
            ...own.states.map((state) => ofHead(state, start - from)),
          ],
        };

        /** A state from a later row on, of one kv head if that is chosen. */
        function ofHead({ at, stride }: StateRows, skip: number): StateRows {
          return kvHead === undefined || stride === 0
            ? { at: at + skip, stride }
            : { at: at + kvHead * stride + skip, stride: 0 };
        }
      });
  }
}
