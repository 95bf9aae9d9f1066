/**
 * Looks the start of a sequence up among the prefixes whose state is cached.
 *
 * @module
 */

import { checkTokens } from "../../core/tokens.ts";
import { NULL_BLOCK } from "../block/block_pool.ts";
import type { BlockCopy } from "../block/table_types.ts";
import type { PrefixDomain } from "./prefix_hash.ts";
import { PrefixLookup } from "./prefix_lookup.ts";
import type { PrefixTree } from "./prefix_tree.ts";
import type { PrefixMatch } from "./prefix_types.ts";

/** Reads a tree in which a block stands for everything up to its end. */
export class StateLookup extends PrefixLookup {
  readonly #blockSize: number;

  /** Makes a reader of a tree whose nodes have so many tokens. */
  constructor(tree: PrefixTree, blockSize: number) {
    super(tree, blockSize);
    this.#blockSize = blockSize;
  }

  /** As `PrefixIndex.match()`. */
  override match(
    tokens: readonly number[],
    domain: PrefixDomain,
  ): PrefixMatch {
    checkTokens(tokens);
    const start = tokens.slice(0, -1);
    const partial = this.partial();
    return { ...this.held(start, domain), partial };
  }

  /** What a pin of `tokens` holds: the last state of them. */
  override held(
    tokens: readonly number[],
    domain: PrefixDomain,
  ): Pick<PrefixMatch, "blocks" | "length"> {
    const walk = this.walk(tokens, domain);
    const last = walk.findLastIndex((slot) => slot !== NULL_BLOCK);
    return {
      blocks: walk.slice(last, last + 1),
      length: (last + 1) * this.#blockSize,
    };
  }

  /** As `PrefixIndex.partial()`: part of a block has no state. */
  override partial(): Omit<BlockCopy, "destination"> {
    return { source: NULL_BLOCK, rows: 0 };
  }
}
