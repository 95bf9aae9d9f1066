/**
 * Lists of blocks: for every row of blocks those that it has, ascending
 * (compressed sparse rows).
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { type BlockGrid, blockRows } from "./geometry.ts";

/**
 * The blocks of each row, in compressed sparse rows: those of row `i` are
 * `indices[offsets[i]]` to `indices[offsets[i + 1] - 1]`, ascending.
 *
 * @category Blocks
 */
export interface BlockLists {
  /** Where each row begins, and the end of the last: rows + 1 numbers. */
  readonly offsets: Uint32Array;
  /** Blocks. */
  readonly indices: Uint32Array;
}

/**
 * Lists as they may be given: compressed rows, or an array a row.
 *
 * @category Blocks
 */
export type GivenLists =
  | BlockLists
  | readonly (readonly number[] | Uint32Array | Int32Array)[];

/** The blocks of one level, as lists; `columns` blocks a row. */
export function listsOf(
  levels: Uint8Array,
  columns: number,
  level: number,
): BlockLists {
  const rows = levels.length / columns;
  const offsets = new Uint32Array(rows + 1);
  for (let n = 0; n < levels.length; n++) {
    if (levels[n] === level) offsets[Math.floor(n / columns) + 1]++;
  }
  for (let row = 0; row < rows; row++) offsets[row + 1] += offsets[row];
  const indices = new Uint32Array(offsets[rows]);
  let at = 0;
  for (let n = 0; n < levels.length; n++) {
    if (levels[n] === level) indices[at++] = n % columns;
  }
  return { offsets, indices };
}

/**
 * Marks the blocks of given lists with a level.
 *
 * @throws {TypeError} If the lists are of another form, or another number of
 * rows.
 * @throws {RangeError} If a block is out of range, not above the one before it,
 * or in the other lists too.
 */
export function markLists(
  levels: Uint8Array,
  grid: BlockGrid,
  { name, lists, level }: {
    readonly name: string;
    readonly lists: GivenLists;
    readonly level: number;
  },
): void {
  const rows = blockRows(grid);
  const { keyBlocks } = grid;
  const rowOf = rowReader(name, lists, rows);
  for (let row = 0; row < rows; row++) {
    const blocks = rowOf(row);
    let before = -1;
    for (let i = 0; i < blocks.length; i++) {
      const block = blocks[i];
      const what = `${name} row ${row}, entry ${i},`;
      checkInteger(what, block, 0, keyBlocks - 1);
      checkRange(
        block > before,
        what,
        block === before
          ? "must be there once"
          : `must be above the entry before it (${before}): lists ascend`,
        block,
      );
      const at = row * keyBlocks + block;
      checkRange(
        levels[at] === 0,
        what,
        "must not be among the full blocks too",
        block,
      );
      levels[at] = level;
      before = block;
    }
  }
}

/** Reads one row of given lists. */
function rowReader(
  name: string,
  lists: GivenLists,
  rows: number,
): (row: number) => ArrayLike<number> {
  if (Array.isArray(lists)) {
    checkRowCount(name, lists.length, rows);
    return (row) => {
      const list = lists[row];
      checkType(
        Array.isArray(list) || list instanceof Uint32Array ||
          list instanceof Int32Array,
        `${name}[${row}]`,
        "must be an array of blocks of keys",
        list,
      );
      return list;
    };
  }
  const { offsets, indices } = lists as BlockLists;
  checkType(
    offsets instanceof Uint32Array && indices instanceof Uint32Array,
    name,
    "must be { offsets, indices }, each a Uint32Array, or an array a row",
    lists,
  );
  checkRowCount(`${name}.offsets, less one,`, offsets.length - 1, rows);
  checkRange(
    offsets[0] === 0 && offsets[rows] === indices.length,
    `${name}.offsets`,
    `must begin with 0 and end with the number of indices (${indices.length})`,
    [offsets[0], offsets[rows]],
  );
  for (let row = 0; row < rows; row++) {
    checkRange(
      offsets[row] <= offsets[row + 1],
      `${name}.offsets[${row + 1}]`,
      `must not be below the one before it (${offsets[row]})`,
      offsets[row + 1],
    );
  }
  return (row) => indices.subarray(offsets[row], offsets[row + 1]);
}

function checkRowCount(name: string, count: number, rows: number): void {
  checkType(
    count === rows,
    name,
    `must have a row for each sequence, head and block of queries (${rows})`,
    count,
  );
}
