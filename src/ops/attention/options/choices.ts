/**
 * How to run a problem: what a caller may choose, with defaults that are right
 * for most.
 *
 * @module
 */

import {
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkType,
} from "../../../core/check.ts";
import { type TileOptions, type Tiles, tilesOf } from "../variants/tiles.ts";
import type { CostModel } from "../work/cost.ts";
import type { Partition } from "../work/partition.ts";

/**
 * How to run a problem.
 *
 * @category Attention
 */
export interface PlanChoices {
  /**
   * `"fused"` (default): forward and decode kernels, each sequence by its
   * number of query rows. `"standard"`: the 3-dispatch baseline. `"fa1"`:
   * FlashAttention-1 in its own loop order, f32 only. Neither of these splits
   * or shares; they are there to compare with.
   */
  readonly algorithm?: "fused" | "standard" | "fa1" | undefined;
  /**
   * Whether a row's bits must not depend on its batch, which only fixed splits
   * without shared prefixes hold. `true` (default) and `false` decide what
   * `splits` and `sharedPrefix` are where they are not given.
   */
  readonly invariant?: boolean | undefined;
  /**
   * How keys are split among workgroups. `"fixed"` (default): splits of a
   * fixed size for decode, none for prefill. A number: that many splits of
   * every sequence. `"stream-k"`: the keys of the whole batch evenly, a
   * part a worker (LeanAttention, Sanovar et al. 2024). `"auto"`
   * (default where not `invariant`): what the cost model takes for the
   * cheapest, for each kernel; `explain()` has its estimates.
   */
  readonly splits?: "fixed" | "stream-k" | "auto" | number | undefined;
  /**
   * Whether sequences whose block tables begin alike read those blocks
   * together: `"never"` (default), `"always"` where it is possible, `"auto"`
   * (default where not `invariant`) where it is worth it.
   */
  readonly sharedPrefix?: "auto" | "always" | "never" | undefined;
  /**
   * Workgroups that the device runs at the same time, for `"stream-k"` and the
   * cost model; by default what the device's tiles say.
   */
  readonly workers?: number | undefined;
  /** Sizes to use instead of the device's: for tuning. */
  readonly tiles?: TileOptions | undefined;
}

/** Choices with their defaults. */
export interface CheckedChoices {
  /** The algorithm. */
  readonly algorithm: "fused" | "standard" | "fa1";
  /** How keys are split. */
  readonly splits: "fixed" | "stream-k" | "auto" | number;
  /** Whether prefixes are shared. */
  readonly sharedPrefix: "auto" | "always" | "never";
  /** The sizes of kernels and splits. */
  readonly tiles: Tiles;
  /** What partitions are compared by. */
  readonly model: CostModel;
}

/**
 * Checks choices and fills in the defaults for a device.
 *
 * @throws {TypeError} for wrong types, and for an invariant plan that is to
 * split or share by its batch
 * @throws {RangeError} for values out of range
 */
export function checkChoices(
  choices: PlanChoices,
  device: { readonly software: boolean },
): CheckedChoices {
  const { algorithm = "fused", invariant, workers } = choices;
  const tiles = tilesOf(device, choices.tiles);
  checkOneOf("algorithm", algorithm, ["fused", "standard", "fa1"]);
  checkBoolean("invariant", invariant);
  const { splits = invariant === false ? "auto" : "fixed" } = choices;
  const { sharedPrefix = invariant === false ? "auto" : "never" } = choices;
  checkSplits(splits);
  checkOneOf("sharedPrefix", sharedPrefix, ["auto", "always", "never"]);
  if (workers !== undefined) checkInteger("workers", workers, 1, 65535);
  if (invariant) {
    checkType(
      splits === "fixed",
      "splits",
      'must be "fixed" for a plan that is invariant',
      splits,
    );
    checkType(
      sharedPrefix === "never",
      "sharedPrefix",
      'must be "never" for a plan that is invariant',
      sharedPrefix,
    );
  }
  const { tileSteps, dispatchSteps, parallelism } = tiles.partition;
  return {
    algorithm,
    splits,
    sharedPrefix,
    tiles,
    model: { tileSteps, dispatchSteps, workers: workers ?? parallelism },
  };
}

function checkSplits(splits: PlanChoices["splits"]): void {
  checkType(
    splits === "fixed" || splits === "stream-k" || splits === "auto" ||
      typeof splits === "number",
    "splits",
    'must be "fixed", "stream-k", "auto" or a number',
    splits,
  );
  if (typeof splits === "number") checkInteger("splits", splits, 1, 65535);
}

/** No splits. */
export const UNSPLIT: Partition = {
  kind: "splits",
  text: "unsplit",
  of: () => undefined,
};

/** The partitions that so many workgroups' work may have. */
export function partitionsOf(
  { splits, tiles, model }: CheckedChoices,
  workgroups: number,
): Partition[] {
  const { splitKeys, splitRows } = tiles.partition;
  const { workers } = model;
  const size = { kind: "size", keys: splitKeys } as const;
  const fixed: Partition = {
    kind: "splits",
    text: `${splitKeys} keys each, for up to ${splitRows} packed rows`,
    of: (rows) => rows <= splitRows ? size : undefined,
  };
  const even = (count: number): Partition => ({
    kind: "splits",
    text: `${count} a sequence`,
    of: () => ({ kind: "count", count }),
  });
  const streamK: Partition = {
    kind: "stream-k",
    text: `stream-k over ${workers} workers`,
    workers,
  };
  if (typeof splits === "number") return [even(splits)];
  if (splits === "fixed") return [fixed];
  if (splits === "stream-k") return [streamK];
  const count = Math.ceil(workers / Math.max(1, workgroups));
  return [UNSPLIT, fixed, ...(count > 1 ? [even(count)] : []), streamK];
}
