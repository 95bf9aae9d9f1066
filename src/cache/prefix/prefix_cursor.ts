/**
 * A sequence's place in the prefix index, so that each new block costs the
 * hash of one block and not that of the whole sequence.
 *
 * @module
 */

import type { PrefixNode, PrefixTree } from "./prefix_tree.ts";

/** What a cursor asks of its index. */
export interface CursorHost {
  /** The index's prefixes. */
  readonly tree: PrefixTree;
  /** Checks one full block of tokens. */
  readonly check: (tokens: readonly number[]) => void;
  /** Notes that a block in use holds the content of a node. */
  readonly store: (node: PrefixNode, block: number) => void;
  /** Cursors that are open. */
  open: number;
}

/**
 * Stands behind a number of full blocks of one sequence.
 *
 * @example Two blocks, found again by their tokens
 * ```ts
 * import { BlockPool, PrefixIndex } from "@quire/attention/cache";
 * import { assertEquals } from "@std/assert";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 2 });
 * const index = new PrefixIndex(pool);
 * const [first, second] = pool.allocate(2);
 * const cursor = index.cursor();
 * cursor.advance([5, 6], first);
 * cursor.advance([7, 8], second);
 * assertEquals(cursor.blocks, 2);
 * assertEquals(index.match([5, 6, 7, 8, 9]).length, 4);
 * cursor.close();
 * ```
 *
 * @category Cache
 */
export class PrefixCursor {
  readonly #host: CursorHost;
  #node: PrefixNode;
  #blocks = 0;
  #closed = false;

  /** Opens a cursor; `PrefixIndex.cursor()` is the way to one. */
  constructor(host: CursorHost, node: PrefixNode) {
    this.#host = host;
    this.#node = node;
    node.cursors++;
    host.open++;
  }

  /** Full blocks that lie behind the cursor. */
  get blocks(): number {
    return this.#blocks;
  }

  /**
   * Goes over one more full block, and notes which block holds it.
   *
   * @param tokens The block's tokens, exactly as many as fit in a block.
   * @param block The block in use that holds them, or 0 for none.
   * @throws {TypeError} if the cursor is closed, or a token is not a number.
   * @throws {RangeError} if the tokens are not a block's, or `block` is unknown,
   * free, or cached for other tokens.
   */
  advance(tokens: readonly number[], block: number): void {
    this.#checkOpen();
    this.#host.check(tokens);
    const from = this.#node;
    const to = this.#host.tree.ensure(from, tokens);
    to.cursors++;
    try {
      if (block !== 0) this.#host.store(to, block);
    } catch (error) {
      to.cursors--;
      this.#host.tree.prune(to);
      throw error;
    }
    from.cursors--;
    this.#node = to;
    this.#blocks++;
  }

  /**
   * Opens another cursor at the same place.
   *
   * @throws {TypeError} if the cursor is closed.
   */
  fork(): PrefixCursor {
    this.#checkOpen();
    const fork = new PrefixCursor(this.#host, this.#node);
    fork.#blocks = this.#blocks;
    return fork;
  }

  /**
   * Ends the cursor; what it stored stays.
   *
   * @throws {TypeError} if it is closed already.
   */
  close(): void {
    this.#checkOpen();
    this.#closed = true;
    this.#host.open--;
    this.#node.cursors--;
    this.#host.tree.prune(this.#node);
  }

  #checkOpen(): void {
    if (this.#closed) {
      throw new TypeError("Cannot use the prefix cursor as it is closed");
    }
  }
}
