/**
 * Whether a block pool can do what is asked of it, before it does any of it.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import type { OutOfBlocksError } from "../../core/errors.ts";
import type { AllocateOptions } from "./pool_types.ts";

/** As much of a pool as is asked. */
export interface PoolRoom {
  /** Blocks besides the null block. */
  readonly totalBlocks: number;
  /** Those that no one holds. */
  readonly freeBlocks: number;
  /** Those of them that are cached. */
  readonly evictableBlocks: number;
  /** Holders of each block. */
  readonly references: Uint32Array;
  /** 1 for each block that is cached. */
  readonly cached: Uint8Array;
  /** The error where there are too few. */
  readonly shortage: (counts: RoomCounts) => OutOfBlocksError;
}

/** What was asked for, and what there was. */
export interface RoomCounts {
  /** Blocks that were asked for. */
  readonly needed: number;
  /** Free ones that hold nothing. */
  readonly free: number;
  /** Free ones whose content an index finds. */
  readonly evictable: number;
}

/**
 * Throws unless the holds can be given back, the others taken, and `count`
 * blocks are free then.
 *
 * @throws {TypeError} if an id is not a number.
 * @throws {RangeError} if a block to release has fewer holders than it is to
 * lose, or one to reuse is null or unknown.
 * @throws {OutOfBlocksError} if fewer are free.
 */
export function checkRoom(
  room: PoolRoom,
  count: number,
  { reuse, release }: Required<AllocateOptions>,
): void {
  const { totalBlocks, references, cached } = room;
  const lost = new Map<number, number>();
  let evictable = room.evictableBlocks;
  let free = room.freeBlocks - evictable;
  const move = (id: number, blocks: number) => {
    if (cached[id] === 1) evictable += blocks;
    else free += blocks;
  };
  for (const id of release) {
    checkInteger("id", id, 1, totalBlocks);
    checkRange(references[id] > 0, "id", "must be a block in use", id);
    const holds = (lost.get(id) ?? 0) + 1;
    checkRange(
      holds <= references[id],
      "release",
      "must not give back more holds than there are on block",
      id,
    );
    lost.set(id, holds);
    if (holds === references[id]) move(id, 1);
  }
  for (const id of new Set(reuse)) {
    checkInteger("reuse", id, 1, totalBlocks);
    if (references[id] === (lost.get(id) ?? 0)) move(id, -1);
  }
  if (count > free + evictable) {
    throw room.shortage({ needed: count, free, evictable });
  }
}
