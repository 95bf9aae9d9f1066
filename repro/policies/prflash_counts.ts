/**
 * What is counted of blocks that are drawn by their distance: how many, how far
 * off attention over them is, and how evenly they lie.
 *
 * @module
 */

import { causal, maskFunction, scoreFunction } from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { TriangleFold } from "../../src/planning/mod.ts";
import {
  experimentalPrFlash,
  type PrFlashFamily,
  type PrFlashOptions,
} from "../../src/policies/mod.ts";
import { fittedExponent } from "../fit.ts";
import { plannedProblem } from "../schedules/schedule_plans.ts";

/** Families, and the least chance of any block. */
export const FAMILIES: readonly (PrFlashFamily & { readonly floor: number })[] =
  [
    { family: "geometric", gamma: 0.9, floor: 1 / 16 },
    { family: "geometric", gamma: 0.5, floor: 1 / 16 },
    { family: "power", a: 0.5, floor: 1 / 16 },
    { family: "power", a: 1, floor: 1 / 16 },
  ];

const BLOCK = 64;
const HEADS = 4;
const DRAWS = 2;

/** A family as people write it. */
export function nameOf(options: PrFlashFamily): string {
  return options.family === "geometric"
    ? `${options.gamma}^d`
    : `(1 + d)^-${options.a}`;
}

/** Blocks that a plan visits. */
export interface KeptRow {
  readonly family: string;
  /** Keys. */
  readonly length: number;
  /** Of all blocks of the triangle: what is to be expected. */
  readonly expected: number;
  /** What was drawn: mean of all heads and seeds. */
  readonly kept: number;
  /** How many standard deviations that is off. */
  readonly deviations: number;
  /** Tiles that plans visit, of those of plain causal attention. */
  readonly visited: number;
}

/** Tiles below the diagonal blocks, which a draw decides: all visited alike. */
function visitedTiles(length: number, options?: PrFlashOptions): number {
  const tensor = { dtype: "f32", shape: [1, length, HEADS, 64] } as const;
  const problem = attentionProblem({
    query: tensor,
    key: tensor,
    value: tensor,
    ...(options
      ? { select: experimentalPrFlash(options) }
      // Counted by head, as what is drawn is.
      : { maskMod: causal() }),
  });
  const { explanation } = plannedProblem(problem, "fused", { splits: 1 });
  return explanation.tileCounts.visited * (options ? 1 : HEADS);
}

/** Counts blocks of several lengths. */
export function countKept(lengths: readonly number[]): KeptRow[] {
  return FAMILIES.flatMap((family) =>
    lengths.map((length): KeptRow => {
      const rows = length / BLOCK;
      const { expectedBlocks } = experimentalPrFlash(family);
      const { mean, variance } = expectedBlocks(rows);
      const blocks = rows * (rows + 1) / 2;
      let kept = 0;
      let visited = 0;
      for (let seed = 0; seed < DRAWS; seed++) {
        const options = { ...family, seed, block: BLOCK };
        for (let head = 0; head < HEADS; head++) {
          kept += drawnOf(options, rows, head).reduce((a, b) => a + b, 0);
        }
        visited += visitedTiles(length, options);
      }
      const draws = DRAWS * HEADS;
      return {
        family: nameOf(family),
        length,
        expected: mean / blocks,
        kept: kept / draws / blocks,
        deviations: (kept - draws * mean) / Math.sqrt(draws * variance),
        visited: visited / (DRAWS * visitedTiles(length)),
      };
    })
  );
}

/** Blocks of each row that a head keeps. */
export function drawnOf(
  options: PrFlashOptions,
  rows: number,
  head = 0,
): number[] {
  const sees = maskFunction(
    experimentalPrFlash({ ...options, block: 1 }).select({
      dtype: "f32",
      queryHeads: HEADS,
      kvHeads: HEADS,
      headDim: 1,
      valueHeadDim: 1,
      scale: 1,
      sequences: [],
    }).maskMods!,
  );
  return Array.from({ length: rows }, (_, row) => {
    let kept = 0;
    for (let column = 0; column <= row; column++) {
      kept += Number(sees(0, head, row, column));
    }
    return kept;
  });
}

/** Errors of one mode. */
export interface RoundsRow {
  readonly mode: "paper" | "ht";
  readonly rounds: number;
  /** Root mean square, over that of the outputs of dense attention. */
  readonly error: number;
}

/** What rounds give. */
export interface RoundsData {
  readonly rows: readonly RoundsRow[];
  /** Exponents of error by rounds. */
  readonly slope: Readonly<Record<"paper" | "ht", number>>;
}

/** Rounds: the most. */
const MOST_ROUNDS = 64;

