/**
 * What a backward plan's dispatches move, foretold from its schedules.
 *
 * @module
 */

import { bytesPerElement } from "../../core/dtype.ts";
import {
  flash2BackwardOf,
  type GradientSizes,
  storedBackwardOf,
} from "../../planning/traffic/backward.ts";
import {
  addCosts,
  NO_FLOPS,
  totalFlops,
  totalTraffic,
  trafficBytes,
  trafficOf,
} from "../../planning/traffic/cost.ts";
import type { ScheduleCost } from "../../planning/traffic/cost.ts";
import type { VisitSums } from "../../planning/traffic/tiles.ts";
import { movedRows, sumVisits, type Visits } from "../attention/moved_work.ts";
import type { AttentionProblem } from "../attention/problem.ts";
import { type ExplainedTraffic, seenOnce } from "../attention/traffic.ts";
import type { KeyRun } from "../attention/work/key_runs.ts";
import { gradientSpans } from "./gradient_spans.ts";

/**
 * Predicted traffic of a backward plan, counted as forward's is
 * ({@linkcode ExplainedTraffic}); gradients of captured floats come on top.
 *
 * @category Gradients
 */
export interface ExplainedBackwardTraffic extends
  Pick<
    ExplainedTraffic,
    "tensors" | "bytes" | "cachedBytes" | "flops" | "intensity"
  > {
  /** Bytes of each input that is seen and each gradient, once. */
  readonly floorBytes: number;
}

/** What passes move: their cost, and what they load again. */
export interface PassesMoved {
  readonly cost: ScheduleCost;
  /** What any schedule must move of queries and keys. */
  readonly seen: { readonly rows: number; readonly keys: number };
  /** Own rows of tiles that are loaded again after a tile's first step. */
  readonly rowsAgain: number;
}

/** The passes that make scores twice; parts of sums have `sumVecs` vec4s. */
export function recomputedMoved(
  problem: AttentionProblem,
  { query, key, sumVecs }: {
    readonly query: Visits;
    readonly key: Visits;
    readonly sumVecs: number;
  },
): PassesMoved {
  const [rows, keys] = [query, key].map((one) => sumVisits(problem, [one]));
  const cost = flash2BackwardOf(
    { query: rows, key: swapped(keys) },
    gradientSizes(problem),
  );
  return {
    cost: addCosts(cost, {
      traffic: trafficOf({ states: [4 * sumVecs, 4 * sumVecs] }),
      flops: NO_FLOPS,
    }),
    seen: seenOf(problem, key),
    rowsAgain: againOf(rows) + againOf(keys),
  };
}

/** The passes that store gradients of scores. */
export function storedMoved(
  problem: AttentionProblem,
  { query, key, tile, states }: {
    /** dQ's work, of all rounds. */
    readonly query: readonly Visits[];
    readonly key: Visits;
    /** Rows of dQ's tile, keys of the other's. */
    readonly tile: { readonly rows: number; readonly keys: number };
    /** Rows of dQ that go on from a round before, and that a later one takes. */
    readonly states: readonly [resumed: number, partial: number];
  },
): PassesMoved {
  const keys = sumVisits(problem, [key]);
  const rows = sumVisits(problem, query);
  const { headDim } = problem;
  const sum = 4 * Math.ceil(headDim / 4);
  const readByRows = query.map((one) =>
    tile.rows * one.step * sumVisits(problem, [one]).tiles
  );
  const seen = tile.keys * key.step * keys.tiles;
  const blanks = tile.keys * blankRows(problem, key);
  return {
    cost: storedBackwardOf({
      key: swapped(keys),
      query: rows,
      written: seen + blanks,
      read: readByRows.reduce((all, one) => all + one, seen),
      states: [sum * states[0], sum * states[1]],
    }, gradientSizes(problem)),
    seen: seenOf(problem, key),
    rowsAgain: againOf(keys),
  };
}

/** Puts it together. */
export function explainBackwardTraffic(
  problem: AttentionProblem,
  { cost, seen, rowsAgain }: PassesMoved,
  lseGradient: boolean,
): ExplainedBackwardTraffic {
  const { dtype, headDim: d, valueHeadDim: e } = problem;
  const { allRows, allKeys } = gradientSizes(problem);
  const { traffic, flops } = addCosts(cost, {
    // The log-sum-exp is copied beside D, which the gradient into it changes.
    traffic: trafficOf({
      lse: [allRows, allRows],
      ...(lseGradient && { delta: [allRows, 0] }),
    }),
    flops: NO_FLOPS,
  });
  const tensors = trafficBytes(traffic, dtype);
  const bytes = totalTraffic(tensors);
  const floor = trafficOf({
    query: [seen.rows * d, 0],
    key: [seen.keys * d, 0],
    value: [seen.keys * e, 0],
    output: [seen.rows * e, 0],
    outputGradient: [seen.rows * e, 0],
    lse: [seen.rows, 0],
    queryGradient: [0, allRows * d],
    keyGradient: [0, allKeys * d],
    valueGradient: [0, allKeys * e],
  });
  return {
    tensors,
    bytes,
    cachedBytes: bytesPerElement(dtype) * (d + e) * rowsAgain,
    flops,
    intensity: bytes === 0 ? 0 : totalFlops(flops) / bytes,
    floorBytes: totalTraffic(trafficBytes(floor, dtype)),
  };
}

/** A key pass's sums, whose rows are keys, by the names of the model. */
function swapped(
  { keys, seeingRows, pairs }: VisitSums,
): Pick<VisitSums, "rows" | "pairs" | "seenKeys"> {
  return { rows: keys, pairs, seenKeys: seeingRows };
}

/** Queries and keys that any schedule must read. */
function seenOf(problem: AttentionProblem, key: Visits): PassesMoved["seen"] {
  const { rows: keys, keys: rows } = seenOnce(problem, [key.work]);
  return { rows, keys };
}

/** Rows that are written for no pair, of all heads. */
function blankRows(
  { kvHeads }: Pick<AttentionProblem, "kvHeads">,
  { work: { workTiles } }: Visits,
): number {
  const ofRuns = (runs: readonly KeyRun[]) =>
    runs.reduce(
      (sum, { first, end, blank }) => sum + (blank ? end - first : 0),
      0,
    );
  return workTiles.reduce(
    (sum, { runs }) =>
      sum + (runs.length === 1 ? kvHeads : 1) *
        runs.reduce((all, list) => all + ofRuns(list), 0),
    0,
  );
}

function againOf({ rows, seeingRows }: VisitSums): number {
  return rows - seeingRows;
}

function gradientSizes(problem: AttentionProblem): GradientSizes {
  const sizes = movedRows(problem);
  const { spans } = gradientSpans(problem);
  const keys = spans.reduce((sum, { count }) => sum + count, 0);
  return { ...sizes, allKeys: keys * problem.kvHeads };
}
