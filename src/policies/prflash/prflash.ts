/**
 * Attention to blocks that are drawn by how far behind they lie.
 *
 * @module
 */

import { checkInteger, checkOneOf, checkRange } from "../../core/check.ts";
import { seedWords, takeIn } from "../../core/dropout.ts";
import { checkOptions } from "../../core/options.ts";
import type { AttentionPolicy } from "../../ops/mod.ts";
import { checkOwnKeys } from "../own_keys.ts";
import { CERTAIN, keepTable, type PrFlashFamily } from "./keep_probability.ts";
import { drawnMask, inverseChances } from "./mods.ts";

/**
 * Options of {@linkcode experimentalPrFlash}, which are its family's too.
 *
 * @category Policies
 */
export type PrFlashOptions = PrFlashFamily & {
  /** The least probability of keeping a block, in `[0, 1]`; 0 by default. */
  readonly floor?: number | undefined;
  /** Queries, and keys, of a block; 64 by default. */
  readonly block?: number | undefined;
  /** Which blocks are drawn: an integer in `[0, 2^64)`; 0 by default. */
  readonly seed?: number | bigint | undefined;
  /** Which of the draws of a seed, all independent; 0 by default. */
  readonly round?: number | undefined;
  /**
   * `"paper"` (default): a softmax over the blocks that are kept, biased towards
   * near ones. `"ht"`: kept scores get `-ln p` (Horvitz and Thompson 1952), so
   * that the softmax's numerator and denominator are each right in the mean.
   */
  readonly mode?: "paper" | "ht" | undefined;
};

/**
 * The policy of {@linkcode experimentalPrFlash}.
 *
 * @category Policies
 */
export interface PrFlashPolicy extends AttentionPolicy {
  /** Queries, and keys, of a block. */
  readonly block: number;
  /**
   * The probability of keeping a block that lies so many blocks behind its row
   * of blocks: exactly what is drawn by, a multiple of 2^-31.
   */
  probability(distance: number): number;
  /**
   * How many blocks a head keeps of the triangle of `rows` rows of blocks: the
   * mean over seeds, and the variance.
   */
  expectedBlocks(
    rows: number,
  ): { readonly mean: number; readonly variance: number };
}

const NAME = "experimentalPrFlash";

const KNOWN: readonly string[] = [
  ...["family", "gamma", "a", "floor"],
  ...["block", "seed", "round", "mode"],
];

const HINTS = {
  blockSize: "write block",
  pMin: "write floor",
  decay: "write gamma",
  alpha: "write a",
  exponent: "write a",
  rounds: "make a policy for each round, and merge what they give",
};

/**
 * Experimental: PrFlashAttention as far as it is known, a probability over block
 * distances that decides which blocks join a round of causal attention. The
 * paper's own distribution is not public; **the families here are this
 * library's**, and may change in any version.
 *
 * Row `I` of blocks keeps block `J <= I` with probability `p(I - J)`, where
 * `p(0) = 1` and `p` falls to `floor`; distances of 2^16 blocks and more count
 * as one less. What is drawn depends on the seed, the round, the sequence's index in the
 * batch, the kv head, `I` and `J` and nothing else, and is the same on every
 * adapter. Query heads that share keys keep the same blocks, so that a block
 * that is not kept is not read.
 *
 * The mask is causal whether the call is or not. For the mean of several rounds
 * give each a `round` of its own, and their outputs and log-sum-exps to
 * `mergeAttention`: it adds up the numerators and the denominators of all, so
 * that the log-sum-exp is too large by `ln(rounds)`. In mode `"ht"` the error
 * falls with the square root of the number of rounds.
 *
 * @throws {TypeError} for another option or type, and a number of the other
 * family
 * @throws {RangeError} for a number out of range, and for mode `"ht"` where some
 * block has no chance at all: with a `floor` of 0 that `p` comes down to
 *
 * @example Near blocks, and ever fewer of those further behind
 * ```ts
 * import { attentionProblem } from "@quire/attention";
 * import { drawMask } from "@quire/attention/mods";
 * import { experimentalPrFlash } from "@quire/attention/policies";
 *
 * const select = experimentalPrFlash({
 *   family: "power",
 *   a: 1,
 *   floor: 1 / 8,
 *   block: 16,
 *   seed: 7,
 * });
 * const tensor = { dtype: "f32", shape: [1, 128, 1, 8] } as const;
 * const problem = attentionProblem({
 *   query: tensor,
 *   key: tensor,
 *   value: tensor,
 *   select,
 * });
 * console.log(drawMask(problem, { tileQueries: 16, tileKeys: 16 }).text);
 * console.log(select.expectedBlocks(8).mean); // of 36
 * ```
 *
 * @category Policies
 */
export function experimentalPrFlash(options: PrFlashOptions): PrFlashPolicy {
  checkOptions("experimentalPrFlash()", options, {
    known: KNOWN,
    hints: HINTS,
  });
  const { floor = 0, block = 64, seed = 0, round = 0, mode = "paper" } =
    options;
  checkInteger("block", block, 1, 2 ** 31 - 1);
  checkInteger("round", round, 0, 2 ** 31 - 1);
  checkOneOf("mode", mode, ["paper", "ht"]);
  const { seedLow, seedHigh } = seedWords("seed", seed);
  const table = keepTable({ ...options, floor });
  checkRange(
    mode === "paper" || table[table.length - 1] > 0,
    "floor",
    'must be > 0 (2^-31 at least) in mode "ht", which divides by the probability',
    floor,
  );
  const probability = (distance: number) => {
    checkInteger("distance", distance, 0);
    return table[Math.min(distance, table.length - 1)] / CERTAIN;
  };
  const state = takeIn([seedLow, seedHigh], round);
  const drawn = { table, block };
  return {
    name: NAME,
    block,
    probability,
    expectedBlocks: (rows) => expectedBlocks(rows, probability),
    select: (shape) => {
      // A row's own block is kept whatever is drawn.
      checkOwnKeys(NAME, shape.sequences, (position) => ({
        start: Math.floor(position / block) * block,
        part: `block of ${block}`,
      }));
      const group = shape.queryHeads / shape.kvHeads;
      return {
        maskMods: [drawnMask(drawn, { state, group })],
        scoreMods: mode === "ht" ? [inverseChances(drawn)] : [],
        causal: true,
      };
    },
  };
}

/** Kept blocks of a triangle, of each distance one less than of the one before. */
function expectedBlocks(
  rows: number,
  probability: (distance: number) => number,
): { mean: number; variance: number } {
  checkInteger("rows", rows, 0);
  let [mean, variance] = [0, 0];
  for (let distance = 0; distance < rows; distance++) {
    const p = probability(distance);
    mean += (rows - distance) * p;
    variance += (rows - distance) * p * (1 - p);
  }
  return { mean, variance };
}