/** Errors of sums over 1 to 64 rounds, of some queries and seeds. */
export function countRounds(
  { seeds, blocks = 24, dim = 8 }: {
    readonly seeds: number;
    readonly blocks?: number;
    readonly dim?: number;
  },
): RoundsData {
  const random = new Prng(2);
  const [rows, keys] = [[blocks - 3, blocks - 2, blocks - 1], 4];
  // Of each block of keys the sums that a softmax divides, by row.
  const sums = rows.map((row) =>
    Array.from({ length: row + 1 }, () => {
      const part = new Float64Array(dim + 1);
      for (let key = 0; key < keys; key++) {
        const weight = Math.exp(random.normal());
        part[dim] += weight;
        for (let c = 0; c < dim; c++) part[c] += weight * random.normal();
      }
      return part;
    })
  );
  const outputOf = (of: readonly Float64Array[]) => {
    const total = new Float64Array(dim + 1);
    for (const part of of) part.forEach((value, c) => total[c] += value);
    return total.subarray(0, dim).map((value) => value / total[dim]);
  };
  const modes = ["paper", "ht"] as const;
  const found = modes.flatMap((mode): RoundsRow[] => {
    const squares = new Map<number, number>();
    let norm = 0;
    for (let seed = 0; seed < seeds; seed++) {
      rows.forEach((row, r) => {
        const dense = outputOf(sums[r]);
        norm += dense.reduce((sum, value) => sum + value * value, 0);
        const drawn: Float64Array[] = [];
        for (let round = 0; round < MOST_ROUNDS; round++) {
          drawn.push(...weighted(sums[r], { mode, seed, round, row }));
          const rounds = round + 1;
          if (!Number.isInteger(Math.log2(rounds))) continue;
          const output = outputOf(drawn);
          const square = output.reduce(
            (sum, value, c) => sum + (value - dense[c]) ** 2,
            0,
          );
          squares.set(rounds, (squares.get(rounds) ?? 0) + square);
        }
      });
    }
    return [...squares].map(([rounds, square]) => ({
      mode,
      rounds,
      error: Math.sqrt(square / norm),
    }));
  });
  const slopeOf = (of: string) =>
    fittedExponent(
      found.filter(({ mode }) => mode === of)
        .map(({ rounds, error }) => [rounds, error]),
    );
  return {
    rows: found,
    slope: { paper: slopeOf("paper"), ht: slopeOf("ht") },
  };
}

/** The family whose rounds are counted. */
export const ROUNDS_FAMILY = FAMILIES[3];

/** A row's sums over the blocks that a round keeps, weighted as the mode has it. */
function weighted(
  sums: readonly Float64Array[],
  { mode, seed, round, row }: {
    readonly mode: "paper" | "ht";
    readonly seed: number;
    readonly round: number;
    readonly row: number;
  },
): Float64Array[] {
  const policy = experimentalPrFlash({
    ...ROUNDS_FAMILY,
    block: 1,
    mode,
    seed,
    round,
  });
  const { maskMods = [], scoreMods = [] } = policy.select({
    dtype: "f32",
    queryHeads: 1,
    kvHeads: 1,
    headDim: 1,
    valueHeadDim: 1,
    scale: 1,
    sequences: [],
  });
  const [sees, score] = [maskFunction(maskMods), scoreFunction(scoreMods)];
  return sums.flatMap((part, column) => {
    if (!sees(0, 0, row, column)) return [];
    const weight = Math.exp(score(0, 0, 0, row, column));
    return [part.map((value) => value * weight)];
  });
}

/** Blocks of the busiest of some workers, over the mean. */
export interface LoadRow {
  readonly family: string;
  readonly rows: number;
  readonly workers: number;
  /** Each worker as many rows, one after the other. */
  readonly contiguous: number;
  /** Each worker every so many rows one. */
  readonly turns: number;
  /** Each worker as many pairs of the fold. */
  readonly folded: number;
}

/** Loads of a triangle, whole and drawn: the mean over seeds. */
export function countLoads(rows: number, workers: number): LoadRow[] {
  const fold = new TriangleFold(rows);
  const pairOf = Array.from(
    { length: rows },
    (_, row) => fold.place({ row, column: 0 }).pair,
  );
  const busiest = (loads: readonly number[], of: (row: number) => number) => {
    const own = new Array<number>(workers).fill(0);
    loads.forEach((load, row) => own[of(row)] += load);
    return Math.max(...own) / (loads.reduce((a, b) => a + b, 0) / workers);
  };
  const rowsEach = rows / workers;
  const row = (family: string, draws: readonly number[][]): LoadRow => {
    const mean = (of: (row: number) => number) =>
      draws.reduce((sum, loads) => sum + busiest(loads, of), 0) / draws.length;
    return {
      family,
      rows,
      workers,
      contiguous: mean((at) => Math.floor(at / rowsEach)),
      turns: mean((at) => at % workers),
      folded: mean((at) => Math.floor(2 * pairOf[at] / rowsEach)),
    };
  };
  const whole = Array.from({ length: rows }, (_, at) => at + 1);
  return [
    row("all of them", [whole]),
    ...FAMILIES.map((family) =>
      row(
        nameOf(family),
        Array.from({ length: 4 }, (_, seed) =>
          drawnOf({ ...family, seed }, rows)),
      )
    ),
  ];
}
