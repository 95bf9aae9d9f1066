/**
 * Contexts beside a paged cache: found again by their tokens, and dropped with
 * the blocks that hold their keys.
 *
 * @module
 */

import type { PrefixDomain, PrefixEvent } from "../../cache/mod.ts";
import { NULL_BLOCK } from "../../cache/block/block_pool.ts";
import { encodeDomain } from "../../cache/prefix/prefix_hash.ts";
import { PrefixIndex } from "../../cache/prefix/prefix_index.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkTokens } from "../../core/tokens.ts";
import { SqueezedContext } from "./context.ts";

/** What errors call it. */
const OWNER = "a store of squeezed contexts";

/**
 * What a store has found.
 *
 * @category Policies
 */
export interface StoredContexts {
  /** Tokens of the context, from the first on. */
  readonly length: number;
  /** A context of each layer, in order; the store's. */
  readonly contexts: readonly SqueezedContext[];
}

/** A prefix and what was made of its keys. */
interface Entry {
  readonly tokens: readonly number[];
  readonly domain: PrefixDomain;
  readonly contexts: readonly SqueezedContext[];
}

/**
 * The contexts of fixed prefixes, layer by layer, beside the prefix index of a
 * paged cache. A prefix is found by its tokens, within its domain, so that what
 * is found was made of these tokens whatever blocks they lie in; it stays as long
 * as the index finds every full block of it. Blocks that a running sequence or a
 * pin holds are not evicted, so neither is a context that is in use.
 *
 * Nothing is dropped behind the caller's back: {@linkcode SqueezedStore.sweep}
 * and {@linkcode SqueezedStore.apply} free what has gone, and what has gone is
 * not found.
 *
 * @example Made once, found by every sequence that begins so
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { BlockPool, PrefixIndex } from "@quire/attention/cache";
 * import { SqueezedContext, SqueezedStore } from "@quire/attention/policies";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const pool = new BlockPool({ numBlocks: 4, blockSize: 2 });
 * const index = new PrefixIndex(pool, { events: true });
 * const tokens = [7, 8, 9, 7];
 * const blocks = pool.allocate(2);
 * const cursor = index.cursor();
 * cursor.advance([7, 8], blocks[0]);
 * cursor.advance([9, 7], blocks[1]);
 * cursor.close();
 *
 * using store = new SqueezedStore(index);
 * const key = { data: new Float32Array(8).fill(1), shape: [4, 1, 2] };
 * const options = { key, clusters: 1, observationWindow: 1 };
 * store.set(tokens, [await SqueezedContext.create(gpu, options)]);
 * assertEquals(store.find([...tokens, 1, 2])?.length, 4);
 *
 * for (const block of blocks) pool.release(block);
 * index.evict(blocks[1]);
 * assertEquals(store.apply(index.takeEvents()), 1);
 * assertEquals(store.find(tokens), undefined);
 * ```
 *
 * @category Policies
 */
export class SqueezedStore implements Disposable {
  readonly #index: PrefixIndex;
  #entries: Entry[] = [];

  /**
   * An empty store.
   *
   * @throws {TypeError} if it is no index
   */
  constructor(index: PrefixIndex) {
    checkType(
      index instanceof PrefixIndex,
      "index",
      `of ${OWNER} must be a PrefixIndex`,
      index,
    );
    this.#index = index;
  }

  /** Prefixes that it has. */
  get size(): number {
    return this.#entries.length;
  }

