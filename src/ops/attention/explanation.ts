/**
 * What a plan says of itself.
 *
 * @module
 */

import type { Dispatch, Grid } from "../../gpu/mod.ts";
import type {
  Algorithm,
  TileDispatch,
  TileSize,
} from "./variants/algorithm.ts";
import type { PassedOver, Profile } from "./variants/variant.ts";
import type { PartitionCost } from "./work/cost.ts";
import type { TileCounts } from "./work/key_runs.ts";
import type { Schedule } from "./work/schedule.ts";

/** One dispatch of a plan. */
export interface ExplainedDispatch {
  /** The kernel's label. */
  readonly kernel: string;
  /** Workgroups. */
  readonly grid: Grid;
  /** Query rows and keys of its tile; none for a merge. */
  readonly tile?: TileSize;
}

/** The work of one variant. */
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

/** Keys that several sequences read together. */
export interface SharedKeys {
  /** First key. */
  readonly from: number;
  /** One past the last key. */
  readonly end: number;
  /** Their query rows, packed, of all of them. */
  readonly rows: number;
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
  /** Run lists that the device writes, where it selects blocks, and their bytes. */
  readonly selection?: { readonly lists: number; readonly bytes: number };
  /** Bytes of scratch that the plan uses. */
  readonly scratchBytes: number;
}

/** Puts it together. */
export function explain(
  { algorithm, schedule, tiles, dispatches, scratch }: {
    readonly algorithm: Algorithm;
    readonly schedule: Schedule;
    readonly tiles: readonly TileDispatch[];
    readonly dispatches: readonly Dispatch[];
    readonly scratch: Readonly<Record<string, number>>;
  },
): AttentionExplanation {
  return {
    dispatches: dispatches.map(({ source, grid }, i) => {
      const { tile } = tiles[i];
      return { kernel: source.label, grid, ...(tile && { tile }) };
    }),
    kernels: Object.fromEntries(
      algorithm.kernels.map(({ name, profile, rows, loops, passedOver }, i) => [
        name,
        {
          profile,
          tile: { rows, keys: loops.step },
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
    ...(schedule.selection && {
      selection: {
        lists: schedule.selection.lists,
        bytes: 4 * schedule.selection.words,
      },
    }),
    scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
  };
}
