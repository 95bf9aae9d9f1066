/**
 * MosaicBERT's unpadding: the work of a batch that is padded over that of one
 * that is packed.
 *
 * @module
 */

import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import {
  BATCH,
  countPadding,
  HEADS,
  LENGTHS,
  MEAN,
  type PaddingRow,
} from "./mosaicbert_counts.ts";
import { paddingTimes } from "./mosaicbert_times.ts";

function chartOf(rows: readonly PaddingRow[]): Chart {
  const names = ["linear layers", "attention", "attention, in tiles"];
  const values = rows.flatMap(({ cutOff, linear, squares, tiles }) =>
    [linear, squares, tiles].map((ratio, i) => ({
      cutOff,
      of: names[i],
      ratio,
    }))
  );
  return panels({
    title: "Work of a padded batch",
    subtitle: "times that of the packed one",
    marks: {
      ...PANEL,
      data: { values },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("cutOff", "tokens at which texts are cut off", LENGTHS),
        y: numbers("ratio", null),
        color: colours("of", names),
      },
    },
  });
}

function reportOf(rows: readonly PaddingRow[]): Report {
  const bert = rows.find(({ cutOff }) => cutOff === 128)!;
  const longest = rows[rows.length - 1];
  return {
    title: "MosaicBERT: padded against packed",
    paper:
      "a BERT-Base of 79.6 GLUE in 1.13 hours on eight A100; unpadding is " +
      "one of its parts, at 128 tokens",
    setting: [
      `${BATCH} texts with log-normal lengths, mean ${MEAN} as of C4's ` +
      "documents, standard deviation 1 of the logarithms, seeded, cut off. " +
      "Padded to the longest of the batch, as collators do.",
      `Problems and plans of ${HEADS.heads} heads of ${HEADS.headDim}, ` +
      "bidirectional with ALiBi. Counts, not times.",
    ],
    tables: [{
      title: "Work of the padded batch over that of the packed one",
      columns: [
        "cut off at",
        "longest",
        "tokens",
        "linear",
        "attention",
        "in tiles",
      ],
      rows: rows.map((row) => [
        row.cutOff,
        row.longest,
        row.tokens,
        row.linear.toFixed(3),
        row.squares.toFixed(3),
        row.tiles.toFixed(3),
      ]),
    }],
    checks: [
      {
        claim: "packed attention has exactly the pairs of its texts, padded " +
          "attention those of the longest for each: the ratio of the squares",
        holds: rows.every(({ pairs, squares }) =>
          Math.abs(pairs - squares) < 1e-12 * squares
        ),
      },
      {
        claim: "attention gains more than linear layers do",
        holds: rows.every(({ squares, linear }) => squares > linear),
      },
      {
        claim: "tiles, which a text's end may leave half empty, keep nine " +
          "tenths of that ratio",
        holds: rows.every(({ tiles, squares }) => tiles >= 0.9 * squares),
      },
      {
        claim:
          "the longer texts may be, the more padding costs: at 128 tokens " +
          `${bert.linear.toFixed(2)} times the linear work, at 2048 ` +
          `${longest.linear.toFixed(2)} times`,
        holds: rows.every(({ linear }, i) =>
          i === 0 || linear > rows[i - 1].linear
        ),
      },
    ],
    data: rows,
    chart: chartOf(rows),
  };
}

/** MosaicBERT's unpadding. */
export const mosaicbert: Experiment = {
  count: () => reportOf(LENGTHS.map(countPadding)),
  timing: paddingTimes,
};
