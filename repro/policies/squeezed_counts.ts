/**
 * What is counted of Squeezed Attention on contexts whose keys lie in groups:
 * how many keys are read, how many centroids are looked up, and how far off
 * attention over the kept keys is.
 *
 * @module
 */

import {
  attention,
  clusterMeans,
  clustersOf,
  kmeans,
  type ReferenceClusters,
  squeezedLookup,
} from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { quantileOf } from "../../src/policies/squeezed/quantile.ts";
import { mean } from "../experiment.ts";

const HEAD_DIM = 16;
/** Subjects that the context's keys are about. */
const SUBJECTS = 24;
/** Those that queries are about. */
const ASKED = 8;
/** How much louder a query says its subject than a key. */
const STRENGTH = 2;
/** How much of a row is its own. */
const OWN = 0.5;
/** Queries that a threshold is calibrated by, as in the paper, and later ones. */
const WINDOW = 100;
const LATER = 64;
const ITERATIONS = 12;

/** One head of a context, and queries about it. */
export interface PlantedContext {
  readonly keys: number;
  readonly key: Float64Array;
  readonly value: Float64Array;
  /** Those in the context's observation window. */
  readonly window: Float64Array;
  /** Those that come later. */
  readonly later: Float64Array;
  readonly level: ReferenceClusters;
  readonly coarse: ReferenceClusters;
}

/** A context of so many keys, in clusters: 5 % of the keys, and 1 % above. */
export function plantedContext(keys: number, seed: number): PlantedContext {
  const random = new Prng(seed);
  const normals = (count: number) =>
    Float64Array.from({ length: count }, () => random.normal());
  const subjects = normals(SUBJECTS * HEAD_DIM);
  const told = normals(SUBJECTS * HEAD_DIM);
  const picks = Array.from({ length: keys }, () => random.below(SUBJECTS));
  // What a row is about, and something of its own.
  const rows = (count: number, about: (row: number, t: number) => number) =>
    normals(count * HEAD_DIM).map((x, at) =>
      OWN * x + about(Math.floor(at / HEAD_DIM), at % HEAD_DIM)
    );
  const key = rows(keys, (i, t) => subjects[picks[i] * HEAD_DIM + t]);
  const value = rows(keys, (i, t) => told[picks[i] * HEAD_DIM + t]);
  const queries = (count: number) => {
    const asked = Array.from({ length: count }, () => random.below(ASKED));
    return rows(
      count,
      (i, t) => STRENGTH * subjects[asked[i] * HEAD_DIM + t],
    );
  };
  const draws = (count: number) =>
    Float64Array.from({ length: count }, () => random.uniform());
  const group = (rows: ArrayLike<number>, clusters: number) =>
    kmeans({
      rows,
      headDim: HEAD_DIM,
      clusters,
      draws: draws(clusters),
      iterations: ITERATIONS,
    }).labels;
  const of = { key, kvHeads: 1, headDim: HEAD_DIM };
  const clusters = Math.ceil(keys / 20);
  const labels = group(key, clusters);
  const level = clustersOf({ ...of, clusters, labels });
  const coarseClusters = Math.ceil(keys / 100);
  const coarseLabels = group(level.centroids, coarseClusters);
  const coarse = {
    ...clustersOf({
      ...of,
      clusters: coarseClusters,
      labels: labels.map((cluster) => coarseLabels[cluster]),
    }),
    labels: coarseLabels,
  };
  return {
    keys,
    key,
    value,
    window: queries(WINDOW),
    later: queries(LATER),
    level,
    coarse,
  };
}

/** One threshold. */
export interface QuantileRow {
  /** The part of the keys that the window's queries are to drop. */
  readonly quantile: number;
  /** Keys that they keep, of all. */
  readonly calibrated: number;
  /** Keys that later queries keep together, of all. */
  readonly later: number;
  /** Centroids that one query is held against: of one level, and of two. */
  readonly lookups: readonly [one: number, two: number];
  /** Coarse centroids, and the mean of fine ones left: what the second is of. */
  readonly survivors: readonly [coarse: number, fine: number];
}

/** One budget. */
export interface BudgetRow {
  /** Keys that a query may read, of all. */
  readonly budget: number;
  /** Those that it keeps by its best clusters. */
  readonly kept: number;
  /** What of the attention those have. */
  readonly mass: number;
  /** The mean error of an output, over the mean length of dense ones. */
  readonly error: number;
  /** The same of as many keys at random. */
  readonly random: number;
  /** Whether no row is further off than its dropped mass allows. */
  readonly bounded: boolean;
}

