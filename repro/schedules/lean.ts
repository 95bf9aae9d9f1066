/**
 * Decode schedules by their busiest worker: fixed splits against stream-K.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";
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
  mean,
  type Report,
} from "../experiment.ts";
import { type Makespans, makespans, type RowTiles } from "./splits.ts";

const WORKERS = 108;
const TILE_KEYS = 256;
const FIXED_KEYS = 4096;
const ROW_TILES: readonly number[] = [1, 2, 4, 8, 16, 24, 32];
const CONTEXTS: readonly number[] = [4, 8, 16, 32, 64, 128, 256, 512];
const SAWTOOTH_KEYS = 64;

/** One batch. */
export interface LeanRow extends Makespans {
  /** Row tiles: batch x kv heads. */
  readonly rowTiles: number;
  /** Thousands (1024) of keys of each, of the longest where they differ. */
  readonly context: number;
}

/** What the experiment counts. */
export interface LeanData {
  /** Equal lengths: every number of row tiles with every context. */
  readonly grid: readonly LeanRow[];
  /** Lengths from 1 to the context, log-uniform. */
  readonly ragged: readonly LeanRow[];
  /** 64k keys, every number of row tiles up to 216. */
  readonly sawtooth: readonly LeanRow[];
}

function row(rowTiles: RowTiles, context: number): LeanRow {
  return {
    rowTiles: rowTiles.length,
    context,
    ...makespans(rowTiles, {
      workers: WORKERS,
      fixedTiles: FIXED_KEYS / TILE_KEYS,
    }),
  };
}

function equal(rowTiles: number, context: number): LeanRow {
  return row(new Array(rowTiles).fill(context * 1024 / TILE_KEYS), context);
}

function ragged(rowTiles: number, context: number): LeanRow {
  const prng = new Prng(rowTiles * 1000 + context);
  const keys = Array.from(
    { length: rowTiles },
    () => Math.ceil((context * 1024) ** prng.uniform()),
  );
  return row(keys.map((n) => Math.ceil(n / TILE_KEYS)), context);
}

/** Counts over all batches. */
export function countLean(): LeanData {
  const grid = (of: typeof equal) =>
    ROW_TILES.flatMap((n) => CONTEXTS.map((context) => of(n, context)));
  return {
    grid: grid(equal),
    ragged: grid(ragged),
    sawtooth: Array.from(
      { length: 2 * WORKERS },
      (_, i) => equal(i + 1, SAWTOOTH_KEYS),
    ),
  };
}

/** How much longer a schedule takes than stream-K: mean and most. */
function overStreamK(
  rows: readonly LeanRow[],
  of: "unsplit" | "heuristic" | "fixed",
): { mean: number; most: number } {
  const ratios = rows.map((row) => row[of] / row.streamK);
  return { mean: mean(ratios), most: Math.max(...ratios) };
}

const SCHEDULES = {
  unsplit: "unsplit",
  heuristic: "fixed splits, heuristic",
  fixed: "fixed splits of 4096 keys",
  streamK: "stream-K",
} as const;

function chartOf({ grid, sawtooth }: LeanData): Chart {
  const speedups = grid.map((row) => ({
    rowTiles: row.rowTiles,
    context: row.context,
    speedup: row.unsplit / row.streamK,
  }));
  const efficiency = sawtooth.flatMap((row) =>
    (Object.keys(SCHEDULES) as (keyof typeof SCHEDULES)[]).map((of) => ({
      rowTiles: row.rowTiles,
      schedule: SCHEDULES[of],
      efficiency: row.rowTiles * SAWTOOTH_KEYS * 1024 / TILE_KEYS /
        (WORKERS * row[of]),
    }))
  );
  const order = Object.values(SCHEDULES);
  return panels({
    title: "Busy workers, by schedule",
    subtitle: `of the time of ${WORKERS}, each row tile ${SAWTOOTH_KEYS}k keys`,
    marks: {
      data: { values: efficiency },
      // Above each other, as four saws in one frame cannot be told apart; the
      // names stand in the panels, as headers would push them down.
      facet: {
        row: { field: "schedule", title: null, header: null, sort: order },
      },
      spacing: 14,
      spec: {
        width: PANEL.width,
        height: 50,
        encoding: {
          x: numbers("rowTiles", "batch x kv heads", {
            scale: { domain: [1, 2 * WORKERS], nice: false },
            axis: { values: [1, 54, 108, 162, 216] },
          }),
        },
        layer: [{
          mark: { type: "area", line: true, opacity: 0.35 },
          encoding: {
            y: fractions("efficiency", {
              axis: { format: "%", values: [0, 0.5, 1] },
            }),
            color: { ...colours("schedule", order), legend: null },
          },
        }, {
          transform: [{ filter: `datum.rowTiles === ${2 * WORKERS}` }],
          mark: { type: "text", align: "right", dx: -6, fontSize: 11 },
          encoding: { text: { field: "schedule" }, y: { datum: 0.18 } },
        }],
      },
    },
  }, {
    title: "Unsplit over stream-K",
    subtitle: "times as many tiles on the busiest worker",
    marks: {
      ...PANEL,
      data: { values: speedups },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("context", "thousands (1024) of keys", CONTEXTS),
        y: doublings("speedup", null, [2, 4, 8, 16, 32, 64, 128]),
        color: {
          field: "rowTiles",
          type: "ordinal",
          title: "batch x kv heads",
          scale: { scheme: "viridis" },
          legend: { columns: ROW_TILES.length },
        },
      },
    },
  });
}

