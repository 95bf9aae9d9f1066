/**
 * The dispatch that turns scores of blocks into a block mask's bits.
 *
 * @module
 */

import { bitWords } from "../../../kernels/fragments/selection.ts";
import {
  SELECT_BLOCKS_LANES,
  selectBlocksKernel,
} from "../../../kernels/selection/select_blocks.ts";
import {
  topBlocksKernel,
  topBlocksLoops,
} from "../../../kernels/selection/top_blocks.ts";
import { UnsupportedError } from "../../core/errors.ts";
import type { Dispatch, Gpu } from "../../gpu/mod.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import { blockRows } from "../../mods/block_mask/geometry.ts";
import type { BlockGrid } from "../../mods/mod.ts";

/** How blocks are selected: checked, with defaults. */
export interface BlockSelection {
  readonly threshold: number;
  readonly topK: number | undefined;
  readonly dtype: "f32" | "f16" | "u32";
}

/**
 * The dispatch that selects; it reads `scores` and writes `blocks`.
 *
 * @throws {UnsupportedError} if rows are longer than the adapter's loops may be
 */
export function selectionDispatch(
  gpu: Gpu,
  grid: BlockGrid,
  { threshold, topK, dtype }: BlockSelection,
): Dispatch {
  const words = bitWords(grid.keyBlocks);
  const rows = blockRows(grid);
  const total = rows * words;
  const top = topK !== undefined && dtype !== "u32";
  if (top) {
    const loops = topBlocksLoops(grid.keyBlocks);
    if (loops > gpu.maxLoopIterations) {
      throw new UnsupportedError(
        `select the highest of ${grid.keyBlocks} blocks`,
        `its loops take up to ${loops} iterations, and this adapter ends them after ${gpu.maxLoopIterations}; use larger blocks`,
      );
    }
  }
  const groups = top ? rows : Math.ceil(total / SELECT_BLOCKS_LANES);
  const [x, y, z] = foldGrid(groups, gpu.limits);
  return {
    source: top ? topBlocksKernel({ dtype }) : selectBlocksKernel({ dtype }),
    uniforms: {
      rows,
      words: total,
      row_words: words,
      row_blocks: grid.keyBlocks,
      grid_width: x,
      threshold,
      count: Math.min(topK ?? 0, grid.keyBlocks),
    },
    grid: [x, y * z, 1],
  };
}
