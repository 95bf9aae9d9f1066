/**
 * SeerAttention's gate on planted sparse maps: density, mass and cost.
 *
 * @module
 */

import { colours, fractions, numbers, PANEL, panels } from "../axes.ts";
import {
  type Chart,
  type Experiment,
  percent,
  type Report,
} from "../experiment.ts";
import { BLOCK, countSeer, DIM, type SeerRow } from "./seer_counts.ts";

const LENGTHS: readonly number[] = [4096, 8192, 16384, 32768];
/** The paper's sparsity of 90 %. */
const DENSITY = 0.1;
const LENGTH = 16384;
const DENSITIES: readonly number[] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9];

/** What is counted. */
export interface SeerData {
  /** By length, at one density. */
  readonly lengths: readonly SeerRow[];
  /** By density, at one length. */
  readonly densities: readonly SeerRow[];
}

function count(): SeerData {
  return {
    lengths: LENGTHS.flatMap((length) => countSeer(length, [DENSITY])),
    densities: countSeer(LENGTH, DENSITIES),
  };
}

function chartOf({ densities }: SeerData): Chart {
  const blocks = densities.flatMap(({ asked, chosen, kept }) => [
    { asked, what: "chosen by the gate", part: chosen },
    { asked, what: "with what is kept in any case", part: kept },
  ]);
  const masses = densities.flatMap(({ asked, mass, byChance }) => [
    { asked, what: "the gate's blocks", part: mass },
    { asked, what: "as many by chance", part: byChance },
  ]);
  const asked = numbers("asked", "density that is asked for", {
    axis: { format: "%", tickCount: 5 },
    scale: { domain: [0, 1] },
  });
  const panel = (
    values: readonly { readonly what: string }[],
    order: readonly string[],
  ) => ({
    ...PANEL,
    data: { values },
    mark: { type: "line", point: true },
    encoding: {
      x: asked,
      y: fractions("part"),
      color: colours("what", order),
    },
  });
  return panels({
    title: "Blocks that are kept",
    subtitle: `of the causal triangle's, at ${LENGTH} tokens`,
    marks: panel(blocks, [
      "chosen by the gate",
      "with what is kept in any case",
    ]),
  }, {
    title: "Mass that is kept",
    subtitle: "of each query's softmax, in the mean",
    marks: panel(masses, ["the gate's blocks", "as many by chance"]),
  });
}

function reportOf(data: SeerData): Report {
  const { lengths, densities } = data;
  const all = [...lengths, ...densities];
  const cells = (row: SeerRow) => [
    row.topK,
    percent(row.chosen),
    percent(row.kept),
    percent(row.mass),
    percent(row.byChance),
    row.speedup.toFixed(2),
    (row.speedup * row.kept).toFixed(2),
  ];
  const columns = [
    "blocks a row",
    "chosen",
    "kept",
    "mass",
    "by chance",
    "less work by",
    "x kept",
  ];
  const least = Math.min(...all.map(({ mass }) => mass));
  return {
    title: "SeerAttention: what a gate keeps of sparse maps",
    paper:
      "at 90 % sparsity and 32k tokens block-sparse attention is 5.67 times " +
      "as fast as dense attention, with little loss",
    setting: [
      `One head of ${DIM} elements, blocks of ${BLOCK} tokens. Maps are planted: ` +
      "keys of a block share a direction, and each block of queries has the " +
      "directions of four blocks before it. The gate takes means as they are, " +
      "which is what distillation would have to find here; it is no trained one.",
      "A density asks for max(1, floor((1 - sqrt(1 - density)) n)) blocks of each " +
      "row; the blocks of a row's own queries and the last two rows come on top. " +
      "Masses are of 16 queries. Work: operations of plans, and of the gate " +
      "beside them. Counts, not times.",
    ],
    tables: [{
      title: `By length, density ${percent(DENSITY)}`,
      columns: ["tokens", ...columns],
      rows: lengths.map((row) => [row.length, ...cells(row)]),
    }, {
      title: `By density, ${LENGTH} tokens`,
      columns: ["density", ...columns],
      rows: densities.map((row) => [percent(row.asked), ...cells(row)]),
    }],
    checks: [
      {
        claim: "what is chosen is within 2 points of the density asked for",
        holds: all.every(({ asked, chosen }) =>
          Math.abs(chosen - asked) <= 0.02
        ),
      },
      {
        claim: "from 16k tokens on, so is all that is kept",
        holds: all.filter(({ length }) => length >= 16384)
          .every(({ asked, kept }) => Math.abs(kept - asked) <= 0.02),
      },
      {
        claim: `no less than ${
          percent(Math.floor(1000 * least) / 1000)
        } of the softmax is kept; as many blocks by chance keep less everywhere`,
        holds: least > 0.99 &&
          all.every(({ mass, byChance }) => byChance < mass),
      },
      {
        claim: "every error is within 2 (1 - mass) max |v|",
        holds: all.every(({ error }) => error <= 1),
      },
      {
        claim: "tiles are visited exactly as blocks are kept",
        holds: all.every(({ visited, kept }) =>
          Math.abs(visited - kept) < 1e-12
        ),
      },
      {
        claim:
          "work falls with the density: less by 0.9 to 1 of its inverse, " +
          "gate included",
        holds: all.every(({ speedup, kept }) =>
          speedup * kept > 0.9 && speedup * kept <= 1
        ),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** SeerAttention's figure, of what can be counted. */
export const seer: Experiment = { count: () => reportOf(count()) };
