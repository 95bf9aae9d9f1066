/**
 * `blockMask`, held against a problem.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import { isBlockMask } from "../../../mods/block_mask/made.ts";
import type { BlockMask, MaskMod } from "../../../mods/mod.ts";
import type { DeviceBlockMask } from "../../block_mask/device_block_mask.ts";
import { isMadeOnDevice } from "../../block_mask/made.ts";
import type { SequenceShape } from "../problem.ts";
import { type MaskExtents, positionsRule } from "./capture_sizes.ts";

/** Whether something is a block mask on the device. */
export function isDeviceBlockMask(value: unknown): value is DeviceBlockMask {
  return isMadeOnDevice(value);
}

/**
 * The mods of a block mask; none where there is none.
 *
 * @throws {TypeError} If it is no block mask, or covers another problem.
 * @throws {RangeError} If its rows go by positions, and queries have others.
 */
export function blockMaskMods(
  mask: BlockMask | DeviceBlockMask | undefined,
  extents: MaskExtents,
): MaskMod[] {
  if (mask === undefined) return [];
  if (isDeviceBlockMask(mask)) {
    // Its blocks are not known here: no mod, but a selection.
    checkBlockGrid(mask.grid, extents);
    return [];
  }
  checkType(
    isBlockMask(mask),
    "blockMask",
    "must be a BlockMask, made by blockMask(), blockMaskFromPattern(), blockMaskFromLists() or, on the device, blockMaskFromScores()",
    mask,
  );
  checkBlockGrid(mask.grid, extents);
  return [mask.maskMod(extents.heads)];
}

/** Throws unless a grid covers a problem; errors call its mask `name`. */
export function checkBlockGrid(
  grid: BlockMask["grid"],
  extents: MaskExtents,
  name = "blockMask",
): void {
  const { sequences, heads } = extents;
  checkType(
    heads % grid.heads === 0,
    `${name} heads`,
    `must be 1, or a divisor of the query heads (${heads})`,
    grid.heads,
  );
  checkType(
    grid.batch === 1 || grid.batch === sequences.length,
    `${name} batch`,
    `must be 1, or the number of sequences (${sequences.length})`,
    grid.batch,
  );
  const { queries, keys } = spanOf(extents);
  if (queries * keys.written === 0) return;
  const ragged = keys.room === undefined;
  checkType(
    ragged
      ? grid.keys >= keys.written
      : grid.keys === keys.room || grid.keys === keys.written,
    `${name} keys`,
    `must be ${ragged ? ">= " : ""}those of attention() (${
      keys.room ?? keys.written
    })`,
    grid.keys,
  );
  if (grid.rowsBy !== "position") {
    checkType(
      ragged ? grid.queries >= queries : grid.queries === queries,
      `${name} queries`,
      `must be ${ragged ? ">= " : ""}those of attention() (${queries})`,
      grid.queries,
    );
  }
  if (grid.rowsBy === "query") return;
  const positions = positionsRule(grid.queryOffset, grid.queries, extents);
  checkRange(
    positions === undefined,
    name,
    positions ?? "",
    [grid.queryOffset, grid.queryOffset + grid.queries],
  );
  if (grid.rowsBy === "position") return;
  sequences.forEach(({ queryOffset, queryCount }, i) =>
    checkRange(
      queryCount === 0 || queryOffset === grid.queryOffset,
      `${name} queryOffset`,
      `must be that of sequence ${i} (${queryOffset}), as its parts go by rows and by positions`,
      grid.queryOffset,
    )
  );
}

/** Queries and keys of the longest sequence, and the keys there is room for. */
function spanOf({ sequences, keys: room }: MaskExtents): {
  readonly queries: number;
  readonly keys: {
    readonly room: number | undefined;
    readonly written: number;
  };
} {
  const most = (of: (sequence: SequenceShape) => number) =>
    sequences.reduce((largest, one) => Math.max(largest, of(one)), 0);
  return {
    queries: most(({ queryCount }) => queryCount),
    keys: { room, written: most(({ keyCount }) => keyCount) },
  };
}
