/**
 * Block masks as pictures.
 *
 * @module
 */

import { checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type MaskPicture, pictureOf } from "../drawing/draw_mask.ts";
import { bindRows } from "../rows.ts";
import type { TileKind } from "../drawing/tile_grid.ts";
import type { MaskMod } from "../trace.ts";
import type { BlockGrid } from "./geometry.ts";

/**
 * Which part of a block mask is drawn.
 *
 * @category Blocks
 */
export interface DrawBlocksOptions {
  /** Index in the batch; 0 by default. */
  readonly batch?: number;
  /** Head of the mask; 0 by default. */
  readonly head?: number;
  /** What the picture is called; by default the mask's name. */
  readonly title?: string;
}

/** What is drawn. */
export interface DrawnBlocks {
  /** For people. */
  readonly name: string;
  /** What the mask covers. */
  readonly grid: BlockGrid;
  /** What is known of each block. */
  readonly levels: Uint8Array;
  /** The pairs that are seen. */
  maskMod(): MaskMod;
}

const KINDS: readonly TileKind[] = ["empty", "mixed", "full"];

/** Blocks along a side of a picture, at most. */
const LIMIT = 4096;

/** Draws the blocks of one sequence and head. */
export function drawBlocks(
  mask: DrawnBlocks,
  options: DrawBlocksOptions,
): MaskPicture {
  checkOptions("draw()", options, { known: ["batch", "head", "title"] });
  const { batch = 0, head = 0, title = mask.name } = options;
  const { grid, levels } = mask;
  const { queryBlocks, keyBlocks, queryOffset } = grid;
  checkInteger("batch", batch, 0, grid.batch - 1);
  checkInteger("head", head, 0, grid.heads - 1);
  checkRange(
    Math.max(queryBlocks, keyBlocks) <= LIMIT,
    "block mask",
    `must have at most ${LIMIT} blocks a side to be drawn`,
    [queryBlocks, keyBlocks],
  );
  const first = (batch * grid.heads + head) * queryBlocks * keyBlocks;
  const tiles = Array.from({ length: queryBlocks }, (_, q) =>
    Array.from(
      levels.subarray(
        first + q * keyBlocks,
        first + (q + 1) * keyBlocks,
      ),
      (level) => KINDS[level],
    ));
  return pictureOf({
    masks: bindRows([mask.maskMod()], [queryOffset]),
    grid: {
      batch,
      head,
      queries: grid.queries,
      keys: grid.keys,
      queryOffset,
      tileQueries: grid.queryBlock,
      tileKeys: grid.keyBlock,
    },
    tiles,
    title,
  });
}
