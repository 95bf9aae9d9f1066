/**
 * How to run a problem: what a caller may choose, with defaults that are right
 * for most.
 *
 * @module
 */

import { checkRange, checkType } from "../core/check.ts";
import type { AttentionProblem } from "./problem.ts";
import type { Splitting } from "./schedule.ts";
import { checkTileProfile, type TileProfile } from "./tiles.ts";

/** How to run a problem. */
export interface PlanChoices {
  /**
   * `"fused"` (default): forward and decode kernels, each sequence by its
   * number of query rows. `"standard"`: the 3-dispatch baseline.
   */
  readonly algorithm?: "fused" | "standard" | undefined;
  /**
   * How keys are split among workgroups. `"fixed"` (default): splits of a
   * fixed size for decode, none for prefill, so that a row never depends on
   * its batch. A number: that many splits of every sequence. `"auto"`: as many
   * as keep the device busy, which depends on the batch.
   */
  readonly splits?: "fixed" | "auto" | number | undefined;
  /** Tiles to use instead of the device's row of the table: for tuning. */
  readonly tiles?: TileProfile | undefined;
}

/**
 * Throws unless the choices are valid.
 *
 * @throws {TypeError} for wrong types
 * @throws {RangeError} for values out of range
 */
export function checkChoices({ algorithm, splits, tiles }: PlanChoices): void {
  if (tiles !== undefined) checkTileProfile(tiles);
  checkType(
    algorithm === undefined || algorithm === "fused" ||
      algorithm === "standard",
    "algorithm",
    'must be "fused" or "standard"',
    algorithm,
  );
  checkType(
    splits === undefined || splits === "fixed" || splits === "auto" ||
      typeof splits === "number",
    "splits",
    'must be "fixed", "auto" or a number',
    splits,
  );
  if (typeof splits === "number") {
    checkRange(
      Number.isInteger(splits) && splits >= 1 && splits <= 65535,
      "splits",
      "must be an integer in 1..65535",
      splits,
    );
  }
}

/** The splits of each sequence, by its packed rows; and in words. */
export interface ChosenSplits {
  /** How the keys of a sequence with so many packed rows are split. */
  readonly of: (rows: number) => Splitting | undefined;
  /** The same for people. */
  readonly text: string;
}

/** What `splits` means for a problem on a device. */
export function chooseSplits(
  problem: AttentionProblem,
  profile: TileProfile,
  splits: PlanChoices["splits"] = "fixed",
): ChosenSplits {
  if (typeof splits === "number") {
    const of = () => ({ kind: "count", count: splits } as const);
    return { of, text: `${splits} a sequence` };
  }
  if (splits === "fixed") {
    const { splitKeys, splitRows } = profile;
    const size = { kind: "size", keys: splitKeys } as const;
    return {
      of: (rows) => rows <= splitRows ? size : undefined,
      text: `${splitKeys} keys each, for up to ${splitRows} packed rows`,
    };
  }
  const { kvHeads, sequences } = problem;
  const busy = Math.max(1, kvHeads * sequences.length);
  const count = Math.max(1, Math.ceil(profile.parallelism / busy));
  return {
    of: () => ({ kind: "count", count }),
    text:
      `${count} a sequence: ${busy} workgroups unsplit, parallelism ${profile.parallelism}`,
  };
}
