/**
 * JRT: what it costs to read twice, as a prompt and as a prefix.
 *
 * @module
 */

import { repeatedPrompt } from "../../src/model/mod.ts";
import {
  flash2Cost,
  linearCost,
  linearStateCost,
  type ScheduleCost,
  totalFlops,
  totalTraffic,
  trafficBytes,
} from "../../src/planning/mod.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import {
  BASED_DIM,
  CHUNK,
  type Counts,
  HEAD_DIM,
  LENGTHS,
} from "./growth_counts.ts";

/** One length of the context. */
export interface JrtRow {
  /** Tokens. */
  readonly length: number;
  /** Reading it once. */
  readonly once: Counts;
  /** JRT-Prompt's, twice. */
  readonly twice: Counts;
  /** The prefix's encoder alone, which JRT-RNN has besides. */
  readonly encoder: Counts;
  /** Softmax attention that reads it once. */
  readonly softmax: Counts;
}

/** What is counted. */
export interface JrtData {
  /** By length of the context. */
  readonly rows: readonly JrtRow[];
}

function countsOf({ traffic, flops }: ScheduleCost): Counts {
  return {
    flops: totalFlops(flops),
    bytes: totalTraffic(trafficBytes(traffic, "f32")),
  };
}

function basedOf(tokens: number, cost: typeof linearCost): Counts {
  return countsOf(cost({
    tokens,
    headDim: BASED_DIM,
    valueHeadDim: HEAD_DIM,
    featureMap: "taylor",
    normalize: true,
  }, { chunk: CHUNK }));
}

/** Counts. */
export function countJrt(lengths: readonly number[] = LENGTHS): JrtData {
  return {
    rows: lengths.map((length): JrtRow => {
      const context = new Uint32Array(length);
      const prompt = repeatedPrompt({ context, question: [] });
      return {
        length,
        once: basedOf(length, linearCost),
        twice: basedOf(prompt.length, linearCost),
        encoder: basedOf(length, linearStateCost),
        softmax: countsOf(flash2Cost(
          { queries: length, keys: length, headDim: HEAD_DIM },
          { rows: CHUNK, keys: CHUNK, visits: (row, key) => key <= row },
        )),
      };
    }),
  };
}

const NAMES = {
  once: "BASED, read once",
  twice: "JRT-Prompt: read twice",
  softmax: "softmax attention, read once",
} as const;

function chartOf({ rows }: JrtData): Chart {
  const names = Object.keys(NAMES) as (keyof typeof NAMES)[];
  return panels({
    title: "Operations of prefill",
    subtitle: "one head",
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap((row) =>
          names.map((name) => ({
            length: row.length,
            reading: NAMES[name],
            flops: row[name].flops,
          }))
        ),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", "tokens of the context", LENGTHS),
        y: numbers("flops", null, {
          scale: { type: "log", base: 10, nice: false },
          axis: { format: "~s", tickCount: 5 },
        }),
        color: colours("reading", names.map((name) => NAMES[name])),
      },
    },
  });
}

function reportOf(data: JrtData): Report {
  const { rows } = data;
  const last = rows[rows.length - 1];
  return {
    title: "JRT: reading twice",
    paper:
      "JRT-Prompt is 11.9x faster than FlashAttention-2 at 32k tokens of " +
      "prefill, JRT-RNN 19.2x, both on an H100",
    setting: [
      `BASED's linear attention of ${BASED_DIM} with values of ${HEAD_DIM}, one ` +
      `head, in chunks of ${CHUNK}; the prompt is \`repeatedPrompt()\`'s. Counts, ` +
      "not times.",
    ],
    tables: [{
      title: "Operations over those of one reading",
      columns: ["context", "JRT-Prompt", "with a prefix", "softmax, once"],
      rows: rows.map(({ length, once, twice, encoder, softmax }) => [
        length,
        (twice.flops / once.flops).toFixed(3),
        (1 + encoder.flops / once.flops).toFixed(3),
        (softmax.flops / once.flops).toFixed(2),
      ]),
    }],
    checks: [
      {
        claim:
          "JRT-Prompt costs 2.0 times linear prefill, operations and bytes",
        holds: rows.every(({ once, twice }) =>
          twice.flops === 2 * once.flops && twice.bytes === 2 * once.bytes
        ),
      },
      {
        claim: "a prefix costs less than a second reading",
        holds: rows.every(({ once, encoder }) =>
          encoder.flops < once.flops && encoder.bytes < once.bytes
        ),
      },
      {
        claim:
          "at 32768 tokens reading twice takes a tenth of the operations " +
          "of softmax attention, or less",
        holds: last.softmax.flops >= 10 * last.twice.flops,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** JRT's prompt and prefix. */
export const jrt: Experiment = { count: () => reportOf(countJrt()) };
