/**
 * Every prefix that is cached, as a tree of blocks found by their chain hash.
 *
 * @module
 */

import { invariant } from "../../core/invariant.ts";
import { type ChainHash, DOMAIN_PARENT } from "./prefix_hash.ts";
import {
  addSibling,
  closestSibling,
  removeSibling,
} from "./prefix_siblings.ts";

/** The content of one full block behind one prefix, and where it lies. */
export interface PrefixNode {
  /** The chain hash of the prefix that ends with this block. */
  readonly hash: number;
  /** The block before; none for a domain's root, which holds no tokens. */
  readonly parent: PrefixNode | undefined;
  /** The tokens of the block; of a root, the codes of its domain. */
  readonly tokens: readonly number[];
  /** How many nodes follow. */
  children: number;
  /** Those of them that a block holds, in the order of their tokens. */
  readonly stored: PrefixNode[];
  /** The blocks that hold this content, the first stored first. */
  readonly blocks: Set<number>;
  /** Cursors that stand on this node and keep it alive. */
  cursors: number;
}

function equal(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
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

  /** Notes that a block holds a node's content. */
  hold(node: PrefixNode, block: number): void {
    if (node.blocks.size === 0) addSibling(node.parent!.stored, node);
    node.blocks.add(block);
  }

  /** Notes that a block does so no longer. */
  drop(node: PrefixNode, block: number): void {
    node.blocks.delete(block);
    if (node.blocks.size > 0) return;
    removeSibling(node.parent!.stored, node);
    this.prune(node);
  }

  /** Removes a node that nothing keeps alive, and so its ancestors. */
  prune(node: PrefixNode): void {
    let dead: PrefixNode | undefined = node;
    while (dead && !isAlive(dead)) {
      const bucket = this.#buckets.get(dead.hash)!;
      bucket.splice(bucket.indexOf(dead), 1);
      if (bucket.length === 0) this.#buckets.delete(dead.hash);
      const { parent } = dead as PrefixNode;
      if (parent) parent.children--;
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
   * Checks that every node is alive, is found, and is known to its parent.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    const children = new Map<PrefixNode, number>();
    const stored = new Map<PrefixNode, number>();
    const count = (counts: Map<PrefixNode, number>, node: PrefixNode) =>
      counts.set(node, (counts.get(node) ?? 0) + 1);
    for (const node of this.nodes()) {
      const { parent, tokens, blocks } = node;
      invariant(isAlive(node), "every prefix is kept for a reason", "a node");
      invariant(
        this.#find(parent, tokens) === node,
        "every prefix is found by its tokens",
        `hash ${node.hash}`,
      );
      if (!parent) continue;
      count(children, parent);
      if (blocks.size === 0) continue;
      count(stored, parent);
      invariant(
        closestSibling(parent.stored, tokens, 0)?.content === node,
        "every stored prefix is found among its siblings",
        `hash ${node.hash}`,
      );
    }
    for (const node of this.nodes()) {
      invariant(
        node.children === (children.get(node) ?? 0) &&
          node.stored.length === (stored.get(node) ?? 0),
        "every prefix knows what follows it",
        `hash ${node.hash}`,
      );
    }
  }

  #find(
    parent: PrefixNode | undefined,
    tokens: readonly number[],
    hash = this.#hash(parent?.hash ?? DOMAIN_PARENT, tokens),
  ): PrefixNode | undefined {
    return this.#buckets.get(hash)?.find((node) =>
      node.parent === parent && equal(node.tokens, tokens)
    );
  }

  #ensure(
    parent: PrefixNode | undefined,
    tokens: readonly number[],
  ): PrefixNode {
    const hash = this.#hash(parent?.hash ?? DOMAIN_PARENT, tokens);
    const found = this.#find(parent, tokens, hash);
    if (found) return found;
    const node: PrefixNode = {
      hash,
      parent,
      tokens: [...tokens],
      children: 0,
      stored: [],
      blocks: new Set(),
      cursors: 0,
    };
    const bucket = this.#buckets.get(hash);
    if (bucket) bucket.push(node);
    else this.#buckets.set(hash, [node]);
    if (parent) parent.children++;
    return node;
  }
}

function isAlive(node: PrefixNode): boolean {
  return node.blocks.size > 0 || node.children > 0 || node.cursors > 0;
}

function codes(text: string): number[] {
  // Not by iterating: that goes over code points, two codes at a time.
  return Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
}
