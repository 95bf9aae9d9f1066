/**
 * Reservations in several block tables: in all of them or in none.
 *
 * @module
 */

import type { BlockTable } from "./block_table.ts";
import type { Reservation } from "./table_types.ts";

/** How many tokens are to be added to a table. */
export interface TableRequest {
  /** The table. */
  readonly table: BlockTable;
  /** Tokens. */
  readonly count: number;
}

/**
 * Blocks that each of several reservations takes where they are made one after
 * the other. Of those who share a block, the last one to reserve in it needs no
 * copy, as the others have left it by then.
 *
 * @param requests Tables of one pool, each at most once.
 * @param release Holds that are given back before.
 */
export function blocksForEach(
  requests: readonly TableRequest[],
  release: readonly number[] = [],
): number[] {
  const gone = new Map<number, number>();
  const lose = (id: number) => gone.set(id, (gone.get(id) ?? 0) + 1);
  release.forEach(lose);
  return requests.map(({ table, count }) => {
    const { length, capacity, pool } = table;
    const { blockSize } = pool;
    const begun = Math.max(
      0,
      Math.ceil((count - (capacity - length)) / blockSize),
    );
    if (count === 0 || length % blockSize === 0) return begun;
    const tail = table.blockAt(length);
    const holders = pool.refCount(tail) - (gone.get(tail) ?? 0);
    if (holders === 1 && !pool.isCached(tail)) return begun;
    lose(tail);
    return begun + 1;
  });
}

/**
 * Gives tokens of several tables their slots.
 *
 * @param requests Tables of one pool, each at most once.
 * @throws {TypeError} if a count is not a number, or a table is freed.
 * @throws {RangeError} if a count is not an integer >= 0.
 * @throws {OutOfBlocksError} if all tables together need more blocks than are
 * free; nothing is reserved then.
 */
export function reserveAll(
  requests: readonly TableRequest[],
): Reservation[] {
  if (requests.length === 0) return [];
  // Checks the counts too, before anything is allocated.
  for (const { table, count } of requests) table.blocksNeeded(count);
  const needs = blocksForEach(requests);
  const needed = needs.reduce((sum, n) => sum + n, 0);
  const fresh = requests[0].table.pool.allocate(needed);
  let taken = 0;
  return requests.map(({ table, count }, i) => {
    const blocks = fresh.slice(taken, taken += needs[i]);
    return table.reserve(count, { blocks });
  });
}
