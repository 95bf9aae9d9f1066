/**
 * What can run at the same time: FlashAttention-1 has a workgroup a head,
 * FlashAttention-2 one a row tile of it.
 *
 * @module
 */

import { flash1Cost, flash2Cost } from "../../src/planning/mod.ts";
import { colours, doublings, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { type AlgorithmName, planned } from "./schedule_plans.ts";
import { scheduleTimes } from "./schedule_times.ts";

const LENGTH = 2048;
const HEAD_DIM = 64;
const HEADS: readonly number[] = [1, 2, 4, 8, 16, 32, 64];
/** Multiprocessors of an A100: what there is to keep busy. */
const WORKERS = 108;

/** One number of heads. */
export interface ParallelismRow {
  /** Batch x heads. */
  readonly heads: number;
  /** Workgroups of FlashAttention-1. */
  readonly fa1: number;
  /** Of FlashAttention-2. */
  readonly fa2: number;
  /** Waves of 108 workers over FlashAttention-2's work, FA-1's over FA-2's. */
  readonly waves: number;
}

/** What is counted. */
export interface ParallelismData {
  /** By heads. */
  readonly rows: readonly ParallelismRow[];
  /** Rescaling multiplications and divisions, FA-1's over FA-2's. */
  readonly rescale: number;
}

function workgroups(heads: number, algorithm: AlgorithmName): number {
  const { dispatches: [{ grid }] } = planned(
    { heads, length: LENGTH, headDim: HEAD_DIM },
    algorithm,
    { splits: 1 },
  ).parts;
  return grid[0] * grid[1] * grid[2];
}

/** Counts the workgroups that plans dispatch. */
export function countParallelism(): ParallelismData {
  const sizes = { queries: LENGTH, keys: LENGTH, headDim: HEAD_DIM };
  const tiles = { rows: 64, keys: 64 };
  return {
    rows: HEADS.map((heads) => {
      const [fa1, fa2] = [workgroups(heads, "fa1"), workgroups(heads, "fused")];
      // Each does the same work: all of a head, or a row tile's part of it.
      const time = (groups: number) => Math.ceil(groups / WORKERS) / groups;
      return { heads, fa1, fa2, waves: time(fa1) / time(fa2) };
    }),
    rescale: flash1Cost(sizes, tiles).flops.rescale /
      flash2Cost(sizes, tiles).flops.rescale,
  };
}

function chartOf({ rows }: ParallelismData): Chart {
  const names = { fa1: "FlashAttention-1", fa2: "FlashAttention-2" };
  const lines = rows.flatMap(({ heads, ...row }) =>
    (["fa1", "fa2"] as const).map((of) => ({
      heads,
      schedule: names[of],
      workgroups: row[of],
    }))
  );
  return panels({
    title: "Workgroups",
    subtitle: `of plans for ${LENGTH} tokens`,
    marks: {
      ...PANEL,
      data: { values: lines },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("heads", "batch x heads", HEADS),
        y: doublings("workgroups", null, [1, 4, 16, 64, 256, 1024, 2048]),
        color: colours("schedule", Object.values(names)),
      },
    },
  }, {
    title: "FlashAttention-1's time over FlashAttention-2's",
    subtitle: `a model: waves of ${WORKERS} workers, nothing else`,
    marks: {
      ...PANEL,
      data: { values: rows },
      mark: { type: "line", point: { color: "#0072b2" }, color: "#0072b2" },
      encoding: {
        x: doublings("heads", "batch x heads", HEADS),
        y: doublings("waves", null, [1, 2, 4, 8, 16, 32]),
      },
    },
  });
}

function reportOf(data: ParallelismData): Report {
  const { rows, rescale } = data;
  const [one] = rows;
  const tiles = one.fa2 / one.fa1;
  const most = rows[rows.length - 1];
  return {
    title: "FlashAttention-2 against FlashAttention-1: parallelism",
    paper:
      "about 2x FlashAttention-1, from parallelism over the sequence, fewer " +
      "operations that are no products, and better partitioning (abstract)",
    setting: [
      `Grids of plans for ${LENGTH} tokens, head dim ${HEAD_DIM}, WebGPU's default ` +
      `limits: FlashAttention-2's row tiles are ${LENGTH / tiles} rows.`,
      `Waves: all workgroups of a schedule are alike, ${WORKERS} run at a time, ` +
      "and memory slows none. What is left of the paper's factor, warps and " +
      "products, this does not model.",
    ],
    tables: [{
      title: "Workgroups, and waves of FA-1 over FA-2",
      columns: ["batch x heads", "FA-1", "FA-2", "time ratio"],
      rows: rows.map((row) => [
        row.heads,
        row.fa1,
        row.fa2,
        row.waves.toFixed(2),
      ]),
    }],
    checks: [
      {
        claim: "FlashAttention-1 has as many workgroups as heads",
        holds: rows.every(({ heads, fa1 }) => fa1 === heads),
      },
      {
        claim: `FlashAttention-2 has ${tiles} times as many: its row tiles`,
        holds: tiles === LENGTH / 64 &&
          rows.every(({ heads, fa2 }) => fa2 === heads * tiles),
      },
      {
        claim: "the ratio falls as heads fill the device, and is never below 1",
        holds:
          rows.every(({ waves }, i) =>
            waves >= 1 && (i === 0 || waves <= rows[i - 1].waves)
          ) && most.waves < one.waves / 4,
      },
      {
        claim: `rescaling takes ${
          rescale.toFixed(1)
        } times fewer multiplications: 3 a key tile, against 1 and one division`,
        holds: rescale > 2.8 && rescale < 3,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** FlashAttention-2's parallelism. */
export const parallelism: Experiment = {
  count: () => reportOf(countParallelism()),
  timing: scheduleTimes,
};