function reportOf(data: LeanData): Report {
  const { grid, ragged, sawtooth } = data;
  const all = [...grid, ...ragged, ...sawtooth];
  const ratioRow = (name: string, rows: readonly LeanRow[]) => [
    name,
    ...(["unsplit", "heuristic", "fixed"] as const).flatMap((of) => {
      const { mean, most } = overStreamK(rows, of);
      return [mean.toFixed(2), most.toFixed(2)];
    }),
  ];
  const shown = grid.filter(({ context }) => [4, 64, 512].includes(context));
  const heuristic = overStreamK(sawtooth, "heuristic");
  return {
    title: "Decode schedules: fixed splits against stream-K (LeanAttention)",
    paper:
      "2.6x on average over FlashAttention-2, up to 8.33x at 512k keys; in " +
      "another version 1.73x on average over FlashDecoding (abstracts)",
    setting: [
      `A model, not a time: tiles of ${TILE_KEYS} keys on the busiest of ` +
      `${WORKERS} workers (an A100's multiprocessors), one row tile for each ` +
      "sequence and kv head. Merging costs nothing, and a busy worker does not slow others, " +
      "as it does where memory's bandwidth is short: ratios are upper bounds.",
      "Unsplit: one worker a row tile. Heuristic: FlashDecoding's number of " +
      `splits. Fixed: splits of ${FIXED_KEYS} keys, whatever the batch. Splits ` +
      "go in order to who is free first. Smaller fixed splits would come closer " +
      "to even, and leave a partial state each to merge; stream-K leaves two a " +
      "worker.",
    ],
    tables: [{
      title: "Tiles of the busiest worker",
      columns: [
        "batch x heads",
        "keys",
        "unsplit",
        "heuristic",
        "fixed",
        "stream-K",
        "even",
      ],
      rows: shown.map((row) => [
        row.rowTiles,
        `${row.context}k`,
        row.unsplit,
        row.heuristic,
        row.fixed,
        row.streamK,
        row.even,
      ]),
    }, {
      title: "Over stream-K",
      columns: [
        "batches",
        "unsplit, mean",
        "most",
        "heuristic, mean",
        "most",
        "fixed, mean",
        "most",
      ],
      rows: [
        ratioRow("1-32 row tiles, 4k-512k keys", grid),
        ratioRow("the same, lengths ragged", ragged),
        ratioRow("1-216 row tiles, 64k keys", sawtooth),
      ],
    }],
    checks: [
      {
        claim: "stream-K takes what an even partition does, to the tile",
        holds: all.every((row) => row.streamK === row.even),
      },
      {
        claim: "no fixed split is shorter",
        holds: all.every((row) =>
          Math.min(row.unsplit, row.heuristic, row.fixed) >= row.streamK
        ),
      },
      {
        claim:
          "unsplit takes a row tile's tiles, stream-K all tiles over all " +
          "workers: workers / row tiles times fewer, rounded up",
        holds: grid.every((row) => {
          const tiles = row.context * 1024 / TILE_KEYS;
          return row.unsplit === tiles &&
            row.streamK === Math.ceil(row.rowTiles * tiles / WORKERS);
        }),
      },
      {
        claim: "fixed splits make a sawtooth: at some batch 1.5x stream-K",
        holds: heuristic.most >= 1.5,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** LeanAttention's figures of schedules. */
export const lean: Experiment = { count: () => reportOf(countLean()) };
