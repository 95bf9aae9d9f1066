/**
 * The comparison, for people.
 *
 * @module
 */

import type { Gpu } from "../../../src/gpu/mod.ts";
import { colours, fractions, panels } from "../../axes.ts";
import { type Chart, percent, type Report } from "../../experiment.ts";
import type { ComparedRow } from "./measure.ts";
import { SIZES } from "./task.ts";

/** Panels of bars, a policy a line, a budget a bar. */
function chartOf(rows: readonly ComparedRow[]): Chart {
  const names = [...new Set(rows.map(({ name }) => name))];
  const told = ({ budget }: ComparedRow) =>
    budget === 1 ? "all keys" : `told to keep ${percent(budget)}`;
  const panel = (
    title: string,
    subtitle: string,
    of: (row: ComparedRow) => number | undefined,
  ) => ({
    title,
    subtitle,
    marks: {
      width: 240,
      height: 30 * names.length,
      data: {
        values: rows.map((row) => ({
          name: row.name,
          told: told(row),
          share: of(row),
        })).filter(({ share }) => share !== undefined),
      },
      mark: "bar",
      encoding: {
        x: fractions("share"),
        y: {
          field: "name",
          type: "nominal",
          title: null,
          sort: names,
          scale: { domain: names },
        },
        yOffset: { field: "told", sort: rows.map(told) },
        color: colours("told", [...new Set(rows.map(told))]),
      },
    },
  });
  return panels(
    panel(
      "Needles found",
      "of all queries and heads",
      ({ recall }) => recall,
    ),
    panel("Found by some head", "of all queries", ({ anyHead }) => anyHead),
    panel("Mass kept", "of dense attention's softmax", ({ mass }) => mass),
  );
}

/** The comparison as a report. */
export function reportOf(gpu: Gpu, rows: readonly ComparedRow[]): Report {
  const [dense, ...others] = rows;
  const budgets = [...new Set(others.map(({ budget }) => budget))];
  const table = (budget: number) => ({
    title: `Told to keep ${percent(budget)} of the keys`,
    columns: ["policy", "pairs", "bytes", "recall", "any head", "mass", "ms"],
    rows: [dense, ...others.filter((row) => row.budget === budget)].map((
      row,
    ) => [
      row.name,
      percent(row.kept),
      percent(row.bytes),
      percent(row.recall),
      percent(row.anyHead),
      row.mass === undefined ? "-" : percent(row.mass),
      row.milliseconds.toFixed(1),
    ]),
  });
  const { context, queries, heads, asked, questions } = SIZES;
  return {
    title: "Policies compared: needles in a long context",
    paper: "none: a planted task, so that policies are seen side by side",
    setting: [
      `${context} keys of topics, and ${questions} questions of ${queries} queries ` +
      `after them, a call each; ${heads} heads. A question asks for ${asked} ` +
      "needles, each 4 keys anywhere in the context. Found is a needle whose " +
      "value is the nearest to the output.",
      "Pairs and bytes: of causal attention's, of keys that any query of a call " +
      "keeps; mass: of dense attention's softmax. S2, LongLoRA and PrFlash do not " +
      "look at keys: what they find, they find by position, and models are " +
      "trained with them. Squeezed's threshold is calibrated by each question " +
      "itself, and Seer's gate is not trained. No model is run: none of this is a " +
      "model's quality.",
      `On ${gpu.info.description}; milliseconds of a call by the wall's clock, ` +
      "selection included" +
      (gpu.software
        ? ". A software adapter: its times say nothing of GPUs."
        : "."),
    ],
    tables: budgets.map(table),
    checks: [
      {
        claim: "dense attention finds at least 95 % of the needles",
        holds: dense.recall >= 0.95,
      },
      {
        claim: "no policy keeps more mass than there is",
        holds: rows.every(({ mass = 0 }) => mass <= 1 + 1e-4),
      },
    ],
    data: rows,
    chart: chartOf(rows),
  };
}