/** What queries are about, for the look-up. */
function queriesOf(query: Float64Array) {
  const queries = query.length / HEAD_DIM;
  return { query, queries, queryHeads: 1, kvHeads: 1, headDim: HEAD_DIM };
}

/** Dense attention of a query, and attention over some keys. */
function attend(
  { keys, key, value }: PlantedContext,
  query: Float64Array,
  kept?: ArrayLike<number>,
) {
  return attention({
    query,
    key,
    value,
    batch: 1,
    queryLength: 1,
    keyLength: keys,
    queryHeads: 1,
    kvHeads: 1,
    headDim: HEAD_DIM,
    ...(kept &&
      {
        mask: (_b: number, _h: number, _q: number, j: number) => kept[j] === 1,
      }),
  });
}

const lengthOf = (row: Iterable<number>) => Math.hypot(...row);

/** As many keys as are kept, at random. */
function atRandom(kept: Uint8Array, random: Prng): Uint8Array {
  return Uint8Array.from(random.shuffle([...kept]));
}

const scored = (
  { counts }: Pick<ReferenceClusters, "counts">,
  scores: Float64Array,
) => [{ scores, counts }];

const partOf = (kept: Uint8Array) =>
  kept.reduce((sum, bit) => sum + bit, 0) / kept.length;

/** Counts one threshold. */
export function countQuantile(
  context: PlantedContext,
  quantile: number,
): QuantileRow {
  const { level, coarse } = context;
  const window = queriesOf(context.window);
  const later = queriesOf(context.later);
  const { quantile: threshold, below } = quantileOf(
    scored(level, clusterMeans({ ...window, level })),
    quantile,
  );
  // The upper level is to drop half of it by itself.
  const coarseMeans = clusterMeans({ ...window, level: coarse });
  const upper = quantileOf(scored(coarse, coarseMeans), quantile / 2).quantile;
  const { kept, lookups: [one] } = squeezedLookup({
    ...later,
    level,
    threshold,
  });
  const alone = Array.from({ length: later.queries }, (_, i) =>
    squeezedLookup({
      ...queriesOf(context.later.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM)),
      level,
      threshold,
      coarse: { ...coarse, threshold: upper },
    }));
  return {
    quantile,
    calibrated: 1 - below,
    later: partOf(kept),
    lookups: [one, mean(alone.map(({ lookups: [two] }) => two))],
    survivors: [
      coarse.clusters,
      mean(
        alone.map(({ means }) => means.filter((mean) => mean > 0).length),
      ),
    ],
  };
}

/** Counts one budget, for each of the later queries by itself. */
export function countBudget(
  context: PlantedContext,
  budget: number,
): BudgetRow {
  const { keys, level, later, value } = context;
  const largest = Math.max(...Array.from(
    { length: keys },
    (_, i) => lengthOf(value.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM)),
  ));
  const random = new Prng(7);
  const rows = Array.from({ length: later.length / HEAD_DIM }, (_, i) => {
    const query = later.subarray(i * HEAD_DIM, (i + 1) * HEAD_DIM);
    const of = queriesOf(query);
    const { quantile: threshold } = quantileOf(
      scored(level, clusterMeans({ ...of, level })),
      1 - budget,
    );
    const { kept } = squeezedLookup({ ...of, level, threshold });
    const dense = attend(context, query);
    const own = attend(context, query, kept);
    const off = ({ output }: typeof own) =>
      lengthOf(output.map((x, t) => x - dense.output[t]));
    const mass = Math.exp(own.lse[0] - dense.lse[0]);
    return {
      kept: partOf(kept),
      mass,
      error: off(own),
      random: off(attend(context, query, atRandom(kept, random))),
      length: lengthOf(dense.output),
      bounded: off(own) <= 2 * (1 - mass) * largest * (1 + 1e-9),
    };
  });
  const meanOf = (name: Exclude<keyof typeof rows[number], "bounded">) =>
    mean(rows.map((row) => row[name]));
  return {
    budget,
    kept: meanOf("kept"),
    mass: meanOf("mass"),
    error: meanOf("error") / meanOf("length"),
    random: meanOf("random") / meanOf("length"),
    bounded: rows.every(({ bounded }) => bounded),
  };
}
