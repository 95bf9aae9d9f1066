/**
 * Finds blocks that already hold the start of a sequence.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { BlockPool } from "../block/block_pool.ts";
import type { BlockCopy } from "../block/table_types.ts";
import type { CacheMarks } from "../block/pool_types.ts";
import { type CursorHost, PrefixCursor } from "./prefix_cursor.ts";
import { chainHash, encodeDomain, type PrefixDomain } from "./prefix_hash.ts";
import { verifyPrefixIndex } from "./prefix_invariants.ts";
import { PrefixLookup } from "./prefix_lookup.ts";
import { StateLookup } from "./state_lookup.ts";
import { type Pin, PinBoard } from "./prefix_pins.ts";
import { type PrefixNode, PrefixTree } from "./prefix_tree.ts";
import type {
  PinOptions,
  PrefixEvent,
  PrefixIndexOptions,
  PrefixMatch,
  PrefixQuery,
  PrefixStats,
} from "./prefix_types.ts";
import { checkTokens } from "../../core/tokens.ts";
import { StatePool } from "../state/state_pool.ts";

/**
 * A prefix index over the blocks of a pool (Kwon et al. 2023, section 4.4, with
 * automatic caching as vLLM has it since): a chain of hashes over full blocks.
 *
 * A block that no one holds stays findable for as long as the pool does not
 * hand it out again, so caching costs no memory, and eviction is the pool's
 * order: the least recently freed first, and of one sequence the last block.
 * Of several free blocks with one content, one is kept.
 *
 * Tokens are compared on every hit, and so are their domain and everything
 * before them. The last token of a sequence is never matched, as its logits
 * must be computed.
 *
 * Over a `StatePool`, a slot holds the state at the end of a block: of all
 * tokens so far, and only where one was stored. A match is then the last such
 * slot alone, and a pin holds it.
 *
 * @example
 * ```ts
 * import { BlockPool, PrefixIndex } from "@quire/attention/cache";
 *
 * const pool = new BlockPool({ numBlocks: 8, blockSize: 2 });
 * const index = new PrefixIndex(pool);
 * const [first, second] = pool.allocate(2);
 * const cursor = index.cursor({ salt: "tenant" });
 * cursor.advance([5, 6], first);
 * cursor.advance([7, 8], second);
 * index.match([5, 6, 7, 8, 9], { salt: "tenant" }).length; // 4
 * index.match([5, 6, 7, 8], { salt: "tenant" }).length; // 3
 * index.match([5, 6, 7, 8, 9]).length; // 0
 * ```
 *
 * @category Cache
 */
