/**
 * S2-Attention: what is saved by stride and length, and what a cache keeps.
 *
 * @module
 */

import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import {
  BLOCK,
  countCoverage,
  countMerged,
  countS2,
  type CoverageRow,
  HEAD_DIM,
  HEADS,
  LOCAL_BLOCKS,
  type MergedRow,
  type S2Row,
} from "./s2_counts.ts";
import { s2Times } from "./s2_times.ts";

const STRIDES: readonly number[] = [4, 16, 64];
const LENGTHS: readonly number[] = [1024, 2048, 4096, 8192, 16_384];
const LONGEST = LENGTHS[LENGTHS.length - 1];
const MERGED: readonly number[] = [1, 2, 4];
const LAYERS: readonly Omit<CoverageRow, "fraction">[] = [
  { queryHeads: 32, kvHeads: 32, stride: 16 },
  { queryHeads: 32, kvHeads: 8, stride: 8 },
  { queryHeads: 32, kvHeads: 8, stride: 16 },
  { queryHeads: 4, kvHeads: 4, stride: 8 },
  { queryHeads: 2, kvHeads: 2, stride: 5 },
];

/** What is counted. */
export interface S2Data {
  /** By stride and length. */
  readonly rows: readonly S2Row[];
  /** By rows of a tile. */
  readonly merged: readonly MergedRow[];
  /** By heads. */
  readonly coverage: readonly CoverageRow[];
}

/** What a head keeps: its band, and of all blocks one in a stride. */
function keptBound({ stride, length }: S2Row): number {
  return BLOCK * (LOCAL_BLOCKS + Math.ceil(length / BLOCK / stride));
}

function chartOf({ rows }: S2Data): Chart {
  const names = STRIDES.map((stride) => `stride ${stride}`);
  const all = rows.map((row) => ({ ...row, of: `stride ${row.stride}` }));
  const dense = LENGTHS.map((length) => ({ length, kept: length, of: "all" }));
  return panels({
    title: "Times fewer tiles than causal attention",
    subtitle: "lines: tiles visited; circles: 1 / density",
    marks: {
      ...PANEL,
      data: {
        values: all.map(({ density, ...row }) => ({
          ...row,
          bound: 1 / density,
        })),
      },
      layer: [
        {
          mark: { type: "line" },
          encoding: {
            x: doublings("length", "tokens", LENGTHS),
            y: numbers("saving", null),
            color: colours("of", names),
          },
        },
        {
          mark: { type: "point", size: 60 },
          encoding: {
            x: doublings("length", "tokens", LENGTHS),
            y: numbers("bound", null),
            color: colours("of", names),
          },
        },
      ],
    },
  }, {
    title: "What a cache keeps of a head",
    subtitle: "thousands of tokens",
    marks: {
      ...PANEL,
      data: {
        values: [...all, ...dense].map(({ length, kept, of }) => ({
          length: length / 1024,
          kept: kept / 1024,
          of,
        })),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: numbers("length", "thousands of tokens decoded"),
        y: numbers("kept", null),
        color: colours("of", [...names, "all"]),
      },
    },
  });
}

function reportOf(data: S2Data): Report {
  const { rows, merged, coverage } = data;
  const longest = rows.filter(({ length }) => length === LONGEST);
  const sparsest = longest[longest.length - 1];
  return {
    title: "S2-Attention: work and memory by stride and length",
    paper:
      "attention up to 25.3x faster than FlashAttention-2 at 128k tokens; a " +
      "cache keeps of each head its band and its share of the rest",
    setting: [
      `Plans for ${HEADS} heads of ${HEAD_DIM}, blocks of ${BLOCK}, a band of ` +
      `${LOCAL_BLOCKS} blocks, float32. Nobody says which tiles are empty: they ` +
      "are found by the mask's interval reading. Counts, not times.",
      "A cache with a block table for each head, decoded up to each length; " +
      "blocks that a head is done with go back to the pool.",
    ],
    tables: [{
      title: "By stride and length; times are of causal attention",
      columns: [
        "stride",
        "tokens",
        "density",
        "1 / density",
        "fewer tiles",
        "fewer bytes",
        "tokens kept",
      ],
      rows: rows.map((row) => [
        row.stride,
        row.length,
        percent(row.density),
        (1 / row.density).toFixed(2),
        `${row.saving.toFixed(2)}x`,
        `${row.traffic.toFixed(2)}x`,
        row.kept,
      ]),
    }, {
      title: `Blocks of rows in a tile, at stride 16 and ${LONGEST} tokens`,
      columns: ["blocks of rows", "products", "tiles of keys loaded"],
      rows: merged.map(({ rows, work, loads }) => [
        rows,
        `${work.toFixed(2)}x`,
        `${loads.toFixed(2)}x`,
      ]),
    }, {
      title: "What heads cover together beyond their bands",
      columns: ["query heads", "kv heads", "stride", "of all blocks"],
      rows: coverage.map(({ queryHeads, kvHeads, stride, fraction }) => [
        queryHeads,
        kvHeads,
        stride,
        percent(fraction),
      ]),
    }],
    checks: [
      {
        claim: "plans visit the blocks that the pattern keeps, and no others",
        holds: rows.every(({ blocks, visited }) => blocks === visited),
      },
      {
        claim:
          "tiles fall by 1 / density, to within a tenth: what is lost is " +
          "the hidden half of each row's own block",
        holds: rows.every(({ saving, density }) =>
          saving * density > 0.9 && saving * density <= 1
        ),
      },
      {
        claim: "what is saved grows with the length, at every stride",
        holds: rows.every(({ stride, saving }, i) =>
          rows[i - 1]?.stride !== stride || saving > rows[i - 1].saving
        ),
      },
      {
        claim:
          `at ${LONGEST} tokens and stride ${sparsest.stride} tiles are more ` +
          "than 20 times fewer",
        holds: sparsest.saving > 20,
      },
      {
        claim: "a head keeps its band and one block in a stride, at most",
        holds: rows.every((row) => row.kept <= keptBound(row)),
      },
      {
        claim: "and while a block is decoded, one block more",
        holds: rows.every((row) => row.peak <= keptBound(row) + BLOCK),
      },
      {
        claim: "two blocks of rows in a tile cost less than a quarter more " +
          "products, and load less than two thirds of the keys",
        holds: merged[1].work < 1.25 && merged[1].loads < 2 / 3,
      },
      {
        claim: "heads cover the context where there are as many kv heads as " +
          "the stride, and not elsewhere",
        holds: coverage.every(({ kvHeads, stride, fraction }) =>
          (fraction === 1) === (kvHeads >= stride)
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** S2-Attention's figure. */
export const s2: Experiment = {
  count: () =>
    reportOf({
      rows: countS2(STRIDES, LENGTHS),
      merged: countMerged(16, LONGEST, MERGED),
      coverage: countCoverage(LAYERS),
    }),
  timing: s2Times,
};
