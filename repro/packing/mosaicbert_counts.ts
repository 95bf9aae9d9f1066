/**
 * A padded batch of texts and a packed one: what they cost, counted.
 *
 * @module
 */

import { attentionProblem, Packing } from "../../src/ops/mod.ts";
import { sum } from "../experiment.ts";
import { plannedProblem } from "../schedules/schedule_plans.ts";
import { lengthTrace } from "../trace.ts";

/** Texts of a batch. */
export const BATCH = 64;

/** Heads and their elements: those of BERT-Base. */
export const HEADS = { heads: 12, headDim: 64 } as const;

/** Where texts are cut off. */
export const LENGTHS: readonly number[] = [64, 128, 256, 512, 1024, 2048];

/** C4's 156 billion tokens over its 365 million documents. */
export const MEAN = 427;

/** One place to cut texts off at. */
export interface PaddingRow {
  /** Where texts are cut off. */
  readonly cutOff: number;
  /** Rows of each text in the padded batch: the longest text's. */
  readonly longest: number;
  /** Tokens of all texts. */
  readonly tokens: number;
  /** Rows of the padded batch over tokens. */
  readonly linear: number;
  /** `batch * longest^2` over the sum of the squared lengths. */
  readonly squares: number;
  /** Pairs of query and key that the problems have, padded over packed. */
  readonly pairs: number;
  /** Tiles that the plans visit, padded over packed. */
  readonly tiles: number;
}

/** Lengths of texts, drawn from a seed. */
export function textLengths(cutOff: number, count: number): number[] {
  const trace = lengthTrace({
    seed: 15,
    requests: count,
    promptMean: MEAN,
    outputMean: 1,
    maxLength: 2 * cutOff,
  });
  return trace.map(({ prompt }) => prompt);
}

/** The problem of a batch, packed, or padded without a word of it. */
export function batchProblem(packing: Packing, padded: boolean) {
  const { heads, headDim } = HEADS;
  const tensor = {
    dtype: "f32",
    shape: padded
      ? packing.paddedShape([heads, headDim])
      : [packing.tokens, heads, headDim],
  } as const;
  return attentionProblem({
    query: tensor,
    key: tensor,
    value: tensor,
    alibi: true,
    ...(padded ? {} : { cuSeqlens: packing.cuSeqlens }),
  });
}

/** Counts of problem and plan. */
function workOf(packing: Packing, padded: boolean) {
  const problem = batchProblem(packing, padded);
  const parts = plannedProblem(problem, "fused", { splits: 1 });
  return {
    pairs: sum(
      problem.sequences.map(({ queryCount, keyCount }) =>
        queryCount * keyCount
      ),
    ),
    tiles: parts.explanation.tileCounts.visited,
  };
}

/** Counts a batch of texts that are cut off at a length. */
export function countPadding(cutOff: number): PaddingRow {
  const lengths = textLengths(cutOff, BATCH);
  const longest = Math.max(...lengths);
  const packing = new Packing({ lengths, length: longest });
  const [padded, packed] = [true, false].map((is) => workOf(packing, is));
  return {
    cutOff,
    longest,
    tokens: packing.tokens,
    linear: BATCH * longest / packing.tokens,
    squares: BATCH * longest ** 2 / sum(lengths.map((length) => length ** 2)),
    pairs: padded.pairs / packed.pairs,
    tiles: padded.tiles / packed.tiles,
  };
}
