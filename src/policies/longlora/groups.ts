/**
 * Groups of tokens, as LongLoRA's shifted attention has them.
 *
 * @module
 */

import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../core/check.ts";

/** Positions and groups are added in i32. */
const MAX = 2 ** 30;

/**
 * How long groups are.
 *
 * @category Policies
 */
export interface LongLoraGroupOptions {
  /** Tokens of a group; not with `groupRatio`. */
  readonly groupSize?: number | undefined;
  /**
   * A group as a part of its sequence: `floor(keys * groupRatio)` tokens, at least
   * one; 1/4 by default. It is of the keys of the call, so groups of a sequence
   * that grows would grow with it: give `groupSize` there.
   */
  readonly groupRatio?: number | undefined;
}

/**
 * Throws unless groups are as long as they may be.
 *
 * @throws {TypeError} if both are given, or one is no number
 * @throws {RangeError} if one is out of range
 */
export function checkGroups(
  { groupSize, groupRatio }: LongLoraGroupOptions,
): void {
  if (groupSize !== undefined) {
    checkType(
      groupRatio === undefined,
      "groupRatio",
      "must not be given beside groupSize, which says the same",
      groupRatio,
    );
    checkInteger("groupSize", groupSize, 1, MAX);
  }
  if (groupRatio !== undefined) {
    checkFinite("groupRatio", groupRatio);
    checkRange(
      groupRatio > 0 && groupRatio <= 1,
      "groupRatio",
      "must be above 0 and 1 at most",
      groupRatio,
    );
  }
}

/** Tokens of a group of a sequence of so many keys. */
export function groupSizeOf(
  { groupSize, groupRatio = 1 / 4 }: LongLoraGroupOptions,
  keys: number,
): number {
  return groupSize ?? Math.max(1, Math.floor(keys * groupRatio));
}

/** Tokens of the group that stands before all others where groups are shifted. */
export function shiftOf(groupSize: number): number {
  return Math.floor(groupSize / 2);
}

/** Where each group of so many tokens starts, then where the last ends. */
export function groupBounds(
  tokens: number,
  { groupSize, shifted }: {
    readonly groupSize: number;
    readonly shifted: boolean;
  },
): number[] {
  const bounds = [0];
  const first = (shifted && shiftOf(groupSize)) || groupSize;
  for (let at = first; at < tokens; at += groupSize) bounds.push(at);
  if (tokens > 0) bounds.push(tokens);
  return bounds;
}
