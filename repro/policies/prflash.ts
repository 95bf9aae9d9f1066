/**
 * PrFlashAttention, with this library's own chances: cost, error by rounds, and
 * even work.
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
  countKept,
  countLoads,
  countRounds,
  type KeptRow,
  type LoadRow,
  nameOf,
  ROUNDS_FAMILY,
  type RoundsData,
} from "./prflash_counts.ts";
import { prflashTimes } from "./prflash_times.ts";

const LENGTHS: readonly number[] = [1024, 2048, 4096];
const SEEDS = 16;
const ROWS = 128;
const WORKERS = 16;

/** What is counted. */
export interface PrFlashData {
  readonly kept: readonly KeptRow[];
  readonly rounds: RoundsData;
  readonly loads: readonly LoadRow[];
}

function countPrFlash(): PrFlashData {
  return {
    kept: countKept(LENGTHS),
    rounds: countRounds({ seeds: SEEDS }),
    loads: countLoads(ROWS, WORKERS),
  };
}

function chartOf({ kept, rounds }: PrFlashData): Chart {
  const families = [...new Set(kept.map(({ family }) => family))];
  return panels({
    title: "Blocks that are visited, by length",
    subtitle: "of those of causal attention; lines: what is expected",
    marks: {
      ...PANEL,
      data: { values: kept },
      encoding: {
        x: doublings("length", "tokens", LENGTHS),
        color: colours("family", families),
      },
      layer: [{
        mark: "line",
        encoding: { y: numbers("expected", null) },
      }, {
        mark: { type: "point", filled: true },
        encoding: { y: numbers("visited", null) },
      }],
    },
  }, {
    title: "Error by rounds",
    subtitle: "root mean square, over that of dense attention's outputs",
    marks: {
      ...PANEL,
      data: { values: rounds.rows },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("rounds", "rounds", [1, 2, 4, 8, 16, 32, 64]),
        y: numbers("error", null, { scale: { type: "log", base: 2 } }),
        color: colours("mode", ["paper", "ht"]),
      },
    },
  });
}

function reportOf(data: PrFlashData): Report {
  const { kept, rounds, loads } = data;
  const [whole] = loads;
  const ht = rounds.rows.filter(({ mode }) => mode === "ht");
  const paper = rounds.rows.filter(({ mode }) => mode === "paper");
  return {
    title: "PrFlashAttention: blocks by chance, with chances of our own",
    paper:
      "a probability distribution over block distance decides whether a block " +
      "joins a round, and the triangle is reshaped; neither could be recovered",
    setting: [
      "experimentalPrFlash(), whose chances are this library's: of a block d " +
      "blocks behind, at least 1/16. Blocks of 64 tokens, 4 heads, 2 seeds; " +
      "tiles are those that plans visit. Counts, not times.",
      `Rounds: three rows of 22 to 24 blocks, ${SEEDS} seeds, chances ${
        nameOf(ROUNDS_FAMILY)
      }; numerators and denominators of all rounds are added up.`,
      `Work: ${ROWS} rows of blocks on ${WORKERS} workers, each as many rows; the ` +
      "fold puts row I beside row T - 1 - I.",
    ],
    tables: [{
      title: "Blocks, of those of causal attention",
      columns: ["chance", "tokens", "expected", "kept", "sd off", "visited"],
      rows: kept.map((row) => [
        row.family,
        row.length,
        percent(row.expected),
        percent(row.kept),
        row.deviations.toFixed(2),
        percent(row.visited),
      ]),
    }, {
      title: "Error by rounds, over dense attention's outputs",
      columns: ["rounds", "paper", "ht"],
      rows: ht.map(({ rounds, error }, i) => [
        rounds,
        paper[i].error.toFixed(2),
        error.toFixed(2),
      ]),
    }, {
      title: "Blocks of the busiest worker, over the mean",
      columns: ["chance", "one by one", "in turns", "folded"],
      rows: loads.map((row) => [
        row.family,
        row.contiguous.toFixed(2),
        row.turns.toFixed(2),
        row.folded.toFixed(2),
      ]),
    }],
    checks: [
      {
        claim: "as many blocks are kept as expected, within 4 deviations",
        holds: kept.every(({ deviations }) => Math.abs(deviations) <= 4),
      },
      {
        claim: "tiles are visited exactly as blocks are kept",
        holds: kept.every(({ visited, kept }) =>
          Math.abs(visited - kept) < 1e-12
        ),
      },
      {
        claim:
          `error in mode "ht" falls with the root of the rounds: exponent ${
            rounds.slope.ht.toFixed(2)
          }, -1/2 expected`,
        holds: Math.abs(rounds.slope.ht + 0.5) < 0.1,
      },
      {
        claim: 'error in mode "paper" stays: from 8 to 64 rounds it falls by ' +
          "less than a fifth",
        holds: paper[paper.length - 1].error > 0.8 * paper[3].error,
      },
      {
        claim: "the fold gives each worker exactly as many blocks of a whole " +
          `triangle; rows one by one give the busiest ${
            whole.contiguous.toFixed(2)
          } times the mean`,
        holds: whole.folded === 1 && whole.contiguous > 1.9,
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** PrFlashAttention's figures, of chances that are this library's. */
export const prflash: Experiment = {
  count: () => reportOf(countPrFlash()),
  timing: prflashTimes,
};
