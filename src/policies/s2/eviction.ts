/**
 * Which blocks of a cache a head never looks at again.
 *
 * @module
 */

import { type BlockTable, NULL_BLOCK } from "../../cache/mod.ts";
import { checkInteger, checkRange } from "../../core/check.ts";
import type { HeadShifts } from "./heads.ts";
import { keepsBlock } from "./kept.ts";
import type { S2Pattern } from "./options.ts";

/**
 * The places in a head's table of full, written blocks that no row from a
 * position on sees. Only of a KV-efficient pattern: there what the row at that
 * position does not see behind it, no later one does.
 *
 * @throws {RangeError} if a block that rows still see is gone already
 */
export function unseenBlocks(
  pattern: S2Pattern,
  shifts: HeadShifts,
  { table, kvHead, from }: {
    readonly table: BlockTable;
    readonly kvHead: number;
    readonly from: number;
  },
): number[] {
  const { blockSize } = table.pool;
  checkInteger("from", from, 0, table.committed);
  const row = Math.floor(from / pattern.block);
  const unseen: number[] = [];
  table.blocks.slice(0, Math.floor(table.committed / blockSize)).forEach(
    (id, i) => {
      const first = Math.floor(i * blockSize / pattern.block);
      const last = Math.floor(((i + 1) * blockSize - 1) / pattern.block);
      let seen = false;
      for (let column = first; column <= last && !seen; column++) {
        // A row that is yet to come has its own block, or one of those before.
        seen = column > row ||
          keepsBlock(pattern, shifts, { kvHead, row, column });
      }
      checkRange(
        !seen || id !== NULL_BLOCK,
        `tables[${kvHead}]`,
        `must have all blocks that rows from ${from} on see, and was evicted by another pattern or for later rows: it lacks`,
        i,
      );
      if (!seen && id !== NULL_BLOCK) unseen.push(i);
    },
  );
  return unseen;
}
