/**
 * The I/O complexity of attention: how traffic grows on both sides of M = d^2.
 *
 * @module
 */

import {
  flash1Cost,
  smallCacheCost,
  smallCacheTile,
  totalTraffic,
  trafficBound,
} from "../../src/planning/mod.ts";
import { colours, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { fittedExponent } from "../fit.ts";

const LENGTH = 65536;
/** Large, so that both regimes are wide: no model's head dim. */
const HEAD_DIM = 1024;
const SQUARE = HEAD_DIM * HEAD_DIM;
const MEMORIES = Array.from({ length: 17 }, (_, i) => 2 ** (10 + i));
const HEAD_DIMS: readonly number[] = [32, 64, 128, 256];

/** Traffic on one size of fast memory. */
export interface IoRow {
  /** M, in elements. */
  readonly elements: number;
  /** FlashAttention-1's; none where not even one key fits. */
  readonly flash: number | undefined;
  /** The small-cache schedule's. */
  readonly small: number;
  /** The lower bound: its order, or the floor. */
  readonly bound: number;
}

/** From which memory on FlashAttention-1 moves less. */
export interface Crossover {
  /** d. */
  readonly headDim: number;
  /** M over d^2. */
  readonly overSquare: number;
}

/** What is counted. */
export interface IoData {
  /** By fast memory. */
  readonly rows: readonly IoRow[];
  /** By head dim. */
  readonly crossovers: readonly Crossover[];
  /** Slopes on log-log axes. */
  readonly slopes: Readonly<Record<string, number>>;
}

function flashElements(
  length: number,
  headDim: number,
  elements: number,
): number | undefined {
  const keys = Math.floor(elements / (4 * headDim));
  if (keys < 1) return undefined;
  const sizes = { queries: length, keys: length, headDim };
  const tile = { rows: Math.min(keys, headDim), keys };
  return totalTraffic(flash1Cost(sizes, tile).traffic);
}

function smallElements(
  length: number,
  headDim: number,
  elements: number,
): number {
  const sizes = { queries: length, keys: length, headDim };
  return totalTraffic(smallCacheCost(sizes, smallCacheTile(elements)).traffic);
}

function crossover(headDim: number): Crossover {
  // By hundredths of an octave, so that the answer is no power of two's.
  for (let i = -300;; i++) {
    const elements = Math.round(headDim * headDim * 2 ** (i / 100));
    const flash = flashElements(LENGTH, headDim, elements);
    if (
      flash !== undefined && flash <= smallElements(LENGTH, headDim, elements)
    ) return { headDim, overSquare: elements / (headDim * headDim) };
  }
}

function slopesOf(rows: readonly IoRow[]): Record<string, number> {
  const above = rows.filter(({ elements }) =>
    elements >= SQUARE && elements <= 16 * SQUARE
  );
  const below = rows.filter(({ elements }) => 4 * elements <= SQUARE);
  const lengths = [2 ** 16, 2 ** 17, 2 ** 18, 2 ** 19, 2 ** 20];
  const dims = (from: number) => [1, 2, 4, 8, 16].map((n) => n * from);
  const long = 2 ** 20;
  return {
    "M, above": fittedExponent(
      above.map(({ elements, flash }) => [elements, flash!]),
    ),
    "M, below": fittedExponent(
      below.map(({ elements, small }) => [elements, small]),
    ),
    "N, above": fittedExponent(
      lengths.map((n) => [n, flashElements(n, HEAD_DIM, SQUARE)!]),
    ),
    "N, below": fittedExponent(
      lengths.map((n) => [n, smallElements(n, HEAD_DIM, SQUARE / 64)]),
    ),
    "d, above": fittedExponent(
      dims(64).map((d) => [d, flashElements(long, d, SQUARE)!]),
    ),
    "d, below": fittedExponent(
      dims(256).map((d) => [d, smallElements(long, d, 1024)]),
    ),
  };
}

/** Counts. */
export function countIo(): IoData {
  const sizes = { queries: LENGTH, keys: LENGTH, headDim: HEAD_DIM };
  const rows = MEMORIES.map((elements): IoRow => ({
    elements,
    flash: flashElements(LENGTH, HEAD_DIM, elements),
    small: smallElements(LENGTH, HEAD_DIM, elements),
    bound: trafficBound(sizes, elements).elements,
  }));
  return {
    rows,
    crossovers: HEAD_DIMS.map(crossover),
    slopes: slopesOf(rows),
  };
}

/** The slopes that the theorem has. */
const EXPECTED: Readonly<Record<string, number>> = {
  "M, above": -1,
  "M, below": -0.5,
  "N, above": 2,
  "N, below": 2,
  "d, above": 2,
  "d, below": 1,
};

function chartOf({ rows, crossovers }: IoData): Chart {
  const names = {
    flash: "FlashAttention-1",
    small: "small cache",
    bound: "lower bound, its constant left out",
  };
  const lines = rows.flatMap(({ elements, ...row }) =>
    (["flash", "small", "bound"] as const).flatMap((of) =>
      row[of] === undefined
        ? []
        : [{ elements, schedule: names[of], moved: row[of] }]
    )
  );
  const log = (values: readonly number[]) => ({
    scale: {
      type: "log",
      base: 2,
      domain: [values[0], values[values.length - 1]],
      nice: false,
    },
  });
  return panels({
    title: "Elements moved, by fast memory",
    subtitle: `${LENGTH} tokens, head dim ${HEAD_DIM}; the line is M = d²`,
    marks: {
      ...PANEL,
      data: { values: lines },
      encoding: {
        x: numbers("elements", "elements of fast memory", {
          ...log(MEMORIES),
          axis: {
            values: MEMORIES.filter((_, i) => i % 4 === 0),
            labelExpr: "'2^' + round(log(datum.value) / log(2))",
          },
        }),
      },
      layer: [{
        mark: { type: "line", point: { size: 20 } },
        encoding: {
          y: numbers("moved", null, {
            scale: { type: "log", base: 10, nice: false },
            axis: { format: "~e", values: [1e9, 1e10, 1e11, 1e12, 1e13] },
          }),
          color: colours("schedule", Object.values(names)),
        },
      }, {
        mark: { type: "rule", strokeDash: [4, 4], color: "#555" },
        encoding: {
          x: { datum: SQUARE },
          y: { value: 0 },
          y2: { value: PANEL.height },
        },
      }],
    },
  }, {
    title: "Where FlashAttention-1 begins to move less",
    subtitle: "fast memory, in d²",
    marks: {
      ...PANEL,
      data: { values: crossovers },
      mark: { type: "bar", size: 36, color: "#0072b2" },
      encoding: {
        x: {
          field: "headDim",
          type: "ordinal",
          title: "head dim",
          axis: { labelAngle: 0 },
        },
        y: numbers("overSquare", null, { scale: { domain: [0, 4] } }),
      },
    },
  });
}

function reportOf(data: IoData): Report {
  const { rows, crossovers, slopes } = data;
  return {
    title: "The I/O complexity of attention: both sides of M = d^2",
    paper: "optimal traffic is of the order N^2 d^2 / M for M >= d^2, which " +
      "FlashAttention attains, and N^2 d / sqrt(M) for M < d^2, by blocked " +
      "products (Saha and Ye 2024)",
    setting: [
      `Exact counts for ${LENGTH} tokens. FlashAttention-1 on its own tiles ` +
      "(M / 4d keys); the small-cache schedule on squares of about sqrt(M / 3), " +
      "with S in slow memory. The bound has no constant: a schedule stands above " +
      "it by its own.",
      "WebGPU's default of 16 KiB is 4096 float32: M = d^2 at head dim 64, and " +
      "the small-cache regime at 128, if workgroup memory is all that counts. " +
      "Registers come on top, and WebGPU does not say how many.",
    ],
    tables: [{
      title: "Slopes on log-log axes",
      columns: ["in", "counted", "theorem"],
      rows: Object.entries(slopes).map(([name, slope]) => [
        `${name} d^2`,
        slope.toFixed(3),
        EXPECTED[name],
      ]),
    }, {
      title: "Fast memory from which FlashAttention-1 moves less",
      columns: ["head dim", "over d^2"],
      rows: crossovers.map(({ headDim, overSquare }) => [
        headDim,
        overSquare.toFixed(2),
      ]),
    }],
    checks: [
      ...Object.entries(slopes).map(([name, slope]) => ({
        claim: `slope in ${name} d^2 is ${EXPECTED[name]} within 0.05`,
        holds: Math.abs(slope - EXPECTED[name]) <= 0.05,
      })),
      {
        claim: "the crossover lies between d^2 / 2 and 4 d^2",
        holds: crossovers.every(({ overSquare }) =>
          overSquare >= 0.5 && overSquare <= 4
        ),
      },
      {
        claim: "no schedule is below the bound",
        holds: rows.every(({ flash = Infinity, small, bound }) =>
          Math.min(flash, small) >= bound
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** The theorem's slopes. */
export const io: Experiment = { count: () => reportOf(countIo()) };
