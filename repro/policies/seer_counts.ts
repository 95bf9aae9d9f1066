/**
 * What a Seer gate keeps of planted sparse maps, counted: how dense, how much of
 * the softmax, and what attention then costs.
 *
 * @module
 */

import {
  type SeerProblem,
  seerScores,
  seerSelect,
} from "../../reference/policies/seer.ts";
import { Prng } from "../../src/core/prng.ts";
import { blockMaskFromPattern } from "../../src/mods/mod.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { keptOf } from "../../src/policies/seer/gate_rows.ts";
import { mean, sum } from "../experiment.ts";
import { plannedProblem } from "../schedules/schedule_plans.ts";

/** Tokens of a block. */
export const BLOCK = 64;
/** Elements of a row, and of a gate's row. */
export const DIM = 64;
/** Blocks that a block of queries looks at, besides its own. */
const PLANTED = 4;
/** By how much their scores stand out. */
const STRENGTH = 12;
/** Queries that are looked at, from as many blocks. */
const SAMPLES = 16;

/** One head whose queries look at a few blocks each. */
export interface PlantedHead {
  readonly problem: SeerProblem;
  /** `[keys, DIM]`. */
  readonly value: Float64Array;
  /** Blocks planted for each block of queries. */
  readonly planted: readonly (readonly number[])[];
}

/** Normal numbers with a sum of squares of about 1. */
function code(random: Prng): Float64Array {
  return Float64Array.from(
    { length: DIM },
    () => random.normal() / Math.sqrt(DIM),
  );
}

/**
 * Keys of a block have a direction in common, and queries have those of a few
 * blocks before them, so that scores of these pairs are about `STRENGTH`. The
 * gate's weights take the mean of a block as it is, which is what distillation
 * has to find for such a head.
 */
export function plantedHead(length: number, seed: number): PlantedHead {
  const random = new Prng(seed);
  const blocks = length / BLOCK;
  const codes = Array.from({ length: blocks }, () => code(random));
  const query = new Float64Array(length * DIM);
  const key = new Float64Array(length * DIM);
  // Of what the scale, 1 / sqrt(DIM), leaves.
  const size = Math.sqrt(STRENGTH * Math.sqrt(DIM));
  const planted = codes.map((_, row) => {
    const own = new Set<number>();
    while (own.size < Math.min(PLANTED, row)) own.add(random.below(row));
    return [...own];
  });
  for (let token = 0; token < length; token++) {
    const row = Math.floor(token / BLOCK);
    for (let e = 0; e < DIM; e++) {
      const looked = sum(planted[row].map((block) => codes[block][e]));
      query[token * DIM + e] = size * looked + 0.5 * random.normal();
      key[token * DIM + e] = size * codes[row][e] + 0.5 * random.normal();
    }
  }
  const weight = new Float64Array(3 * DIM * DIM);
  for (let e = 0; e < DIM; e++) weight[(2 * DIM + e) * DIM + e] = 1;
  return {
    planted,
    value: Float64Array.from({ length: length * DIM }, () => random.normal()),
    problem: {
      query,
      key,
      queries: length,
      keys: length,
      queryHeads: 1,
      kvHeads: 1,
      headDim: DIM,
      gateDim: DIM,
      weights: { key: weight },
      block: BLOCK,
      queryBlock: BLOCK,
      queryOffset: 0,
      causal: true,
    },
  };
}

/** A row's kept part of attention, and how far its output is. */
interface RowLoss {
  readonly mass: number;
  /** Over the bound, `2 (1 - mass) max |v|`; 0 where nothing is left out. */
  readonly error: number;
}

/** Attention of one query to all keys before it, and to those of some blocks. */
function lossOf(
  { problem: { query, key }, value }: PlantedHead,
  token: number,
  keeps: (block: number) => boolean,
): RowLoss {
  const scores = Array.from({ length: token + 1 }, (_, k) => {
    let dot = 0;
    for (let e = 0; e < DIM; e++) {
      dot += query[token * DIM + e] * key[k * DIM + e];
    }
    return dot / Math.sqrt(DIM);
  });
  const most = scores.reduce((most, score) => Math.max(most, score));
  const weights = scores.map((score) => Math.exp(score - most));
  const kept = weights.map((w, k) => keeps(Math.floor(k / BLOCK)) ? w : 0);
  const [all, own] = [sum(weights), sum(kept)];
  const mass = own / all;
  let [distance, largest] = [0, 0];
  for (let e = 0; e < DIM; e++) {
    let [dense, sparse] = [0, 0];
    for (let k = 0; k <= token; k++) {
      const v = value[k * DIM + e];
      dense += weights[k] * v;
      sparse += kept[k] * v;
      largest = Math.max(largest, Math.abs(v));
    }
    distance = Math.max(distance, Math.abs(dense / all - sparse / own));
  }
  const bound = 2 * (1 - mass) * largest;
  return { mass, error: bound === 0 ? 0 : distance / bound };
}

