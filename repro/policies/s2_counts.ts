/**
 * What S2-Attention leaves to be done: tiles and bytes of plans, blocks that a
 * cache keeps, and what heads cover.
 *
 * @module
 */

import { s2Blocks } from "../../reference/mod.ts";
import { BlockPool, BlockTable } from "../../src/cache/mod.ts";
import { blockMask, causal } from "../../src/mods/mod.ts";
import { s2 } from "../../src/policies/mod.ts";
import { planned } from "../schedules/schedule_plans.ts";

/** Positions of a block of the pattern. */
export const BLOCK = 64;

/** Blocks of the band. */
export const LOCAL_BLOCKS = 4;

/** Heads, each with its own keys. */
export const HEADS = 4;

/** Elements of a row. */
export const HEAD_DIM = 64;

/** Tokens of a cache's block. */
const CACHE_BLOCK = 16;

/** One pattern at one length. */
export interface S2Row {
  /** One block in so many beyond the band. */
  readonly stride: number;
  /** Queries, and as many keys. */
  readonly length: number;
  /** Pairs that are kept, of those that causal attention has. */
  readonly density: number;
  /** Blocks of pairs that the pattern keeps, in all heads. */
  readonly blocks: number;
  /** Those that the plan's tiles make up. */
  readonly visited: number;
  /** Tiles of causal attention over those that are visited. */
  readonly saving: number;
  /** Bytes of causal attention over those that the plan moves. */
  readonly traffic: number;
  /** Tokens that a cache keeps of a head when so many are decoded, on average. */
  readonly kept: number;
  /** The most tokens of a head, on average, that were there on the way. */
  readonly peak: number;
}

/** Rows of the pattern in one tile of a kernel's. */
export interface MergedRow {
  /** Blocks of rows that share a tile. */
  readonly rows: number;
  /** Pairs of tiles that are visited, over those without merging. */
  readonly work: number;
  /** Tiles of keys that are loaded, over those without merging. */
  readonly loads: number;
}

/** What the heads of a layer have together. */
export interface CoverageRow {
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly stride: number;
  /** Residues of blocks that some head keeps, of all. */
  readonly fraction: number;
}

/** Blocks of pairs that the heads keep, and pairs. */
function keptOf(stride: number, length: number) {
  const count = length / BLOCK;
  const options = {
    queryHeads: HEADS,
    kvHeads: HEADS,
    block: BLOCK,
    left: LOCAL_BLOCKS,
    right: 1,
    stride,
    causal: true,
    relative: false,
    headStep: Math.max(1, Math.floor(stride / HEADS)),
    offset: 0,
    denseHeads: 0,
  };
  let blocks = 0;
  for (let kvHead = 0; kvHead < HEADS; kvHead++) {
    for (let row = 0; row < count; row++) {
      blocks += s2Blocks(options, { kvHead, row, blocks: count }).length;
    }
  }
  // Of a row's own block, half: its later keys are hidden.
  const pairs = BLOCK ** 2 * (blocks - HEADS * count) +
    HEADS * count * BLOCK * (BLOCK + 1) / 2;
  return { blocks, density: pairs / (HEADS * length * (length + 1) / 2) };
}

/** Pairs that the pattern keeps, of those that causal attention has. */
export function countDensity(stride: number, length: number): number {
  return keptOf(stride, length).density;
}

/** Decodes block by block, and gives back what heads are done with. */
function keptTokens(stride: number, lengths: readonly number[]) {
  const policy = s2({ localBlocks: LOCAL_BLOCKS, stride });
  const longest = Math.max(...lengths);
  const pool = new BlockPool({
    numBlocks: 1 + HEADS * longest / CACHE_BLOCK,
    blockSize: CACHE_BLOCK,
  });
  const tables = Array.from({ length: HEADS }, () => new BlockTable(pool));
  const perHead = (blocks: number) => blocks * CACHE_BLOCK / HEADS;
  const found = new Map<number, { kept: number; peak: number }>();
  for (let length = BLOCK; length <= longest; length += BLOCK) {
    for (const table of tables) {
      table.reserve(BLOCK);
      table.commit();
    }
    // The row of the last token is done: what the next one sees, stays.
    policy.evict(tables, { queryHeads: HEADS, from: length });
    found.set(length, {
      kept: perHead(pool.usedBlocks),
      peak: perHead(pool.peakUsedBlocks),
    });
  }
  return found;
}

/** Counts each stride at each length. */
export function countS2(
  strides: readonly number[],
  lengths: readonly number[],
): S2Row[] {
  const sizes = { heads: HEADS, headDim: HEAD_DIM };
  return strides.flatMap((stride) => {
    const tokens = keptTokens(stride, lengths);
    const [maskMod] = s2({ localBlocks: LOCAL_BLOCKS, stride })
      .maskMods({ queryHeads: HEADS });
    return lengths.map((length): S2Row => {
      const plan = (mask: typeof maskMod) =>
        planned({ ...sizes, length, maskMod: mask }, "fused", { splits: 1 })
          .explanation;
      const [sparse, dense] = [plan(maskMod), plan(causal())];
      const { tile } = sparse.kernels.forward;
      const fraction = ({ tileCounts }: typeof sparse) =>
        tileCounts.visited / tileCounts.total;
      return {
        stride,
        length,
        ...keptOf(stride, length),
        visited: sparse.tileCounts.visited * tile.rows * tile.keys / BLOCK ** 2,
        saving: fraction(dense) / fraction(sparse),
        traffic: dense.traffic.bytes / sparse.traffic.bytes,
        ...tokens.get(length)!,
      };
    });
  });
}

/** Counts tiles of several blocks of rows. */
export function countMerged(
  stride: number,
  length: number,
  rows: readonly number[],
): MergedRow[] {
  const masks = s2({ localBlocks: LOCAL_BLOCKS, stride })
    .maskMods({ queryHeads: HEADS });
  const visited = (blocks: number) =>
    blockMask(masks, {
      heads: HEADS,
      queries: length,
      keys: length,
      queryBlock: blocks * BLOCK,
      keyBlock: BLOCK,
    }).density().visited;
  const alone = visited(1);
  return rows.map((blocks) => {
    const loads = visited(blocks) / alone;
    return { rows: blocks, work: blocks * loads, loads };
  });
}

/** What heads cover together. */
export function countCoverage(
  layers: readonly Omit<CoverageRow, "fraction">[],
): CoverageRow[] {
  return layers.map((layer) => {
    const policy = s2({ localBlocks: LOCAL_BLOCKS, stride: layer.stride });
    return { ...layer, fraction: policy.coverage(layer).fraction };
  });
}