export class PrefixIndex {
  readonly #pool: BlockPool;
  readonly #marks: CacheMarks;
  readonly #tree: PrefixTree;
  readonly #lookup: PrefixLookup;
  readonly #host: CursorHost;
  readonly #nodes: Map<number, PrefixNode> = new Map();
  readonly #pins: PinBoard;
  readonly #log: boolean;
  #events: PrefixEvent[] = [];
  #stats: { -readonly [K in keyof PrefixStats]: PrefixStats[K] } = {
    queries: 0,
    queriedTokens: 0,
    hitTokens: 0,
    resumes: 0,
    resumedTokens: 0,
    recoveredTokens: 0,
  };

  /**
   * Makes the index of a pool.
   *
   * @throws {TypeError} if `pool` is not a {@linkcode BlockPool} or has an index
   * already.
   */
  constructor(pool: BlockPool, options: PrefixIndexOptions = {}) {
    checkType(pool instanceof BlockPool, "pool", "must be a BlockPool", pool);
    const { hash = chainHash, clock = () => performance.now() } = options;
    checkType(typeof hash === "function", "hash", "must be a function", hash);
    checkType(
      typeof clock === "function",
      "clock",
      "must be a function",
      clock,
    );
    this.#pool = pool;
    this.#marks = pool.attachIndex(
      (id) => this.#forget(id),
      (id) => this.#keep(id),
    );
    this.#tree = new PrefixTree(hash);
    const Lookup = pool instanceof StatePool ? StateLookup : PrefixLookup;
    this.#lookup = new Lookup(this.#tree, pool.blockSize);
    this.#host = {
      tree: this.#tree,
      check: (tokens) => this.#checkBlock(tokens),
      store: (node, block) => this.#store(node, block),
      open: 0,
    };
    this.#pins = new PinBoard(pool, clock);
    this.#log = options.events ?? false;
  }

  /** The pool whose blocks are indexed. */
  get pool(): BlockPool {
    return this.#pool;
  }

  /** Blocks, in use or free, whose content is found. */
  get cachedBlocks(): number {
    return this.#nodes.size;
  }

  /** Counts since the index was made. */
  get stats(): PrefixStats {
    return { ...this.#stats };
  }

  /** The pins that hold blocks. */
  get pins(): readonly Pin[] {
    return this.#pins.pins;
  }

  /**
   * The longest cached start of `tokens`, which leaves out at least the last.
   * Changes nothing: hold the blocks by `BlockPool.allocate`.
   *
   * @throws {TypeError} if `tokens` are no array of numbers, or the salt or a
   * key is of a wrong type.
   * @throws {RangeError} if a token is not an integer in `0..2**32 - 1`.
   */
  match(tokens: readonly number[], domain: PrefixDomain = {}): PrefixMatch {
    return this.#lookup.match(tokens, domain);
  }

  /**
   * For each full block of `tokens` a block that holds it behind the same
   * prefix, or the null block, as far as anything is cached; of several the one
   * stored first.
   *
   * @throws as {@linkcode PrefixIndex.match} does.
   */
  walk(tokens: readonly number[], domain: PrefixDomain = {}): number[] {
    return this.#lookup.walk(tokens, domain);
  }

  /**
   * A cached block behind the first `depth` full blocks of `tokens` that starts
   * with the most of the tokens that follow, if any starts with one.
   *
   * @throws as {@linkcode PrefixIndex.match} does.
   */
  partial(
    tokens: readonly number[],
    depth: number,
    domain: PrefixDomain = {},
  ): Omit<BlockCopy, "destination"> {
    return this.#lookup.partial(tokens, depth, domain);
  }

  /**
   * Opens a cursor at the start of a sequence, through which its blocks are
   * stored. A cursor keeps what lies before it; close it with the sequence.
   *
   * @throws {TypeError} if the salt or a key is of a wrong type.
   */
  cursor(domain: PrefixDomain = {}): PrefixCursor {
    const root = this.#tree.ensureRoot(encodeDomain(domain));
    return new PrefixCursor(this.#host, root);
  }

  /**
   * Holds every full block of `tokens` that is cached from the start on, the
   * last token's included, so that none of them is evicted.
   *
   * @throws {TypeError} if `ttl` is not a number, or as `match` does.
   * @throws {RangeError} if `ttl` is not more than 0, or as `match` does.
   */
  pin(tokens: readonly number[], options: PinOptions = {}): Pin {
    const held = this.#lookup.held(tokens, options);
    return this.#pins.pin(held, options.ttl ?? Infinity);
  }

  /** Gives back a pin's holds; `false` if they are given back already. */
  unpin(pin: Pin): boolean {
    return this.#pins.unpin(pin);
  }

  /** Gives back the pins whose time is over; says how many those were. */
  expirePins(): number {
    return this.#pins.expire();
  }

  /**
   * Forgets what one block holds; other blocks with the same content, and
   * those behind it, stay. A free block is the next to be handed out.
   *
   * @returns Whether the block was cached.
   */
  evict(id: number): boolean {
    if (!this.#nodes.has(id)) return false;
    this.#marks.unmark(id);
    this.#forget(id);
    return true;
  }

  /**
   * Forgets every block.
   *
   * @throws {TypeError} if a block is in use, a pin's included, or a cursor is
   * open; nothing is forgotten then.
   */
  reset(): void {
    const { usedBlocks } = this.#pool;
    if (usedBlocks > 0 || this.#host.open > 0) {
      throw new TypeError(
        `Cannot reset the prefix index as ${usedBlocks} blocks are in use, ${this.#host.open} cursors open`,
      );
    }
    // The last first, so that the order of eviction stays.
    for (const id of this.#pool.freeOrder().toReversed()) {
      this.#marks.unmark(id);
    }
    this.#nodes.clear();
    this.#tree.clear();
    this.#note({ type: "cleared" });
  }

  /** Counts one look-up; those who only {@linkcode match} count nothing. */
  record({ tokens, hits, resumed = false }: PrefixQuery): void {
    const stats = this.#stats;
    if (resumed) {
      stats.resumes++;
      stats.resumedTokens += tokens;
      stats.recoveredTokens += hits;
    } else {
      stats.queries++;
      stats.queriedTokens += tokens;
      stats.hitTokens += hits;
    }
  }

  /** The changes since the last call, the oldest first. */
  takeEvents(): PrefixEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /**
   * Checks every invariant of the index, and its pool's.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#pool.verify();
    this.#tree.verify();
    verifyPrefixIndex({
      pool: this.#pool,
      nodes: this.#nodes,
      stored: this.#tree.nodes(),
      pins: this.#pins.pins,
    });
  }

  #checkBlock(tokens: readonly number[]): void {
    checkTokens(tokens);
    checkRange(
      tokens.length === this.#pool.blockSize,
      "tokens.length",
      `must be the block size, ${this.#pool.blockSize}`,
      tokens.length,
    );
  }

  #store(node: PrefixNode, block: number): void {
    checkInteger("block", block, 1, this.#pool.totalBlocks);
    const known = this.#nodes.get(block);
    checkRange(
      known === undefined || known === node,
      "block",
      "must not be cached for other tokens",
      block,
    );
    if (known) return;
    const [first] = node.blocks;
    this.#marks.mark(block);
    this.#nodes.set(block, node);
    this.#tree.hold(node, block);
    const { hash, parent } = node;
    const tokens = [...node.tokens];
    this.#note({ type: "stored", block, hash, parent: parent!.hash, tokens });
    // If one is free it is the only one, and this one takes its place.
    if (first !== undefined && this.#pool.refCount(first) === 0) {
      this.evict(first);
    }
  }

  /**
   * Says whether a block that was just freed is still found. It is not if
   * others have its content: copies of what is asked for most would displace
   * everything else, and finding one that is in use would take a search.
   */
  #keep(block: number): boolean {
    const alone = this.#nodes.get(block)!.blocks.size === 1;
    if (!alone) this.#forget(block);
    return alone;
  }

  #forget(block: number): void {
    const node = this.#nodes.get(block)!;
    this.#nodes.delete(block);
    this.#note({ type: "removed", block, hash: node.hash });
    this.#tree.drop(node, block);
  }

  #note(event: PrefixEvent): void {
    if (this.#log) this.#events.push(event);
  }
}
