/**
 * What an extent is, and what a pool of them counts.
 *
 * @module
 */

import type { BlockRun } from "./free_extents.ts";

/**
 * Consecutive blocks in use, and how many tokens lie in them.
 *
 * @category Cache
 */
export interface Extent extends BlockRun {
  /** Tokens that have a slot, from the first block's start on. */
  readonly tokens: number;
}

/**
 * How large an extent is to be.
 *
 * @category Cache
 */
export type ExtentSize = Pick<Extent, "blocks" | "tokens">;

/**
 * What extents take, what they use of it and what that costs; all but the
 * counts of extents in tokens.
 *
 * @category Cache
 */
export interface ExtentStats {
  /** Extents in use, those without blocks included. */
  readonly extents: number;
  /** Room of all extents. */
  readonly reserved: number;
  /** Tokens that have a slot. */
  readonly used: number;
  /** Internal waste: room without a token, `reserved - used`. */
  readonly internal: number;
  /** Room that no extent has. */
  readonly free: number;
  /** External waste: free room outside of the largest free run. */
  readonly external: number;
  /** Extents that were moved since the pool was made. */
  readonly relocations: number;
  /** Tokens that were copied with them. */
  readonly relocated: number;
}
