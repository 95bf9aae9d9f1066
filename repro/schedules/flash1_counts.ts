/**
 * Counts for FlashAttention-1's table and block sizes.
 *
 * @module
 */

import {
  addCosts,
  backwardTileElements,
  flash1BackwardCost,
  flash1Cost,
  flash2BackwardCost,
  flash2Cost,
  planTiles,
  type ScheduleCost,
  standardBackwardCost,
  standardCost,
  totalTraffic,
} from "../../src/planning/mod.ts";
import { type AlgorithmName, planned } from "./schedule_plans.ts";

/** GPT-2 medium, as in the paper's table, one sequence of its 64. */
export const GPT2 = { queries: 1024, keys: 1024, queryHeads: 16, headDim: 64 };
/** Rows and keys of a tile that are tried: powers of two. */
const SIDES: readonly number[] = [8, 16, 32, 64, 128, 256];

/** Long enough that terms linear in it are lost beside its square. */
export const LONG = { queries: 8192, keys: 8192, headDim: 64 };
/** KiB: WebGPU's default, what most adapters allow, and up to an A100's 164. */
export const MEMORIES: readonly number[] = [16, 32, 64, 100, 164];
export const BLOCK_SIZES: readonly number[] = [16, 32, 64, 128, 256, 512];

/** Forward and backward on one size of fast memory. */
export interface MemoryRow {
  /** Of fast memory. */
  readonly kib: number;
  /** FlashAttention-1's tile by its own rule: Bc = M / 4d, Br = min(Bc, d). */
  readonly tile: { readonly rows: number; readonly keys: number };
  /** FlashAttention-2's row tile, the largest that fits. */
  readonly rows2: number;
  /** Standard's elements over FlashAttention-1's: forward. */
  readonly forward: number;
  /** The same of forward and backward. */
  readonly both: number;
  /** Standard's over FlashAttention-2's: forward. */
  readonly forward2: number;
  /** The same of forward and backward. */
  readonly both2: number;
}

/** One block size. */
export interface BlockSizeRow {
  /** Bc. */
  readonly keys: number;
  /** Elements that FlashAttention-1's forward moves. */
  readonly elements: number;
  /** Standard's elements over these. */
  readonly ratio: number;
}

/** What is counted. */
export interface Flash1Data {
  /** By fast memory. */
  readonly memories: readonly MemoryRow[];
  /** By block size, of 8192 tokens. */
  readonly blockSizes: readonly BlockSizeRow[];
  /** Bytes of forward plans at 16 KiB, as the kernels here go. */
  readonly plans: Readonly<Record<AlgorithmName, number>>;
  /** Products of forward and backward over standard's. */
  readonly flops: { readonly fa1: number; readonly fa2: number };
}

const STANDARD = addCosts(standardCost(GPT2), standardBackwardCost(GPT2));

function ratio(standard: ScheduleCost, other: ScheduleCost): number {
  return totalTraffic(standard.traffic) / totalTraffic(other.traffic);
}

/** FlashAttention-2's backward on the tile that moves least. */
function backward2(elements: number): ScheduleCost {
  const costs = SIDES.flatMap((rows) => SIDES.map((keys) => ({ rows, keys })))
    .filter((tile) => backwardTileElements(GPT2, tile) <= elements)
    .map((tile) => flash2BackwardCost(GPT2, tile));
  return costs.reduce((best, cost) =>
    totalTraffic(cost.traffic) < totalTraffic(best.traffic) ? cost : best
  );
}

function memoryRow(kib: number): MemoryRow {
  const { headDim } = GPT2;
  const elements = kib * 1024 / 4;
  const keys = Math.ceil(elements / (4 * headDim));
  const tile = { rows: Math.min(keys, headDim), keys };
  const { tile: tile2 } = planTiles(GPT2, {
    workgroupBytes: 1024 * kib,
    schedules: ["fa2"],
  });
  const forward = flash1Cost(GPT2, tile);
  const forward2 = flash2Cost(GPT2, tile2);
  return {
    kib,
    tile,
    rows2: tile2.rows,
    forward: ratio(standardCost(GPT2), forward),
    both: ratio(STANDARD, addCosts(forward, flash1BackwardCost(GPT2, tile))),
    forward2: ratio(standardCost(GPT2), forward2),
    both2: ratio(STANDARD, addCosts(forward2, backward2(elements))),
  };
}

function blockSizeRow(keys: number): BlockSizeRow {
  const cost = flash1Cost(LONG, { rows: LONG.headDim, keys });
  return {
    keys,
    elements: totalTraffic(cost.traffic),
    ratio: ratio(standardCost(LONG), cost),
  };
}

function planBytes(algorithm: AlgorithmName): number {
  const { queries: length, queryHeads: heads, headDim } = GPT2;
  const problem = { heads, length, headDim };
  return planned(problem, algorithm, { splits: 1 }).explanation.traffic.bytes;
}

/** Counts. */
export function countFlash1(): Flash1Data {
  const tile = { rows: 64, keys: 64 };
  const products = (forward: ScheduleCost, backward: ScheduleCost) =>
    addCosts(forward, backward).flops.matmul / STANDARD.flops.matmul;
  return {
    memories: MEMORIES.map(memoryRow),
    blockSizes: BLOCK_SIZES.map(blockSizeRow),
    plans: {
      standard: planBytes("standard"),
      fa1: planBytes("fa1"),
      fused: planBytes("fused"),
    },
    flops: {
      fa1: products(flash1Cost(GPT2, tile), flash1BackwardCost(GPT2, tile)),
      fa2: products(flash2Cost(GPT2, tile), flash2BackwardCost(GPT2, tile)),
    },
  };
}
