/**
 * How the heads of a call divide blocks among themselves, and whether together
 * they have all.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import type { S2Pattern } from "./options.ts";

/**
 * The heads of a call.
 *
 * @category Policies
 */
export interface S2Heads {
  /** Query heads. */
  readonly queryHeads: number;
  /** Key/value heads; as many as query heads by default. */
  readonly kvHeads?: number;
}

/**
 * Which blocks the heads keep together.
 *
 * @category Policies
 */
export interface S2Coverage {
  /** Whether there is no block that all heads leave out. */
  readonly complete: boolean;
  /**
   * What no head keeps beyond its band, modulo the stride: blocks of keys where
   * positions are absolute; else distances in blocks, from the band's last on.
   */
  readonly missing: readonly number[];
  /** Residues that some head keeps, of all. */
  readonly fraction: number;
}

/** A pattern's numbers for the heads of a call. */
export interface HeadShifts {
  /** Query heads of a key/value head, which share its pattern. */
  readonly group: number;
  /** Key/value heads that leave blocks out: the first so many. */
  readonly sparse: number;
  /** From one of them to the next. */
  readonly step: number;
}

/**
 * The numbers of a call's heads.
 *
 * @throws {TypeError} if query heads are not a multiple of kv heads
 * @throws {RangeError} if there are fewer kv heads than dense ones
 */
export function shiftsOf(pattern: S2Pattern, heads: S2Heads): HeadShifts {
  const { queryHeads, kvHeads = queryHeads } = heads;
  checkInteger("queryHeads", queryHeads, 1, 2 ** 31 - 1);
  checkInteger("kvHeads", kvHeads, 1, 2 ** 31 - 1);
  checkType(
    queryHeads % kvHeads === 0,
    "queryHeads",
    `must be a multiple of kvHeads (${kvHeads})`,
    queryHeads,
  );
  const { denseHeads, stride } = pattern;
  checkInteger("select (s2): denseHeads", denseHeads, 0, kvHeads);
  // By query heads even where fewer key/value heads shift, as published.
  const auto = Math.max(1, Math.floor(stride / queryHeads));
  return {
    group: queryHeads / kvHeads,
    sparse: kvHeads - denseHeads,
    step: (pattern.headStep ?? auto) % stride,
  };
}

/** Which residues the heads keep together. */
export function coverageOf(pattern: S2Pattern, heads: S2Heads): S2Coverage {
  const { stride, relative, offset, denseHeads } = pattern;
  const { sparse, step } = shiftsOf(pattern, heads);
  const kept = new Set<number>();
  if (relative && sparse > 0) kept.add(0);
  // Shifts repeat with the stride at the latest.
  for (let h = 0; !relative && h < Math.min(sparse, stride); h++) {
    kept.add((stride - (h * step + offset) % stride) % stride);
  }
  const missing: number[] = [];
  for (let residue = 0; denseHeads === 0 && residue < stride; residue++) {
    if (!kept.has(residue)) missing.push(residue);
  }
  return {
    complete: missing.length === 0,
    missing,
    fraction: (stride - missing.length) / stride,
  };
}
