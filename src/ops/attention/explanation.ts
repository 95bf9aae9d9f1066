/**
 * What a plan says of itself.
 *
 * @module
 */

import type { Dispatch, Grid } from "../../gpu/mod.ts";
import type { TensorPlacement } from "../../mods/mod.ts";
import type { ExplainedPolicy } from "./policy_blocks.ts";
import type { AttentionProblem } from "./problem.ts";
import { type ExplainedTraffic, explainTraffic } from "./traffic.ts";
import type {
  Algorithm,
  TileDispatch,
  TileSize,
} from "./variants/algorithm.ts";
import type { PassedOver, Profile } from "./variants/variant.ts";
import type { PartitionCost } from "./work/cost.ts";
import type { TileCounts } from "./work/key_runs.ts";
import type { Schedule } from "./work/schedule.ts";

/**
 * One dispatch of a plan.
 *
 * @category Plans
 */
export interface ExplainedDispatch {
  /** The kernel's label. */
  readonly kernel: string;
  /** Workgroups. */
  readonly grid: Grid;
  /** Query rows and keys of its tile; none for a merge. */
  readonly tile?: TileSize;
}

/**
 * The work of one variant.
 *
 * @category Plans
 */
export interface ExplainedKernel {
  /** The features that it uses. */
  readonly profile: Profile;
  /** Query rows x keys that a workgroup does at a time. */
  readonly tile: TileSize;
  /** How keys are split among workgroups. */
  readonly splits: string;
  /**
   * What the cost model expects of each way of splitting; empty but where
   * `splits` is `"auto"`.
   */
  readonly costs: readonly PartitionCost[];
  /** Why not one that comes before it in the list of variants. */
  readonly passedOver: readonly PassedOver[];
}

/**
 * Keys that several sequences read together.
 *
 * @category Plans
 */
export interface SharedKeys {
  /** First key. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
  /** Their query rows, packed, of all of them. */
  readonly rows: number;
}

/**
 * A captured tensor, which stays on the device.
 *
 * @category Plans
 */
export interface ExplainedCapture {
  /** What it is called. */
  readonly names: readonly string[];
  /**
   * Whether kernels read it where it is, or in one buffer to which each run
   * copies it, as the device has too few bindings.
   */
  readonly placement: TensorPlacement;
  /**
   * Whether tiles are chosen as if it were known: false where a mask reads it
   * and no `range` was given, so that all tiles it might show are computed.
   */
  readonly skipsTiles: boolean;
}

/**
 * What a plan will run, and why.
 *
 * @category Attention
 */
export interface AttentionExplanation {
  /** Dispatches in order. */
  readonly dispatches: readonly ExplainedDispatch[];
  /** What runs, by the variant's name and whether its keys are shared. */
  readonly kernels: Readonly<Record<string, ExplainedKernel>>;
  /** Keys that several sequences read together. */
  readonly sharedKeys: readonly SharedKeys[];
  /**
   * Tiles visited, full and in total; where the device selects blocks, those
   * that it selects among.
   */
  readonly tileCounts: TileCounts;
  /** The policy that chose its keys, where there is one. */
  readonly policy?: ExplainedPolicy;
  /** Run lists that the device writes, where it selects blocks, and their bytes. */
  readonly selection?: { readonly lists: number; readonly bytes: number };
  /** Bytes of scratch that the plan uses. */
  readonly scratchBytes: number;
  /** Captured tensors that stay on the device; a mask of `attnMask` too. */
  readonly captures: readonly ExplainedCapture[];
  /** What it will move, beside what any schedule must. */
  readonly traffic: ExplainedTraffic;
}

/** Puts it together. */
export function explain(
  problem: AttentionProblem,
  {
    algorithm,
    schedule,
    tiles,
    dispatches,
    scratch,
    captures,
    workgroupBytes,
  }: {
    readonly algorithm: Algorithm;
    readonly schedule: Schedule;
    readonly tiles: readonly TileDispatch[];
    readonly dispatches: readonly Dispatch[];
    readonly scratch: Readonly<Record<string, number>>;
    readonly captures: readonly ExplainedCapture[];
    readonly workgroupBytes: number;
  },
): AttentionExplanation {
  let traffic: ExplainedTraffic | undefined;
  const { policy } = problem;
  return {
    dispatches: dispatches.map(({ source, grid }, i) => {
      const { tile } = tiles[i];
      return { kernel: source.label, grid, ...(tile && { tile }) };
    }),
    kernels: Object.fromEntries(
      algorithm.kernels.map((
        { name, profile, rows, loops, tile, passedOver },
        i,
      ) => [
        name,
        {
          profile,
          tile: tile ?? { rows, keys: loops.step },
          splits: schedule.kernels[i].partition,
          costs: schedule.kernels[i].costs,
          passedOver,
        },
      ]),
    ),
    sharedKeys: algorithm.work.shared.map(({ from, end, rows }) => ({
      from,
      end,
      rows,
    })),
    tileCounts: schedule.tiles,
    ...(policy && { policy: { name: policy.name, by: policy.by } }),
    ...(schedule.selection && {
      selection: {
        lists: schedule.selection.lists,
        bytes: 4 * schedule.selection.words,
      },
    }),
    scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    captures,
    // Only where someone looks: plans are made for every step of a service.
    get traffic() {
      return traffic ??= explainTraffic(problem, {
        algorithm,
        schedule,
        workgroupBytes,
      });
    },
  };
}
