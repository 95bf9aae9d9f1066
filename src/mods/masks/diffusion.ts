/**
 * Masks of training with several drafts of a text at once.
 *
 * @module
 */

import { checkInteger } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { Int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";

const MAX = 2 ** 31 - 1;

/**
 * A text and its blocks.
 *
 * @category Masks and scores
 */
export interface BlockDiffusionOptions {
  /** Tokens of the text. */
  readonly length: number;
  /** Tokens of a block. */
  readonly block: number;
}

/**
 * Block diffusion (Arriola et al. 2025): the noised text at positions
 * `0..length - 1`, the clean one after it. A noised token sees its own noised
 * block and the clean blocks before it; a clean token its own clean block and
 * those before it. Positions outside both see nothing and are not seen.
 *
 * @throws {RangeError} If `length` or `block` is not an integer >= 1, or both
 * texts exceed 2^31 - 1 positions.
 *
 * @example A text of four tokens in blocks of two
 * ```ts
 * import { blockDiffusion, drawMask } from "@quire/attention/mods";
 *
 * const mask = blockDiffusion({ length: 4, block: 2 });
 * const pairs = { keys: 8, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ██······
 * // ██······
 * // ··████··
 * // ··████··
 * // ····██··
 * // ····██··
 * // ····████
 * // ····████
 * ```
 *
 * @category Masks and scores
 */
export function blockDiffusion(options: BlockDiffusionOptions): MaskMod {
  checkOptions("blockDiffusion()", options, { known: ["length", "block"] });
  const { length, block } = options;
  checkInteger("length", length, 1, Math.floor(MAX / 2));
  checkInteger("block", block, 1, MAX);
  return maskMod("blockDiffusion", ({ query, key }) => {
    const noised = query.lt(length);
    const noisedKey = key.lt(length);
    const blockOf = (position: Int) =>
      position.lt(length).select(position, position.sub(length)).div(block);
    const [own, seen] = [blockOf(query), blockOf(key)];
    const drafts = noised.and(noisedKey).and(own.eq(seen));
    const before = noised.and(noisedKey.not()).and(seen.lt(own));
    const clean = noised.not().and(noisedKey.not()).and(seen.le(own));
    return query.ge(0).and(query.lt(2 * length)).and(key.lt(2 * length))
      .and(drafts.or(before).or(clean));
  });
}

/**
 * What is verified already, and how long the drafts are.
 *
 * @category Masks and scores
 */
export interface DraftBlocksOptions {
  /** Positions before the drafts, which all see. */
  readonly prefix: number;
  /** Tokens of a draft. */
  readonly block: number;
}

/**
 * Drafts of one length after a prefix: each sees the prefix and itself
 * causally, and none sees another.
 *
 * @throws {RangeError} If `prefix` is not an integer >= 0, or `block` not one
 * >= 1.
 *
 * @example Two drafts of two tokens after a prefix of two
 * ```ts
 * import { draftBlocks, drawMask } from "@quire/attention/mods";
 *
 * const mask = draftBlocks({ prefix: 2, block: 2 });
 * const pairs = { queries: 4, keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ████··
 * // ██··█·
 * // ██··██
 * ```
 *
 * @category Masks and scores
 */
export function draftBlocks(options: DraftBlocksOptions): MaskMod {
  checkOptions("draftBlocks()", options, { known: ["prefix", "block"] });
  const { prefix, block } = options;
  checkInteger("prefix", prefix, 0, MAX);
  checkInteger("block", block, 1, MAX);
  return maskMod("draftBlocks", ({ query, key }) => {
    const draftOf = (position: Int) => position.sub(prefix).div(block);
    const own = key.le(query).and(draftOf(query).eq(draftOf(key)));
    return key.lt(prefix).or(own);
  });
}