/** What a gate keeps of a head. */
export interface SeerRow {
  readonly length: number;
  /** What it was asked for, of the causal triangle's blocks. */
  readonly asked: number;
  /** Blocks of a row that it chooses. */
  readonly topK: number;
  /** What it chose. */
  readonly chosen: number;
  /** With what is kept in any case: blocks of a row's own, and of the last two. */
  readonly kept: number;
  /** Of the planted blocks, those that are kept. */
  readonly recall: number;
  /** The part of the softmax that is kept, in the mean over sampled queries. */
  readonly mass: number;
  /** The same that as many blocks by chance would keep, in the mean. */
  readonly byChance: number;
  /** The largest error over its bound. */
  readonly error: number;
  /** Tiles visited, of those of causal attention. */
  readonly visited: number;
  /** Operations of causal attention over those of gate and sparse attention. */
  readonly speedup: number;
}

/** Operations of the gate's products, and of its pooling. */
function gateOperations(length: number): number {
  const blocks = length / BLOCK;
  const pooling = 4 * length * DIM;
  const projection = 2 * blocks * 3 * DIM * DIM;
  return pooling + projection + 2 * blocks ** 2 * DIM;
}

/** Counts what a gate keeps of one head, at some densities. */
export function countSeer(
  length: number,
  densities: readonly number[],
): SeerRow[] {
  const head = plantedHead(length, length);
  const { problem } = head;
  const blocks = length / BLOCK;
  const triangle = blocks * (blocks + 1) / 2;
  const scores = seerScores(problem);
  const dense = plannedTiles(length);
  const random = new Prng(1);
  const step = Math.ceil(blocks / SAMPLES);
  return densities.map((asked): SeerRow => {
    const topK = keptOf({ density: asked }, blocks)!;
    const { kept, counts } = seerSelect(scores, problem, {
      topK,
      denseRows: 2,
    });
    const sparse = plannedTiles(length, kept);
    const sampled: RowLoss[] = [];
    const chances: number[] = [];
    // The last two rows are dense, and say nothing of the gate.
    for (let row = step - 1; row < blocks - 2; row += step) {
      const token = row * BLOCK + random.below(BLOCK);
      sampled.push(
        lossOf(head, token, (block) => kept[row * blocks + block] === 1),
      );
      // Besides its own block, each of those before with the same chance.
      const own = lossOf(head, token, (block) => block === row).mass;
      const others = sum([...kept.subarray(row * blocks, row * blocks + row)]);
      chances.push(own + others / row * (1 - own));
    }
    const found = head.planted.flatMap((own, row) =>
      own.map((block) => kept[row * blocks + block])
    );
    const keptBlocks = kept.reduce((sum, bit) => sum + bit, 0);
    return {
      length,
      asked,
      topK,
      chosen: counts.reduce((sum, count) => sum + count, 0) / triangle,
      kept: keptBlocks / triangle,
      recall: mean(found),
      mass: mean(sampled.map(({ mass }) => mass)),
      byChance: mean(chances),
      error: Math.max(...sampled.map(({ error }) => error)),
      visited: sparse.tiles / dense.tiles,
      speedup: dense.products /
        (sparse.products + gateOperations(length)),
    };
  });
}

/** What a plan visits: of all blocks of the causal triangle, or of some. */
function plannedTiles(length: number, kept?: Uint8Array): {
  readonly tiles: number;
  readonly products: number;
} {
  const tensor = { dtype: "f32", shape: [1, length, 1, DIM] } as const;
  const { explanation: { tileCounts, traffic } } = plannedProblem(
    attentionProblem({
      query: tensor,
      key: tensor,
      value: tensor,
      causal: true,
      ...(kept && {
        blockMask: blockMaskFromPattern(kept, {
          queries: length,
          keys: length,
          queryBlock: BLOCK,
        }),
      }),
    }),
    "fused",
    { splits: 1 },
  );
  return { tiles: tileCounts.visited, products: traffic.flops.matmul };
}
