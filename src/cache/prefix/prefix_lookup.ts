/**
 * Looks the start of a sequence up among the cached prefixes.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { NULL_BLOCK } from "../block/block_pool.ts";
import type { BlockCopy } from "../block/table_types.ts";
import { encodeDomain, type PrefixDomain } from "./prefix_hash.ts";
import { closestSibling } from "./prefix_siblings.ts";
import type { PrefixNode, PrefixTree } from "./prefix_tree.ts";
import type { PrefixMatch } from "./prefix_types.ts";
import { checkTokens } from "../../core/tokens.ts";

/** Reads a tree of prefixes; `PrefixIndex` has the same calls. */
export class PrefixLookup {
  readonly #tree: PrefixTree;
  readonly #blockSize: number;

  /** Makes a reader of a tree whose nodes have so many tokens. */
  constructor(tree: PrefixTree, blockSize: number) {
    this.#tree = tree;
    this.#blockSize = blockSize;
  }

  /** As `PrefixIndex.match()`. */
  match(tokens: readonly number[], domain: PrefixDomain): PrefixMatch {
    const walk = this.walk(tokens, domain);
    const limit = Math.max(0, tokens.length - 1);
    const missing = walk.indexOf(NULL_BLOCK);
    const full = Math.min(
      missing < 0 ? walk.length : missing,
      Math.floor(limit / this.#blockSize),
    );
    const partial = this.partial(tokens.slice(0, limit), full, domain);
    return {
      blocks: walk.slice(0, full),
      partial,
      length: full * this.#blockSize + partial.rows,
    };
  }

  /** What a pin of `tokens` holds, and for how many of them. */
  held(
    tokens: readonly number[],
    domain: PrefixDomain,
  ): Pick<PrefixMatch, "blocks" | "length"> {
    const walk = this.walk(tokens, domain);
    const missing = walk.indexOf(NULL_BLOCK);
    const blocks = missing < 0 ? walk : walk.slice(0, missing);
    return { blocks, length: blocks.length * this.#blockSize };
  }

  /** As `PrefixIndex.walk()`. */
  walk(tokens: readonly number[], domain: PrefixDomain): number[] {
    checkTokens(tokens);
    return this.#path(tokens, domain).slice(1).map(firstBlock);
  }

  /** As `PrefixIndex.partial()`. */
  partial(
    tokens: readonly number[],
    depth: number,
    domain: PrefixDomain,
  ): Omit<BlockCopy, "destination"> {
    checkTokens(tokens);
    checkInteger("depth", depth, 0);
    const start = depth * this.#blockSize;
    const node = this.#path(tokens.slice(0, start), domain)[depth];
    const closest = node && closestSibling(node.stored, tokens, start);
    return closest === undefined
      ? { source: NULL_BLOCK, rows: 0 }
      : { source: firstBlock(closest.content), rows: closest.rows };
  }

  /** The domain's root and the nodes behind it, as far as they are known. */
  #path(tokens: readonly number[], domain: PrefixDomain): PrefixNode[] {
    const path: PrefixNode[] = [];
    let node = this.#tree.findRoot(encodeDomain(domain));
    for (let end = this.#blockSize; node; end += this.#blockSize) {
      path.push(node);
      if (end > tokens.length) break;
      node = this.#tree.find(node, tokens.slice(end - this.#blockSize, end));
    }
    return path;
  }
}

function firstBlock({ blocks }: PrefixNode): number {
  for (const block of blocks) return block;
  return NULL_BLOCK;
}
