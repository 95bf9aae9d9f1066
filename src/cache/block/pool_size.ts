/**
 * How large a pool of blocks may be, and how large it is where nothing is said.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { BlockPoolOptions } from "./pool_types.ts";

/** Tokens per block where a pool is not told otherwise. */
export const DEFAULT_BLOCK_SIZE = 16;

/**
 * Checks a pool's size and fills it in.
 *
 * @param limits `fewest`: the least number of blocks.
 * @throws {TypeError} if a size is not a number.
 * @throws {RangeError} if `numBlocks` is not an integer in
 * `fewest..2**31 - 1`, `blockSize` is not an integer >= 1, or a slot would not
 * fit in a `u32`.
 */
export function checkPoolSize(
  options: BlockPoolOptions,
  { fewest }: { readonly fewest: number },
): Required<BlockPoolOptions> {
  checkOptions("a pool", options, { known: ["numBlocks", "blockSize"] });
  const { numBlocks, blockSize = DEFAULT_BLOCK_SIZE } = options;
  checkInteger("numBlocks", numBlocks, fewest, 2 ** 31 - 1);
  checkInteger("blockSize", blockSize, 1);
  checkRange(
    numBlocks * blockSize <= 2 ** 32,
    "numBlocks * blockSize",
    "must be at most 2**32",
    numBlocks * blockSize,
  );
  return { numBlocks, blockSize };
}
