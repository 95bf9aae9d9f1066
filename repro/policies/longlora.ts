/**
 * LongLoRA: what groups save by length, and how far tokens see through them.
 *
 * @module
 */

import { longlora as policy } from "../../src/policies/mod.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { fittedExponent } from "../fit.ts";
import {
  countLength,
  countReach,
  countWrapped,
  HEAD_DIM,
  HEADS,
  type LongLoraRow,
  REACH,
  type ReachRow,
} from "./longlora_counts.ts";

const LENGTHS: readonly number[] = [2048, 4096, 8192, 16_384];
const GROUP = 512;
const LAYERS: readonly number[] = [0, 1, 2, 3, 4, 5, 6, 7];
const WRAPPED = { length: 64, groupSize: 16 };

const FULL = "all keys";
const RATIO = "groups of a quarter";
const FIXED = `groups of ${GROUP}`;
const KINDS = [FULL, RATIO, FIXED];

/** What is counted. */
export interface LongLoraData {
  /** By kind and length. */
  readonly rows: readonly LongLoraRow[];
  /** By layers. */
  readonly reach: readonly ReachRow[];
  /** Pairs that are not causal where groups wrap. */
  readonly wrapped: number;
}

/** Counts work by kind and length, and reach by layers. */
export function countLongLora(
  lengths: readonly number[] = LENGTHS,
): LongLoraData {
  return {
    rows: lengths.flatMap((length) => [
      countLength(FULL, length),
      countLength(RATIO, length, policy()),
      countLength(FIXED, length, policy({ groupSize: GROUP })),
    ]),
    reach: LAYERS.map(countReach),
    wrapped: countWrapped(WRAPPED),
  };
}

function chartOf({ rows, reach }: LongLoraData): Chart {
  const names = ["half of the heads shifted", "none shifted"];
  return panels({
    title: "Pairs in tiles that are visited",
    subtitle: "millions, of both heads",
    marks: {
      ...PANEL,
      data: {
        values: rows.map(({ of, length, visited }) => ({
          of,
          length,
          visited: visited / 1e6,
        })),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", "tokens", LENGTHS),
        y: numbers("visited", null, {
          // Four times the work is as far as twice the tokens.
          scale: { type: "log", base: 2, domain: [1, 300], nice: false },
          axis: { values: [1, 4, 16, 64, 256] },
        }),
        color: colours("of", KINDS),
      },
    },
  }, {
    title: "What the last token depends on",
    subtitle: `of ${REACH.tokens} tokens, groups of ${REACH.groupSize}`,
    marks: {
      ...PANEL,
      data: {
        values: reach.flatMap(({ layers, shifted, apart }) => [
          { layers, tokens: shifted, of: names[0] },
          { layers, tokens: apart, of: names[1] },
        ]),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: numbers("layers", "layers", { axis: { values: LAYERS } }),
        y: numbers("tokens", null),
        color: colours("of", names),
      },
    },
  });
}

function reportOf(data: LongLoraData): Report {
  const { rows, reach, wrapped } = data;
  const at = (of: string, length: number) =>
    rows.find((row) => row.of === of && row.length === length)!;
  const growth = (of: string) => at(of, 8192).pairs / at(of, 2048).pairs;
  const exponent = (of: string) =>
    fittedExponent(
      rows.filter((row) => row.of === of)
        .map(({ length, pairs }) => [length, pairs]),
    );
  const saved = at(FULL, 8192).pairs / at(RATIO, 8192).pairs;
  const half = WRAPPED.groupSize / 2;
  const last = reach[reach.length - 1];
  return {
    title: "LongLoRA: work by length, and reach by layers",
    paper:
      "self-attention of 8192 tokens costs 16 times that of 2048; groups keep " +
      "the cost of the short context, and shifted heads pass on what they know",
    setting: [
      `Plans for ${HEADS} heads of ${HEAD_DIM}, of which the second is shifted, ` +
      `float32: all keys before a query; groups of a quarter of the sequence, ` +
      `as the authors train; groups of ${GROUP}. Counts, not times.`,
      `Reach is the product of boolean masks, over ${REACH.tokens} tokens in ` +
      `groups of ${REACH.groupSize}.`,
    ],
    tables: [{
      title: "By kind and length, of both heads",
      columns: ["attention", "tokens", "pairs", "in tiles", "fewer", "MB"],
      rows: rows.map(({ of, length, pairs, visited, bytes }) => [
        of,
        length,
        pairs,
        visited,
        `${(at(FULL, length).pairs / pairs).toFixed(2)}x`,
        (bytes / 1e6).toFixed(1),
      ]),
    }, {
      title: "Tokens that the last one depends on",
      columns: ["layers", "half of the heads shifted", "none shifted"],
      rows: reach.map(({ layers, shifted, apart }) => [layers, shifted, apart]),
    }],
    checks: [
      {
        claim:
          `from 2048 to 8192 tokens all keys cost ${growth(FULL).toFixed(2)} ` +
          "times as much: 16 but for the diagonal",
        holds: Math.abs(growth(FULL) / 16 - 1) < 0.001,
      },
      {
        claim: `groups of ${GROUP} cost ${growth(FIXED).toFixed(2)} times as ` +
          "much: 4 but for the half groups at both ends of shifted heads",
        holds: growth(FIXED) > 4 && growth(FIXED) < 4.25,
      },
      {
        claim: `exponents of the length are ${exponent(FULL).toFixed(3)} and ${
          exponent(FIXED).toFixed(3)
        }`,
        holds: Math.abs(exponent(FULL) - 2) < 0.001 &&
          Math.abs(exponent(FIXED) - 1) < 0.03,
      },
      {
        claim: `groups of a quarter save ${
          saved.toFixed(2)
        } times: 4 in heads that are not shifted, 32 / 7 in those that are`,
        holds: Math.abs(saved / (32 / 7.5) - 1) < 0.001,
      },
      {
        claim: "no plan visits a tile in which no pair is kept",
        holds: rows.every(({ needless }) => needless === 0),
      },
      {
        claim: "tokens reach past their group through shifted heads alone, " +
          "half a group further each layer",
        holds:
          reach.every(({ layers, shifted, apart }) =>
            apart === (layers === 0 ? 1 : REACH.groupSize) &&
            shifted === (layers === 0 ? 1 : REACH.groupSize * (layers + 1) / 2)
          ) && last.shifted === REACH.tokens,
      },
      {
        claim: `where groups of ${WRAPPED.groupSize} wrap around ` +
          `${WRAPPED.length} tokens, queries of a shifted head see ${wrapped} ` +
          "later keys: half a group, squared",
        holds: wrapped === half * half,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** LongLoRA's figures. */
export const longlora: Experiment = { count: () => reportOf(countLongLora()) };
