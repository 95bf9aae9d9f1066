/**
 * What must hold in a prefix index at any time, as checks over its plain state.
 *
 * @module
 */

import { invariant } from "../../core/invariant.ts";

/** As much of a prefix as is checked. */
interface Stored {
  readonly blocks: ReadonlySet<number>;
}

/** The state of a prefix index. */
export interface PrefixState {
  /** The pool, as far as it is asked. */
  readonly pool: {
    /** Blocks besides the null block. */
    readonly totalBlocks: number;
    /** Whether a block is marked. */
    isCached(id: number): boolean;
    /** Holders of a block. */
    refCount(id: number): number;
  };
  /** The prefix that each cached block ends. */
  readonly nodes: ReadonlyMap<number, Stored>;
  /** Every prefix. */
  readonly stored: Iterable<Stored>;
  /** The pins that hold blocks. */
  readonly pins: Iterable<{ readonly blocks: readonly number[] }>;
}

/**
 * Checks that blocks and prefixes name each other, that the pool marks exactly
 * these blocks; that no free one has a double; and that pinned blocks are held
 * as often as they are pinned.
 *
 * @throws {Error} naming the violated invariant.
 */
export function verifyPrefixIndex(state: PrefixState): void {
  const { pool, nodes, stored, pins } = state;
  let listed = 0;
  for (const node of stored) {
    listed += node.blocks.size;
    for (const id of node.blocks) {
      invariant(
        nodes.get(id) === node,
        "a cached block belongs to one prefix",
        `block ${id}`,
      );
      invariant(
        node.blocks.size === 1 || pool.refCount(id) > 0,
        "of blocks with one content, a free one is alone",
        `block ${id} is free, one of ${node.blocks.size}`,
      );
    }
  }
  invariant(
    listed === nodes.size,
    "every cached block is listed by its prefix",
    `${listed} listed, ${nodes.size} cached`,
  );
  for (let id = 0; id <= pool.totalBlocks; id++) {
    invariant(
      pool.isCached(id) === nodes.has(id),
      "the pool marks exactly the cached blocks",
      `block ${id}`,
    );
  }
  const pinned = new Map<number, number>();
  for (const { blocks } of pins) {
    for (const id of blocks) pinned.set(id, (pinned.get(id) ?? 0) + 1);
  }
  for (const [id, count] of pinned) {
    invariant(
      pool.refCount(id) >= count,
      "pinned blocks are held",
      `block ${id} has ${pool.refCount(id)} holders, ${count} pins`,
    );
  }
}
