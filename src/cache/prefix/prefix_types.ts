/**
 * What a prefix index is given, and what it tells.
 *
 * @module
 */

import type { BlockCopy } from "../block/table_types.ts";
import type { ChainHash, PrefixDomain } from "./prefix_hash.ts";

/**
 * How a `PrefixIndex` works.
 *
 * @category Cache
 */
export interface PrefixIndexOptions {
  /** The hash; a weak one costs time only. Defaults to `chainHash`. */
  readonly hash?: ChainHash;
  /** The time, in any unit. Defaults to `performance.now`, in milliseconds. */
  readonly clock?: () => number;
  /**
   * Whether changes are kept for `PrefixIndex.takeEvents()`, which must
   * then be called from time to time. Defaults to `false`.
   */
  readonly events?: boolean;
}

/**
 * One change of what can be found, as plain data.
 *
 * @category Cache
 */
export type PrefixEvent =
  | {
    /** A block holds `tokens` behind the prefix `parent`. */
    readonly type: "stored";
    /** The block. */
    readonly block: number;
    /** The chain hash of the prefix that ends with the block. */
    readonly hash: number;
    /** That of the prefix before it; a first block's is its domain's. */
    readonly parent: number;
    /** The block's tokens. */
    readonly tokens: readonly number[];
  }
  | {
    /** A block does not hold them any longer; others may. */
    readonly type: "removed";
    /** The block. */
    readonly block: number;
    /** The chain hash under which it was stored. */
    readonly hash: number;
  }
  | {
    /** Every block was forgotten. */
    readonly type: "cleared";
  };

/**
 * The start of a sequence, as far as it is cached.
 *
 * @category Cache
 */
export interface PrefixMatch {
  /**
   * Full blocks from the start on, to be shared. Over a `StatePool` the slot of
   * the longest start that has one.
   */
  readonly blocks: readonly number[];
  /**
   * A block whose first `rows` continue the match, to be copied; none if
   * `rows` is 0. It holds other tokens behind them.
   */
  readonly partial: Omit<BlockCopy, "destination">;
  /** Tokens matched, the partial block's included; less than there are. */
  readonly length: number;
}

/**
 * What was asked of an index and what it saved, in tokens.
 *
 * @category Cache
 */
export interface PrefixStats {
  /** Sequences that were looked up. */
  readonly queries: number;
  /** Their tokens. */
  readonly queriedTokens: number;
  /** Tokens that did not have to be computed. */
  readonly hitTokens: number;
  /** Preempted sequences that were looked up again. */
  readonly resumes: number;
  /** Their tokens, which are in no count above. */
  readonly resumedTokens: number;
  /** Tokens that did not have to be computed a second time. */
  readonly recoveredTokens: number;
}

/**
 * One look-up, for `PrefixIndex.record()`.
 *
 * @category Cache
 */
export interface PrefixQuery {
  /** Tokens of the sequence. */
  readonly tokens: number;
  /** Tokens that were taken from the cache. */
  readonly hits: number;
  /** Whether the sequence had been computed before and was preempted. */
  readonly resumed?: boolean;
}

/**
 * What `PrefixIndex.pin()` holds, and for how long.
 *
 * @category Cache
 */
export interface PinOptions extends PrefixDomain {
  /** How long, in units of the clock. Defaults to for ever. */
  readonly ttl?: number;
}
