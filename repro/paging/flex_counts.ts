/**
 * What generating a token costs with and without a cache, and what a growing
 * sequence takes.
 *
 * @module
 */

import {
  BlockPool,
  CacheManager,
  type GrowthPolicy,
} from "../../src/cache/mod.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { flatWork } from "../../src/ops/attention/work/key_ranges.ts";
import { buildSchedule } from "../../src/ops/attention/work/schedule.ts";
import { fittedExponent } from "../fit.ts";

const CONTEXTS: readonly number[] = [128, 256, 512, 1024, 2048, 4096, 8192];
/** Queries, and keys, of a tile. */
export const TILE = 16;
/** Tokens that a sequence grows to. */
export const MAX_LENGTH = 2048;

/** A way for a sequence to take memory. */
export interface Growth {
  readonly policy: GrowthPolicy;
  readonly blockSize: number;
}

const GROWTHS: readonly Growth[] = [
  { policy: "page", blockSize: 16 },
  { policy: "page", blockSize: 128 },
  { policy: "powerOfTwo", blockSize: 16 },
  { policy: "max", blockSize: 16 },
];

/** What generating one token costs. */
export interface TokenWork {
  /** Tokens of the sequence, the new one's query included. */
  readonly context: number;
  /** (Query, key) pairs that the causal mask lets through, one head. */
  readonly pairs: { readonly cached: number; readonly uncached: number };
  /** Tiles of 16 queries by 16 keys that the library's schedule visits. */
  readonly tiles: { readonly cached: number; readonly uncached: number };
  /** Tokens that go through the linear layers. */
  readonly linear: { readonly cached: number; readonly uncached: number };
}

/** Memory of one growing sequence. */
export interface MemoryCurve extends Growth {
  /** Lengths at which it grew, and the token slots that it had from then on. */
  readonly steps: readonly (readonly [length: number, slots: number])[];
}

/** What the experiment counts. */
export interface FlexData {
  /** By context. */
  readonly work: readonly TokenWork[];
  /** Exponents of work a token in the context, fitted over all of them. */
  readonly exponents: Readonly<
    Record<
      "pairs" | "tiles" | "linear",
      { readonly cached: number; readonly uncached: number }
    >
  >;
  /** By growth. */
  readonly memory: readonly MemoryCurve[];
}

/** Tiles visited where the last `queries` of `context` positions ask. */
function visitedTiles(queries: number, context: number): number {
  const tensor = (rows: number) =>
    ({ dtype: "f32", shape: [1, rows, 1, 4] }) as const;
  const problem = attentionProblem({
    query: tensor(queries),
    key: tensor(context),
    value: tensor(context),
    causal: true,
  });
  const work = flatWork(problem);
  const unsplit = {
    ranges: work.own,
    rows: TILE,
    loops: { step: TILE, fullStep: 0, maskedStep: 0, tile: 0 },
    partitions: [{ kind: "splits", text: "unsplit", of: () => undefined }],
    model: { workers: 1, tileSteps: 0, dispatchSteps: 0 },
    maxLoopIterations: Infinity,
  } as const;
  return buildSchedule(problem, work, [unsplit]).tiles.visited;
}

function workAt(context: number): TokenWork {
  return {
    context,
    pairs: { cached: context, uncached: context * (context + 1) / 2 },
    tiles: {
      cached: visitedTiles(1, context),
      uncached: visitedTiles(context, context),
    },
    linear: { cached: 1, uncached: context },
  };
}

/** Reserves in a sequence token by token, and notes when it takes memory. */
export function memoryCurve(growth: Growth): MemoryCurve {
  const { policy, blockSize } = growth;
  const pool = new BlockPool({
    numBlocks: MAX_LENGTH / blockSize + 1,
    blockSize,
  });
  const cache = new CacheManager({
    pool,
    growth: policy,
    maxLength: MAX_LENGTH,
  });
  const { sequence } = cache.create([]);
  const steps: [number, number][] = [];
  for (let length = 1; length <= MAX_LENGTH; length++) {
    cache.reserve(sequence, [0]);
    const slots = pool.usedBlocks * blockSize;
    if (slots !== steps.at(-1)?.[1]) steps.push([length, slots]);
  }
  return { ...growth, steps };
}

/** Slots that a sequence of `length` tokens has. */
export function slotsAt({ steps }: MemoryCurve, length: number): number {
  return steps.findLast(([from]) => from <= length)?.[1] ?? 0;
}

/** Counts work and memory. */
export function countFlex(
  contexts: readonly number[] = CONTEXTS,
): FlexData {
  const work = contexts.map(workAt);
  const exponents = (of: "pairs" | "tiles" | "linear") => {
    const fit = (way: "cached" | "uncached") =>
      fittedExponent(work.map((row) => [row.context, row[of][way]]));
    return { cached: fit("cached"), uncached: fit("uncached") };
  };
  return {
    work,
    exponents: {
      pairs: exponents("pairs"),
      tiles: exponents("tiles"),
      linear: exponents("linear"),
    },
    memory: GROWTHS.map(memoryCurve),
  };
}
