/**
 * The dispatch that narrows a kernel's runs to the blocks that the device
 * selects, and what the kernel then needs to know.
 *
 * @module
 */

import type { ProgramCopy } from "../../../gpu/mod.ts";
import { runsKernelOf } from "../../block_mask/made.ts";
import type { AttentionProblem } from "../problem.ts";
import type { Schedule } from "../work/schedule.ts";
import { maskWords } from "../work/selection.ts";
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
  const { along } = selection;
  return {
    dispatches: [{
      source: runsKernelOf(mask)({ along }),
      tile: undefined,
      tilesAt,
      groups: tileCount,
      heads: perHead ? kvHeads : 1,
      uniforms: {
        selected_per_head: selected,
        runs_per_head: runsPerHead && !workers ? 1 : 0,
        tile_rows: along === "key" ? rows : keys,
        step: along === "key" ? keys : rows,
      },
    }],
    uniforms: {
      selected_per_head: selected,
      selected_bits_at: selection.words,
    },
  };
}

/** The scratch of a schedule's lists and bits. */
export interface SelectionScratch {
  /** Bytes. */
  readonly scratch: Readonly<Record<string, number>>;
  /** How the bits get there. */
  readonly copies: readonly ProgramCopy[];
}

/** What a schedule's selection takes, by a name among the program's. */
export function selectionScratch(
  { selection: mask }: AttentionProblem,
  { selection }: Schedule,
  name = "selection",
): SelectionScratch {
  if (!mask || !selection) return { scratch: {}, copies: [] };
  const at = 4 * selection.words;
  return {
    // Tensors are copied in whole vec4s.
    scratch: { [name]: at + 16 * Math.ceil(maskWords(mask.grid) / 4) + 16 },
    copies: [{ from: "blocks", to: name, at }],
  };
}
