/**
 * What a cache's step is made from: tokens to reserve, or slots that somebody
 * else has reserved.
 *
 * @module
 */

import type { BlockTable } from "../cache/block/block_table.ts";
import type { BlockCopy, Reservation } from "../cache/block/table_types.ts";
import type { ContiguousSequence } from "../cache/extent/contiguous_sequence.ts";
import type { GroupCopy } from "../cache/manager/group_match.ts";
import { checkInteger, checkType } from "../core/check.ts";

/**
 * How many tokens are to be added to a sequence.
 *
 * @category Cache
 */
export interface ReserveRequest {
  /** A sequence of the cache. */
  readonly sequence: BlockTable | ContiguousSequence;
  /** Tokens. */
  readonly count: number;
}

/**
 * What somebody else has reserved: a sequence's own `reserve`, a `CacheManager`
 * or a scheduler, which has slots and copies for each layer group and carries
 * out the copies of its steps apart.
 *
 * @category Cache
 */
export interface GivenReservation {
  /** The slot of each token; where there are layer groups, for each of them. */
  readonly slots: Uint32Array | readonly Uint32Array[];
  /** What is to be copied before anything is written; nothing by default. */
  readonly copies?: readonly (BlockCopy | GroupCopy)[];
}

/**
 * Throws unless tokens can be asked for in this way.
 *
 * @param isOwn Whether something is a sequence of the cache.
 * @returns Tokens in all.
 * @throws {TypeError} if a sequence is not one of the cache or comes twice, or
 * a count is not a number
 * @throws {RangeError} if a count is not an integer >= 0
 */
export function checkRequests(
  requests: readonly ReserveRequest[],
  isOwn: (sequence: unknown) => boolean,
): number {
  checkType(Array.isArray(requests), "requests", "must be an array", requests);
  const seen = new Set<unknown>();
  return requests.reduce((sum, request, i) => {
    const { sequence, count } = request ?? {};
    const name = `requests[${i}]`;
    checkType(
      isOwn(sequence),
      `${name}.sequence`,
      "must be a sequence of the cache",
      sequence,
    );
    checkType(
      !seen.has(sequence),
      `${name}.sequence`,
      "must not come twice",
      sequence,
    );
    seen.add(sequence);
    checkInteger(`${name}.count`, count, 0);
    return sum + count;
  }, 0);
}

/**
 * What is reserved in one layer group.
 *
 * @throws {TypeError} if it is no reservation
 * @throws {RangeError} if there is no such group
 */
export function reservationsOf(
  given: readonly GivenReservation[],
  group: number,
): Reservation[] {
  checkType(Array.isArray(given), "reservations", "must be an array", given);
  checkInteger("group", group, 0);
  return given.map((reservation, i) => {
    const { slots, copies = [] } = reservation ?? {};
    const name = `reservations[${i}]`;
    if (Array.isArray(slots)) {
      checkInteger("group", group, 0, slots.length - 1);
    }
    const own = slots instanceof Uint32Array ? slots : slots?.[group];
    checkType(
      own instanceof Uint32Array,
      `${name}.slots`,
      "must be a Uint32Array, or one for each layer group",
      slots,
    );
    checkType(
      Array.isArray(copies),
      `${name}.copies`,
      "must be an array",
      copies,
    );
    return {
      slots: own,
      copies: copies.filter((copy) =>
        !("group" in copy) || copy.group === group
      ),
    };
  });
}
