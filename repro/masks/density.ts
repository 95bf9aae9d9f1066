/**
 * Block-sparse FlashAttention: tiles and traffic against the density of the
 * mask.
 *
 * @module
 */

import { blockDiagonal } from "../../src/mods/mod.ts";
import { numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { densityTimes } from "./density_times.ts";
import { fittedLine, type Line } from "../fit.ts";
import { planned } from "../schedules/schedule_plans.ts";

const LENGTH = 4096;
const HEAD_DIM = 64;
/** Diagonal blocks: n of them leave 1 / n of all pairs. */
const BLOCKS: readonly number[] = [1, 2, 4, 8, 16];

/** One mask. */
export interface DensityRow {
  /** Pairs seen, of all. */
  readonly density: number;
  /** Tiles visited, of all. */
  readonly visited: number;
  /** Bytes that the plan moves. */
  readonly bytes: number;
  /** Operations of its products. */
  readonly products: number;
}

/** What is counted. */
export interface DensityData {
  /** By mask. */
  readonly rows: readonly DensityRow[];
  /** Bytes by density. */
  readonly line: Line;
}

/** Counts what plans visit and move. */
export function countDensity(): DensityData {
  const rows = BLOCKS.map((blocks): DensityRow => {
    const { explanation } = planned(
      {
        length: LENGTH,
        headDim: HEAD_DIM,
        maskMod: blockDiagonal(LENGTH / blocks),
      },
      "fused",
      { splits: 1 },
    );
    const { tileCounts: { visited, total }, traffic } = explanation;
    return {
      density: 1 / blocks,
      visited: visited / total,
      bytes: traffic.bytes,
      products: traffic.flops.matmul,
    };
  });
  const line = fittedLine(rows.map(({ density, bytes }) => [density, bytes]));
  return { rows, line };
}

function chartOf({ rows }: DensityData): Chart {
  return panels({
    title: "Traffic by density",
    subtitle: "millions of bytes",
    marks: {
      ...PANEL,
      data: {
        values: rows.map(({ density, bytes }) => ({
          density,
          bytes: bytes / 1e6,
        })),
      },
      mark: { type: "line", point: { color: "#0072b2" }, color: "#0072b2" },
      encoding: {
        x: numbers("density", "pairs that are seen, of all"),
        y: numbers("bytes", null),
      },
    },
  }, {
    title: "Tiles visited by density",
    subtitle: "of all tiles",
    marks: {
      ...PANEL,
      data: { values: rows },
      mark: { type: "line", point: { color: "#009e73" }, color: "#009e73" },
      encoding: {
        x: numbers("density", "pairs that are seen, of all"),
        y: numbers("visited", null),
      },
    },
  });
}

function reportOf(data: DensityData): Report {
  const { rows, line } = data;
  const [dense] = rows;
  const sparsest = rows[rows.length - 1];
  return {
    title: "Block-sparse FlashAttention: cost by density",
    paper:
      "block-sparse FlashAttention is 2-4x faster than FlashAttention; its " +
      "traffic is of the order N d + s N^2 d^2 / M for a density s",
    setting: [
      `Plans for ${LENGTH} tokens, head dim ${HEAD_DIM}, with masks of diagonal ` +
      "blocks. Nobody says which tiles are empty: they are found by the mask's " +
      "interval reading. Counts, not times.",
    ],
    tables: [{
      title: "By mask",
      columns: ["density", "tiles visited", "megabytes", "less by"],
      rows: rows.map(({ density, visited, bytes }) => [
        density,
        visited,
        (bytes / 1e6).toFixed(2),
        (dense.bytes / bytes).toFixed(2),
      ]),
    }],
    checks: [
      {
        claim: "tiles are visited exactly as densely as pairs are seen",
        holds: rows.every(({ visited, density }) => visited === density),
      },
      {
        claim: "products fall in the same proportion",
        holds: rows.every(({ products, density }) =>
          products === density * dense.products
        ),
      },
      {
        claim: `traffic is a straight line in the density: R^2 is ${line.r2}`,
        holds: line.r2 > 0.999999,
      },
      {
        claim: "what is left at density 0 is each query and output once",
        holds: Math.abs(
          line.atZero / (4 * LENGTH * (2 * HEAD_DIM + 1)) - 1,
        ) < 1e-9,
      },
      {
        claim: "at a sixteenth, traffic is more than 8 times less",
        holds: dense.bytes / sparsest.bytes > 8,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** Block-sparse FlashAttention's figure. */
export const density: Experiment = {
  count: () => reportOf(countDensity()),
  timing: densityTimes,
};
