/**
 * Squeezed Attention: keys that are read, centroids that are looked up, and the
 * error at a budget.
 *
 * @module
 */

import {
  colours,
  doublings,
  fractions,
  numbers,
  PANEL,
  panels,
} from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import {
  type BudgetRow,
  countBudget,
  countQuantile,
  plantedContext,
  type QuantileRow,
} from "./squeezed_counts.ts";

const LENGTHS: readonly number[] = [1000, 2000, 4000];
const QUANTILES: readonly number[] = [0.5, 0.7, 0.8, 0.9, 0.95];
const SEED = 1;

/** One context. */
export interface SqueezedRow {
  /** Its keys. */
  readonly keys: number;
  /** Keys of its largest cluster, of all. */
  readonly largest: number;
  readonly quantiles: readonly QuantileRow[];
  readonly budgets: readonly BudgetRow[];
}

/** Counts contexts of some lengths. */
export function countSqueezed(lengths = LENGTHS): SqueezedRow[] {
  return lengths.map((keys) => {
    const context = plantedContext(keys, SEED);
    return {
      keys,
      largest: Math.max(...Array.from(context.level.counts)) / keys,
      quantiles: QUANTILES.map((quantile) => countQuantile(context, quantile)),
      budgets: QUANTILES.map((quantile) => countBudget(context, 1 - quantile)),
    };
  });
}

function chartOf(rows: readonly SqueezedRow[]): Chart {
  const { keys, quantiles, budgets } = rows[rows.length - 1];
  return panels({
    title: "Keys that are kept, by quantile",
    subtitle: `of a context of ${keys}; line: one minus the quantile`,
    marks: {
      ...PANEL,
      data: {
        values: quantiles.flatMap(({ quantile, calibrated, later }) => [
          { quantile, kept: calibrated, by: "calibrating queries" },
          { quantile, kept: later, by: "later queries" },
        ]).map((row) => ({ ...row, wanted: 1 - row.quantile })),
      },
      encoding: {
        x: numbers("quantile", "quantile of the threshold", {
          scale: { domain: [0.5, 1] },
        }),
      },
      layer: [{
        mark: { type: "line", color: "#999999" },
        encoding: { y: numbers("wanted", null) },
      }, {
        mark: { type: "point", filled: true, size: 60 },
        encoding: {
          y: fractions("kept", { scale: { domain: [0, 0.6] } }),
          color: colours("by", [
            "calibrating queries",
            "later queries",
          ]),
        },
      }],
    },
  }, {
    title: "Error by budget",
    subtitle: "mean length of the error, over that of dense outputs",
    marks: {
      ...PANEL,
      data: {
        values: budgets.flatMap(({ kept, error, random }) => [
          { kept, error, keys: "by their clusters" },
          { kept, error: random, keys: "at random" },
        ]),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: numbers("kept", "keys that a query reads, of all", {
          axis: { format: "%" },
        }),
        y: numbers("error", null),
        color: colours("keys", ["by their clusters", "at random"]),
      },
    },
  }, {
    title: "Centroids that a query is held against",
    subtitle: "by the keys of the context; threshold at the quantile 0.9",
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ keys, quantiles }) => {
          const { lookups: [one, two] } = at(quantiles, 0.9);
          return [
            { keys, centroids: one, levels: "one level" },
            { keys, centroids: two, levels: "two levels" },
          ];
        }),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("keys", "keys", LENGTHS),
        y: numbers("centroids", null),
        color: colours("levels", ["one level", "two levels"]),
      },
    },
  });
}

function at(rows: readonly QuantileRow[], quantile: number): QuantileRow {
  return rows.find((row) => row.quantile === quantile)!;
}

/** What the counts show. */
export function squeezedReport(rows: readonly SqueezedRow[]): Report {
  const longest = rows[rows.length - 1];
  const every = <T>(
    of: (row: SqueezedRow) => readonly T[],
    holds: (one: T, row: SqueezedRow) => boolean,
  ) => rows.every((row) => of(row).every((one) => holds(one, row)));
  return {
    title: "Squeezed Attention: keys, centroids and error",
    paper:
      "a third of the keys without loss, an eighth with little; centroids " +
      "in two levels are looked up faster; more than 4x faster attention",
    setting: [
      "Contexts of one head whose keys are about 24 subjects, with as many " +
      "clusters as 5 % of the keys and 1 % above, by k-means; queries are about " +
      "8 of the subjects. A threshold is calibrated by 100 queries; 64 others " +
      "come later. The numbers are planted, not a model's, so errors say how " +
      "selections compare, not what a model loses. Counts, in float64.",
    ],
    tables: [{
      title: `Keys that are kept of ${longest.keys}, and centroids a query`,
      columns: ["quantile", "calibrated", "later", "one level", "two levels"],
      rows: longest.quantiles.map((row) => [
        row.quantile,
        percent(row.calibrated),
        percent(row.later),
        row.lookups[0],
        row.lookups[1].toFixed(1),
      ]),
    }, {
      title: "Centroids a query by length, at the quantile 0.9",
      columns: ["keys", "one level", "two levels", "coarse", "left"],
      rows: rows.map(({ keys, quantiles }) => {
        const { lookups: [one, two], survivors: [coarse, fine] } = at(
          quantiles,
          0.9,
        );
        return [keys, one, two.toFixed(1), coarse, fine.toFixed(1)];
      }),
    }, {
      title: `Error at a budget, each query by itself, of ${longest.keys} keys`,
      columns: ["budget", "kept", "mass", "error", "at random"],
      rows: longest.budgets.map(({ budget, kept, mass, error, random }) => [
        percent(budget),
        percent(kept),
        percent(mass),
        percent(error),
        percent(random),
      ]),
    }],
    checks: [
      {
        claim:
          "keys are loaded as one minus the quantile, to less than a cluster, by calibrating queries",
        holds: every(({ quantiles }) => quantiles, (row, { largest }) => {
          const less = 1 - row.quantile - row.calibrated;
          return less >= -1e-9 && less <= largest;
        }),
      },
      {
        claim:
          "centroids of two levels are the coarse ones and those that are left",
        holds: every(
          ({ quantiles }) => quantiles,
          ({ lookups: [, two], survivors: [coarse, fine] }) =>
            Math.abs(two - coarse - fine) < 1e-9,
        ),
      },
      {
        claim: "and fewer than those of one level, at every quantile",
        holds: every(
          ({ quantiles }) => quantiles,
          ({ lookups: [one, two] }) => two < one,
        ),
      },
      {
        claim:
          "the error is less than of as many keys at random, at every budget",
        holds: every(
          ({ budgets }) => budgets,
          ({ error, random }) => error < random,
        ),
      },
      {
        claim: "and for no row more than 2 (1 - mass kept) max|v|",
        holds: every(({ budgets }) => budgets, ({ bounded }) => bounded),
      },
      {
        claim: "the error falls with every step of the budget",
        holds: rows.every(({ budgets }) =>
          budgets.every(({ error }, i) =>
            i === 0 || error > budgets[i - 1].error
          )
        ),
      },
    ],
    data: { rows },
    chart: chartOf(rows),
  };
}

/** Squeezed Attention's figures, of planted keys. */
export const squeezed: Experiment = {
  count: () => squeezedReport(countSqueezed()),
};
