/**
 * Every prefix that is cached, as a tree of blocks found by their chain hash.
 *
 * @module
 */

import { invariant } from "./invariants.ts";
import { type ChainHash, DOMAIN_PARENT } from "./prefix_hash.ts";

/** The content of one full block behind one prefix, and where it lies. */
export interface PrefixNode {
  /** The chain hash of the prefix that ends with this block. */
  readonly hash: number;
  /** The block before; none for a domain's root, which holds no tokens. */
  readonly parent: PrefixNode | undefined;
  /** The tokens of the block; of a root, the codes of its domain. */
  readonly tokens: readonly number[];
  /** Blocks that follow, by their first token. */
  readonly children: Map<number, PrefixNode[]>;
  /** The blocks that hold this content, the first stored first. */
  readonly blocks: number[];
  /** Cursors that stand on this node and keep it alive. */
  cursors: number;
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function discard<T>(items: T[], item: T): void {
  items.splice(items.indexOf(item), 1);
}

/**
 * Nodes live while a block holds their content, a child follows or a cursor
 * stands on them: a prefix whose first block was evicted is found again once
 * that block is computed anew.
 *
 * A node is found by hash, and taken only if its tokens and its parent are the
 * very ones asked for; so a collision costs a comparison, and nothing else.
 */
export class PrefixTree {
  readonly #hash: ChainHash;
  readonly #buckets: Map<number, PrefixNode[]> = new Map();

  /** Makes an empty tree. */
  constructor(hash: ChainHash) {
    this.#hash = hash;
  }

  /** The root of an encoded domain, if anything is in it. */
  findRoot(domain: string): PrefixNode | undefined {
    return this.#find(undefined, codes(domain));
  }

  /** The root of an encoded domain. */
  ensureRoot(domain: string): PrefixNode {
    return this.#ensure(undefined, codes(domain));
  }

  /** The node of `tokens` behind `parent`, if there is one. */
  find(parent: PrefixNode, tokens: readonly number[]): PrefixNode | undefined {
    return this.#find(parent, tokens);
  }

  /** The node of `tokens` behind `parent`. */
  ensure(parent: PrefixNode, tokens: readonly number[]): PrefixNode {
    return this.#ensure(parent, tokens);
  }

  /** Removes a node that nothing keeps alive, and so its ancestors. */
  prune(node: PrefixNode): void {
    let dead: PrefixNode | undefined = node;
    while (dead && !isAlive(dead)) {
      const bucket = this.#buckets.get(dead.hash)!;
      discard(bucket, dead);
      if (bucket.length === 0) this.#buckets.delete(dead.hash);
      const { parent } = dead as PrefixNode;
      if (parent) {
        const siblings = parent.children.get(dead.tokens[0])!;
        discard(siblings, dead);
        if (siblings.length === 0) parent.children.delete(dead.tokens[0]);
      }
      dead = parent;
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#buckets.clear();
  }

  /** Every node, roots included, in no particular order. */
  *nodes(): IterableIterator<PrefixNode> {
    for (const bucket of this.#buckets.values()) yield* bucket;
  }

  /**
   * Checks that every node is alive, is found, and is linked to its parent.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    for (const node of this.nodes()) {
      const { parent, tokens } = node;
      const siblings = parent?.children.get(tokens[0]);
      invariant(isAlive(node), "every prefix is kept for a reason", "a node");
      invariant(
        this.#find(parent, tokens) === node,
        "every prefix is found by its tokens",
        `hash ${node.hash}`,
      );
      invariant(
        !parent || siblings?.includes(node) === true,
        "every prefix is among its parent's children",
        `hash ${node.hash}`,
      );
      for (const child of [...node.children.values()].flat()) {
        invariant(
          this.#find(node, child.tokens) === child,
          "every child is found",
          `hash ${child.hash}`,
        );
      }
    }
  }

  #find(
    parent: PrefixNode | undefined,
    tokens: readonly number[],
  ): PrefixNode | undefined {
    const hash = this.#hash(parent?.hash ?? DOMAIN_PARENT, tokens);
    return this.#buckets.get(hash)?.find((node) =>
      node.parent === parent && equal(node.tokens, tokens)
    );
  }

  #ensure(
    parent: PrefixNode | undefined,
    tokens: readonly number[],
  ): PrefixNode {
    const found = this.#find(parent, tokens);
    if (found) return found;
    const node: PrefixNode = {
      hash: this.#hash(parent?.hash ?? DOMAIN_PARENT, tokens),
      parent,
      tokens: [...tokens],
      children: new Map(),
      blocks: [],
      cursors: 0,
    };
    push(this.#buckets, node.hash, node);
    if (parent) push(parent.children, tokens[0], node);
    return node;
  }
}

function isAlive(node: PrefixNode): boolean {
  return node.blocks.length > 0 || node.children.size > 0 || node.cursors > 0;
}

function codes(text: string): number[] {
  // Not by iterating: that goes over code points, two codes at a time.
  return Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}

function push<T>(lists: Map<number, T[]>, key: number, item: T): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}
