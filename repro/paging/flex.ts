/**
 * Generating with and without a cache: attention work a token, and the memory
 * that a growing sequence takes.
 *
 * @module
 */

import { colours, dashes, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import {
  countFlex,
  type FlexData,
  MAX_LENGTH,
  slotsAt,
  TILE,
} from "./flex_counts.ts";
import { pagingTimes } from "./paging_times.ts";

/** How a curve is named, and drawn where it lies on another. */
const CURVES = {
  "a block of 16 at a time": [],
  "a block of 128 at a time": [],
  "to a power of two": [],
  "the longest (2048) at once": [6, 4],
} as const;

function curveName(
  { policy, blockSize }: FlexData["memory"][number],
): keyof typeof CURVES {
  switch (policy) {
    case "powerOfTwo":
      return "to a power of two";
    case "max":
      return "the longest (2048) at once";
    default:
      return blockSize === 16
        ? "a block of 16 at a time"
        : "a block of 128 at a time";
  }
}

function chartOf({ work, memory }: FlexData): Chart {
  const ways = { cached: "with a cache", uncached: "without" } as const;
  const pairs = work.flatMap(({ context, pairs }) => [
    { context, pairs: pairs.cached, way: ways.cached },
    { context, pairs: pairs.uncached, way: ways.uncached },
  ]);
  const slots = memory.flatMap((curve) =>
    [...curve.steps, [MAX_LENGTH, slotsAt(curve, MAX_LENGTH)]]
      .map(([length, slots]) => ({ length, slots, growth: curveName(curve) }))
  );
  const quarters = [0, 1, 2, 3, 4].map((n) => n * MAX_LENGTH / 4);
  return panels({
    title: "Attention work of a generated token",
    subtitle: "(query, key) pairs of one head, logarithmic",
    marks: {
      ...PANEL,
      data: { values: pairs },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings(
          "context",
          "tokens of context",
          work.map(({ context }) => context),
        ),
        y: numbers("pairs", null, {
          scale: { type: "log", domain: [100, 1e8] },
          axis: { format: "~s", values: [100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8] },
        }),
        color: colours("way", Object.values(ways)),
      },
    },
  }, {
    title: "Memory of one growing sequence",
    subtitle: "token slots taken",
    marks: {
      ...PANEL,
      data: { values: slots },
      mark: { type: "line", interpolate: "step-after" },
      encoding: {
        x: numbers("length", "tokens written", {
          scale: { domain: [0, MAX_LENGTH], nice: false },
          axis: { values: quarters },
        }),
        y: numbers("slots", null, {
          scale: { domain: [0, MAX_LENGTH], nice: false },
          axis: { values: quarters },
        }),
        color: colours("growth", Object.keys(CURVES)),
        strokeDash: dashes("growth", CURVES),
      },
    },
  });
}

function near(value: number, expected: number, by: number): boolean {
  return Math.abs(value - expected) <= by;
}

function reportOf(data: FlexData): Report {
  const { work, exponents, memory } = data;
  const exponentRow = (name: string, of: keyof FlexData["exponents"]) => [
    name,
    exponents[of].cached.toFixed(3),
    exponents[of].uncached.toFixed(3),
  ];
  const lengths = [1, 100, 128, 129, 700, 1025, 2048];
  return {
    title: "Generation with and without a cache (paged FlexAttention in FMS)",
    paper:
      "latency linear in the context with the paged cache, steep without " +
      "(its own committed figures: about 2x a doubling both ways)",
    setting: [
      "Attention work of one generated token: (query, key) pairs that the " +
      "causal mask lets through, one head of one layer. With the cache its " +
      "one query sees the context, L pairs; without, the whole sequence is " +
      "computed again, L (L + 1) / 2 pairs.",
      `Tiles are those of ${TILE} queries by ${TILE} keys that the library's ` +
      "own schedule visits. Exponents: least squares on logarithms.",
      "Memory: a sequence grows token by token under a cache manager.",
    ],
    tables: [{
      title: "Work a generated token",
      columns: [
        "context",
        "pairs, cached",
        "pairs, uncached",
        "tiles, cached",
        "tiles, uncached",
      ],
      rows: work.map(({ context, pairs, tiles }) => [
        context,
        pairs.cached,
        pairs.uncached,
        tiles.cached,
        tiles.uncached,
      ]),
    }, {
      title: "Exponent of work in the context",
      columns: ["work", "with a cache", "without"],
      rows: [
        exponentRow("attention pairs", "pairs"),
        exponentRow("attention tiles", "tiles"),
        exponentRow("tokens through linear layers", "linear"),
      ],
    }, {
      title: "Token slots of one sequence",
      columns: ["growth, block", "steps", ...lengths.map((n) => `at ${n}`)],
      rows: memory.map((curve) => [
        `${curve.policy}, ${curve.blockSize}`,
        curve.steps.length,
        ...lengths.map((length) => slotsAt(curve, length)),
      ]),
    }],
    checks: [
      {
        claim: "attention pairs: exponent 1 with a cache, 2 without",
        holds: near(exponents.pairs.cached, 1, 1e-9) &&
          near(exponents.pairs.uncached, 2, 0.01),
      },
      {
        claim: "visited tiles: exponents 1 and 2 within 0.05",
        holds: near(exponents.tiles.cached, 1, 0.05) &&
          near(exponents.tiles.uncached, 2, 0.05),
      },
      {
        claim: "linear layers: exponent 0 with a cache, 1 without",
        holds: near(exponents.linear.cached, 0, 1e-9) &&
          near(exponents.linear.uncached, 1, 1e-9),
      },
      {
        claim: "paged memory is the length rounded up to blocks, step by step",
        holds: memory.filter(({ policy }) => policy === "page").every((curve) =>
          Array.from({ length: MAX_LENGTH }, (_, i) => i + 1).every((length) =>
            slotsAt(curve, length) ===
              Math.ceil(length / curve.blockSize) * curve.blockSize
          )
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** Figures of the FMS report. */
export const flex: Experiment = {
  count: () => reportOf(countFlex()),
  timing: pagingTimes,
};