  /** Bytes that their contexts hold on the device. */
  get byteLength(): number {
    return this.#entries.flatMap(({ contexts }) => contexts)
      .reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /**
   * Keeps the contexts of a prefix, which are the store's from now on; others that
   * the same prefix had are destroyed. One that has grown is no longer found, as
   * it is of other tokens, until it is kept again with all of them; the store
   * frees it with the blocks of those that it was kept with.
   *
   * @param tokens Of all keys of the contexts, those of their observation window
   * with them.
   * @throws {TypeError} if they are no contexts, or one is destroyed or there twice
   * @throws {RangeError} if a context is not of so many tokens, or there is no
   * full block of them, or one that is not in the index
   */
  set(
    tokens: readonly number[],
    contexts: readonly SqueezedContext[],
    domain: PrefixDomain = {},
  ): void {
    checkTokens(tokens);
    checkType(
      Array.isArray(contexts) && contexts.length > 0,
      "contexts",
      `of ${OWNER} must be a context of each layer`,
      contexts,
    );
    const own = new Set(contexts);
    contexts.forEach((context, i) => {
      const name = `contexts[${i}]`;
      checkType(
        context instanceof SqueezedContext && !context.destroyed,
        name,
        `of ${OWNER} must be a SqueezedContext that is not destroyed`,
        context,
      );
      checkInteger(
        `${name}.length`,
        context.length,
        tokens.length,
        tokens.length,
      );
    });
    checkType(
      own.size === contexts.length,
      "contexts",
      `of ${OWNER} must be another one for each layer`,
      contexts,
    );
    checkRange(
      this.#isCached({ tokens, domain }),
      "tokens",
      `of ${OWNER} must have a full block of ${this.#index.pool.blockSize}, all of which are in the index`,
      tokens,
    );
    const instead = this.#entries.filter((other) =>
      other.contexts.some((context) => own.has(context)) ||
      (other.tokens.length === tokens.length && begins(other, tokens, domain))
    );
    this.#drop(instead, own);
    // What callers write into their own later is no other prefix.
    this.#entries.push({
      tokens: [...tokens],
      domain: structuredClone(domain),
      contexts: [...contexts],
    });
  }

  /**
   * The contexts of the longest prefix that a sequence begins with.
   *
   * @param tokens Of the sequence.
   * @throws {TypeError} or {@linkcode RangeError} if they are no tokens
   */
  find(
    tokens: readonly number[],
    domain: PrefixDomain = {},
  ): StoredContexts | undefined {
    checkTokens(tokens);
    let found: Entry | undefined;
    for (const entry of this.#entries) {
      const longer = entry.tokens.length > (found?.tokens.length ?? -1);
      if (!longer || !begins(entry, tokens, domain)) continue;
      if (isWhole(entry) && this.#isCached(entry)) found = entry;
    }
    return found &&
      { length: found.tokens.length, contexts: found.contexts };
  }

  /**
   * Frees the contexts of all prefixes of which a block is not in the index any
   * longer, or a context is destroyed.
   *
   * @returns How many prefixes those were.
   */
  sweep(): number {
    return this.#drop(
      this.#entries.filter((entry) =>
        !this.#isCached(entry) ||
        entry.contexts.some(({ destroyed }) => destroyed)
      ),
    );
  }

  /**
   * The same, where changes of the index say that something has gone; others cost
   * nothing.
   *
   * @param events Of the index, by `takeEvents()`.
   * @returns How many prefixes were dropped.
   */
  apply(events: readonly PrefixEvent[]): number {
    return events.some(({ type }) => type !== "stored") ? this.sweep() : 0;
  }

  /** Frees everything. */
  destroy(): void {
    this.#drop(this.#entries);
  }

  /** The same as {@linkcode SqueezedStore.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #isCached({ tokens, domain }: Pick<Entry, "tokens" | "domain">): boolean {
    const walk = this.#index.walk(tokens, domain);
    return walk.length ===
        Math.floor(tokens.length / this.#index.pool.blockSize) &&
      walk.length > 0 && !walk.includes(NULL_BLOCK);
  }

  #drop(
    entries: readonly Entry[],
    but: ReadonlySet<SqueezedContext> = new Set(),
  ): number {
    const gone = new Set(entries);
    this.#entries = this.#entries.filter((entry) => !gone.has(entry));
    for (const { contexts } of gone) {
      for (const context of contexts) {
        if (!but.has(context)) context.destroy();
      }
    }
    return gone.size;
  }
}

/** Whether an entry's contexts are there, and still of its tokens. */
function isWhole({ tokens, contexts }: Entry): boolean {
  return contexts.every(({ destroyed, length }) =>
    !destroyed && length === tokens.length
  );
}

/** Whether a sequence begins with an entry's tokens, and is of its domain. */
function begins(
  entry: Entry,
  tokens: readonly number[],
  domain: PrefixDomain,
): boolean {
  return encodeDomain(entry.domain) === encodeDomain(domain) &&
    entry.tokens.length <= tokens.length &&
    entry.tokens.every((token, i) => token === tokens[i]);
}
