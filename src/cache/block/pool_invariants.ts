/**
 * What must hold in a block pool at any time, as checks over its plain state.
 * They live apart from the classes so that a test can hand them broken state.
 *
 * @module
 */

import { invariant } from "../../core/invariant.ts";

/** A ring of links through entry 0; ids that are not on it have `next` -1. */
export interface FreeLinks {
  /** The following id of each id; entry 0 leads to the front. */
  readonly next: Int32Array;
  /** The preceding id of each id; entry 0 leads to the back. */
  readonly previous: Int32Array;
  /** How many ids the ring is said to hold. */
  readonly length: number;
}

/** The whole state of a block pool. */
export interface PoolState {
  /** The free blocks. */
  readonly links: FreeLinks;
  /** Holders of each block; entry 0 is the null block. */
  readonly references: Uint32Array;
  /** Blocks that are said to be in use. */
  readonly usedBlocks: number;
  /** The most blocks that were ever in use at once. */
  readonly peakUsedBlocks: number;
  /** 1 for each block whose content an index finds; none by default. */
  readonly cached?: Uint8Array;
  /** Free blocks that are said to be cached; 0 by default. */
  readonly evictableBlocks?: number;
}

/** The mark in `next` and `previous` of an id that is not on the list. */
export const ABSENT = -1;

/**
 * Checks that the links form one ring through entry 0 that visits exactly the
 * ids that are marked as present, each once, in both directions.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyFreeLinks(links: FreeLinks): void {
  const { next, previous, length } = links;
  const capacity = next.length - 1;
  let visited = 0;
  let id = 0;
  // Agreeing links lead to no id twice, so the walk must come back to 0.
  do {
    const following = next[id];
    invariant(
      following >= 0 && following <= capacity,
      "free list links stay on the list",
      `next of ${id} is ${following}`,
    );
    invariant(
      previous[following] === id,
      "free list links agree in both directions",
      `next of ${id} is ${following}, whose previous is ${previous[following]}`,
    );
    id = following;
    visited += id === 0 ? 0 : 1;
  } while (id !== 0);
  invariant(
    visited === length,
    "the free list's length is the number of its ids",
    `length ${length}, ${visited} ids`,
  );
  let present = 0;
  for (let i = 1; i <= capacity; i++) {
    invariant(
      (next[i] === ABSENT) === (previous[i] === ABSENT),
      "an id is either on the free list or not",
      `id ${i} has next ${next[i]}, previous ${previous[i]}`,
    );
    if (next[i] !== ABSENT) present++;
  }
  invariant(
    present === visited,
    "every id marked as free is on the free list",
    `${present} marked, ${visited} on it`,
  );
}

/**
 * Checks everything that a pool promises: the free list is sound; a block has
 * no holder exactly when it is free; free + used = total; the null block is
 * untouched; the peak is not below the present use.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyPool(state: PoolState): void {
  const { links, references, usedBlocks, peakUsedBlocks } = state;
  const total = references.length - 1;
  invariant(
    references[0] === 0,
    "the null block has no holder",
    `${references[0]} holders`,
  );
  verifyFreeLinks(links);
  invariant(
    links.next.length - 1 === total,
    "the free list covers every block",
    `${links.next.length - 1} ids, ${total} blocks`,
  );
  let held = 0;
  for (let id = 1; id <= total; id++) {
    const free = links.next[id] !== ABSENT;
    invariant(
      free === (references[id] === 0),
      "a block is free exactly when it has no holder",
      `block ${id} is ${free ? "free" : "not free"} with ${
        references[id]
      } holders`,
    );
    if (!free) held++;
  }
  invariant(
    usedBlocks === held && links.length + usedBlocks === total,
    "free + used = total",
    `${links.length} free, ${usedBlocks} used, ${held} held, ${total} in all`,
  );
  invariant(
    peakUsedBlocks >= usedBlocks && peakUsedBlocks <= total,
    "used <= peak <= total",
    `${usedBlocks} used, peak ${peakUsedBlocks}, ${total} in all`,
  );
  verifyCached(state);
}

/** Walks sound links from the front. */
function* walk({ next }: FreeLinks): Iterable<number> {
  for (let id = next[0]; id !== 0; id = next[id]) yield id;
}

function verifyCached(state: PoolState): void {
  const { links, cached = new Uint8Array(1), evictableBlocks = 0 } = state;
  invariant(cached[0] !== 1, "the null block is not cached", "it is marked");
  let evictable = 0;
  for (const id of walk(links)) {
    const isCached = cached[id] === 1;
    invariant(
      isCached || evictable === 0,
      "free blocks that hold nothing come before cached ones",
      `block ${id} comes after ${evictable} cached`,
    );
    evictable += isCached ? 1 : 0;
  }
  invariant(
    evictable === evictableBlocks,
    "evictable blocks are the free ones that are cached",
    `${evictable} counted, ${evictableBlocks} said`,
  );
}
