/**
 * How much room a sequence takes ahead of what it has written.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";

/**
 * When room is taken:
 *
 * - `"page"`: a block as it is begun (Kwon et al. 2023);
 * - `"powerOfTwo"`: the next power of two, as a vector doubles;
 * - `"max"`: the longest length at once, as a reservation does.
 *
 * @category Cache
 */
export type GrowthPolicy = "page" | "powerOfTwo" | "max";

/** Every {@linkcode GrowthPolicy}. */
export const GROWTH_POLICIES: readonly GrowthPolicy[] = [
  "page",
  "powerOfTwo",
  "max",
];

/**
 * What {@linkcode grownCapacity} rounds to and stops at.
 *
 * @category Cache
 */
export interface GrowthOptions {
  /** When room is taken. Defaults to `"page"`. */
  readonly policy?: GrowthPolicy;
  /** Tokens per block. */
  readonly blockSize: number;
  /** The longest length; `"max"` needs it, `"powerOfTwo"` stops there. */
  readonly maxLength?: number;
}

/** Throws unless `policy` is one. */
export function checkGrowthPolicy(policy: unknown): void {
  checkType(
    GROWTH_POLICIES.includes(policy as GrowthPolicy),
    "policy",
    `must be one of ${GROWTH_POLICIES.join(", ")}`,
    policy,
  );
}

/** The least power of two that is at least `length`; 0 for 0. */
function nextPowerOfTwo(length: number): number {
  return length === 0 ? 0 : 2 ** Math.ceil(Math.log2(length));
}

/**
 * Tokens of room that a sequence of `length` tokens has: whole blocks, and
 * none while it is empty.
 *
 * @throws {TypeError} if the policy is unknown or a size is not a number.
 * @throws {RangeError} if a size is not an integer in its range, `length` is
 * more than `maxLength`, or `"max"` has none.
 *
 * @example
 * ```ts
 * import { grownCapacity } from "@quire/attention/cache";
 *
 * const options = { blockSize: 4, maxLength: 100 };
 * grownCapacity(17, { ...options, policy: "page" }); // 20
 * grownCapacity(17, { ...options, policy: "powerOfTwo" }); // 32
 * grownCapacity(17, { ...options, policy: "max" }); // 100
 * ```
 *
 * @category Cache
 */
export function grownCapacity(length: number, options: GrowthOptions): number {
  const { policy = "page", blockSize, maxLength = Infinity } = options;
  checkGrowthPolicy(policy);
  checkInteger("length", length, 0);
  checkInteger("blockSize", blockSize, 1);
  if (maxLength !== Infinity || policy === "max") {
    checkInteger("maxLength", maxLength, 0);
  }
  checkRange(
    length <= maxLength,
    "length",
    `must be at most maxLength, ${maxLength}`,
    length,
  );
  if (length === 0) return 0;
  const wanted = policy === "page"
    ? length
    : policy === "powerOfTwo"
    ? Math.min(nextPowerOfTwo(length), maxLength)
    : maxLength;
  return Math.ceil(wanted / blockSize) * blockSize;
}
