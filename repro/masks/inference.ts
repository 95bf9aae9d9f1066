/**
 * Block masks by inference: how often the interval reading cannot tell a tile
 * that is empty or full.
 *
 * @module
 */

import {
  and,
  blockDiagonal,
  booleanMask,
  causal,
  classifyMask,
  dilated,
  document,
  type MaskFunction,
  maskFunction,
  type MaskMod,
  prefixLm,
  sinkWindow,
  slidingWindow,
  tree,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { numbers, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import { randomMask } from "./random_masks.ts";

const LENGTH = 256;
const TILES: readonly number[] = [8, 16, 32, 64];
const MASKS = 12;
const TREES = 300;

/** Tiles of one family. */
export interface InferenceRow {
  /** What the masks are. */
  readonly family: string;
  /** Whether the reading must tell every tile. */
  readonly exact: boolean;
  /** Tiles in all. */
  readonly tiles: number;
  /** Those that are empty or full, by looking at every pair. */
  readonly uniform: number;
  /** Those of them that the reading does not tell. */
  readonly undecided: number;
  /** Those that it tells wrongly. */
  readonly wrong: number;
}

/** What is counted. */
export interface InferenceData {
  /** By family. */
  readonly rows: readonly InferenceRow[];
}

interface Family {
  readonly name: string;
  readonly exact: boolean;
  readonly count: number;
  readonly mask: (random: Prng) => MaskMod;
}

/** Ids of documents one after the other, or in any order. */
function ids(random: Prng, scattered: boolean): Int32Array {
  const all = Int32Array.from({ length: LENGTH }, () => random.below(9));
  return scattered ? all : all.sort().map((id) => (id * 5) % 9);
}

const FAMILIES: readonly Family[] = [
  { name: "causal", exact: true, count: 1, mask: () => causal() },
  {
    name: "window",
    exact: true,
    count: MASKS,
    mask: (random) =>
      slidingWindow({ left: random.below(100), right: random.below(40) }),
  },
  {
    name: "prefix-LM",
    exact: true,
    count: MASKS,
    mask: (random) => prefixLm(random.below(LENGTH)),
  },
  {
    name: "documents, one after the other",
    exact: true,
    count: MASKS,
    mask: (random) => document(ids(random, false)),
  },
  {
    name: "dilated",
    exact: true,
    count: MASKS,
    mask: (random) =>
      dilated({ window: random.below(150), dilation: 1 + random.below(40) }),
  },
  {
    name: "diagonal blocks",
    exact: true,
    count: MASKS,
    mask: (random) => blockDiagonal(1 + random.below(90)),
  },
  {
    name: "tree",
    exact: true,
    count: MASKS,
    mask: (random) => {
      const start = random.below(LENGTH / 2);
      const nodes = LENGTH - start;
      return tree(
        Int32Array.from({ length: nodes }, (_, i) => random.below(i + 1) - 1),
        start,
      );
    },
  },
  {
    name: "any bits",
    exact: true,
    count: MASKS,
    mask: (random) => {
      const every = 1 + random.below(400);
      return booleanMask(
        Uint8Array.from(
          { length: LENGTH * LENGTH },
          () => random.below(every) === 0 ? 1 : 0,
        ),
        [LENGTH, LENGTH],
        { queryOffset: 0 },
      );
    },
  },
  {
    name: "sink and window",
    exact: false,
    count: MASKS,
    mask: (random) =>
      sinkWindow({ sinks: random.below(60), window: random.below(120) }),
  },
  {
    name: "causal and documents",
    exact: false,
    count: MASKS,
    mask: (random) => and(causal(), document(ids(random, false))),
  },
  {
    name: "documents, scattered",
    exact: true,
    count: MASKS,
    mask: (random) => document(ids(random, true)),
  },
  {
    name: "documents, in turns",
    exact: true,
    count: MASKS,
    mask: (random) => {
      const turn = 4 + random.below(28);
      const all = ids(random, true);
      return document(all.map((_, i) => all[Math.floor(i / turn)]));
    },
  },
  {
    name: "random expressions",
    exact: false,
    count: TREES,
    mask: (random) => randomMask(random),
  },
];

/** Counts of seen pairs, so that a tile costs four look-ups. */
function countTable(sees: MaskFunction): Uint32Array {
  const width = LENGTH + 1;
  const counts = new Uint32Array(width * width);
  for (let q = 0; q < LENGTH; q++) {
    let row = 0;
    for (let k = 0; k < LENGTH; k++) {
      if (sees(0, 0, q, k)) row++;
      counts[(q + 1) * width + k + 1] = counts[q * width + k + 1] + row;
    }
  }
  return counts;
}

function countFamily({ name, exact, count, mask }: Family): InferenceRow {
  const random = new Prng(name.length);
  const found = { tiles: 0, uniform: 0, undecided: 0, wrong: 0 };
  for (let n = 0; n < count; n++) {
    const mod = mask(random);
    const counts = countTable(maskFunction([mod]));
    const at = (q: number, k: number) => counts[q * (LENGTH + 1) + k];
    for (const size of TILES) {
      for (let q = 0; q < LENGTH; q += size) {
        for (let k = 0; k < LENGTH; k += size) {
          const seen = at(q + size, k + size) - at(q, k + size) -
            at(q + size, k) + at(q, k);
          const truth = seen === 0
            ? "none"
            : seen === size * size
            ? "all"
            : "some";
          const told = classifyMask([mod], {
            batch: [0, 0],
            head: [0, 0],
            query: [q, q + size - 1],
            key: [k, k + size - 1],
          });
          found.tiles++;
          if (truth !== "some") found.uniform++;
          if (truth !== "some" && told === "some") found.undecided++;
          if (told !== "some" && told !== truth) found.wrong++;
        }
      }
    }
  }
  return { family: name, exact, ...found };
}

/** Counts tiles that are told, and that are not. */
export function countInference(
  families: readonly string[] = FAMILIES.map(({ name }) => name),
): InferenceData {
  return {
    rows: FAMILIES.filter(({ name }) => families.includes(name))
      .map(countFamily),
  };
}

function chartOf({ rows }: InferenceData): Chart {
  return panels({
    title: "Empty and full tiles that are not told",
    subtitle: "of all empty and full tiles",
    marks: {
      ...PANEL,
      data: {
        values: rows.map(({ family, uniform, undecided }) => ({
          family,
          share: undecided / uniform,
        })),
      },
      mark: { type: "bar", color: "#0072b2" },
      encoding: {
        y: {
          field: "family",
          type: "nominal",
          title: null,
          sort: null,
          axis: { labelLimit: 260 },
        },
        x: numbers("share", null, { axis: { format: "%" } }),
      },
    },
  });
}

function reportOf(data: InferenceData): Report {
  const { rows } = data;
  return {
    title: "Block masks by inference: what intervals cannot tell",
    paper: "none has this figure: FlexAttention makes its block mask by " +
      "evaluating the mask for every pair",
    setting: [
      `${LENGTH} queries and keys in square tiles of ${
        TILES.join(", ")
      }; ${MASKS} random masks a family, ${TREES} random expressions. What a ` +
      "tile is, is found by looking at every pair; an undecided tile is " +
      "visited and masked, which costs time and no more.",
    ],
    tables: [{
      title: "Tiles",
      columns: [
        "masks",
        "tiles",
        "empty or full",
        "undecided",
        "of these",
        "wrong",
      ],
      rows: rows.map(({ family, tiles, uniform, undecided, wrong }) => [
        family,
        tiles,
        uniform,
        undecided,
        percent(undecided / uniform),
        wrong,
      ]),
    }],
    checks: [
      {
        claim: "no tile is told wrongly",
        holds: rows.every(({ wrong }) => wrong === 0),
      },
      {
        claim: `every tile is told of: ${
          rows.filter(({ exact }) => exact).map(({ family }) => family)
            .join("; ")
        }`,
        holds: rows.every(({ exact, undecided }) => !exact || undecided === 0),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** How often the interval reading is inconclusive. */
export const inference: Experiment = {
  count: () => reportOf(countInference()),
};
