/**
 * The dispatch that narrows a kernel's runs to the blocks that the device
 * selects, and what the kernel then needs to know.
 *
 * @module
 */

import { runsKernelOf } from "../../block_mask/made.ts";
import type { AttentionProblem } from "../problem.ts";
import type { Schedule } from "../work/schedule.ts";
import type { TileDispatch, TileSize } from "./algorithm.ts";

/** What precedes a kernel, and its uniforms. */
export interface KernelSelection {
  /** The dispatch before it; none where nothing is selected. */
  readonly dispatches: readonly TileDispatch[];
  /** Uniforms of the kernel. */
  readonly uniforms: Readonly<Record<string, number>>;
}

/** The selection of a schedule's kernel. */
export function selectionOf(
  { kvHeads, selection: mask }: AttentionProblem,
  { selection, kernels, runsPerHead }: Schedule,
  index: number,
  { rows, keys }: TileSize,
): KernelSelection {
  if (!selection || !mask) return { dispatches: [], uniforms: {} };
  const { tilesAt, tileCount, workers } = kernels[index];
  const perHead = selection.perHead && !workers;
  const selected = perHead ? 1 : 0;
  return {
    dispatches: [{
      source: runsKernelOf(mask),
      tile: undefined,
      tilesAt,
      groups: tileCount,
      heads: perHead ? kvHeads : 1,
      uniforms: {
        selected_per_head: selected,
        runs_per_head: runsPerHead && !workers ? 1 : 0,
        tile_rows: rows,
        step: keys,
      },
    }],
    uniforms: { selected_per_head: selected },
  };
}

/** Bytes of scratch for the lists of a schedule. */
export function selectionScratch(
  { selection }: Schedule,
): Record<string, number> {
  return selection ? { selection: 4 * Math.max(1, selection.words) } : {};
}
