/**
 * Masks in blocks: of any mask mods, of patterns, of lists.
 *
 * @module
 */

export {
  type BlockDensity,
  BlockMask,
  type BlockMaskParts,
  type MaskLists,
} from "./block_mask.ts";
export type { DrawBlocksOptions } from "./draw.ts";
export type { BlockGeometry, BlockGrid, RowsBy } from "./geometry.ts";
export type { BlockLists, GivenLists } from "./lists.ts";
export type { Meaning } from "./meaning.ts";
export {
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  type BlockPattern,
  type ListedBlocks,
} from "./make.ts";
export { throughTable, type ThroughTableOptions } from "./through_table.ts";
