/**
 * The standard algorithm: the 3-dispatch baseline, which neither splits nor
 * shares.
 *
 * @module
 */

import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import {
  STANDARD_COLUMNS,
  standardKernels,
} from "../../../../kernels/attention/standard.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { standardOf } from "../../../planning/traffic/standard.ts";
import type { VisitSums } from "../../../planning/traffic/tiles.ts";
import { type CheckedChoices, UNSPLIT } from "../options/choices.ts";
import { type AttentionProblem, packedRows, vecsOf } from "../problem.ts";
import { flatWork } from "../work/key_ranges.ts";
import { type Algorithm, largest, type TileSize } from "./algorithm.ts";
import { forwardTile } from "./forward.ts";
import { selectionOf } from "./selection.ts";
import type { PlanDevice } from "./variant.ts";

/**
 * The 3-dispatch baseline.
 *
 * @throws {UnsupportedError} if the device would end its loops over the keys
 */
export function standardAlgorithm(
  problem: AttentionProblem,
  spec: AttentionSpec,
  { tiles, model }: CheckedChoices,
  device: PlanDevice,
): Algorithm {
  const headVecs = vecsOf(problem.headDim);
  const valueVecs = vecsOf(problem.valueHeadDim);
  const rows = largest(problem.sequences.map((s) => packedRows(problem, s)));
  // Its accumulators are in registers: room for one vec4 a row is enough.
  const tile = forwardTile(
    { rows, headVecs, valueVecs: 1, scoreMods: problem.scoreMods.length > 0 },
    tiles,
    device,
  );
  const keys = largest(problem.sequences.map((s) => s.keyCount));
  checkLoops(keys, { step: tile.keysPerStep, headVecs, valueVecs }, device);
  const work = flatWork(problem);
  const { scores, softmax, values } = standardKernels({ ...spec, tile });
  return {
    merge: {
      lanes: tile.lanes,
      maxLoopIterations: device.maxLoopIterations,
    },
    work,
    kernels: [{
      name: "standard",
      profile: "portable",
      passedOver: [],
      kernel: () => scores,
      ranges: work.own,
      rows: tileRows(tile),
      // Checked as a whole, above.
      loops: { step: tile.keysPerStep, fullStep: 0, maskedStep: 0, tile: 0 },
      partitions: [UNSPLIT],
      model,
      maxLoopIterations: Infinity,
    }],
    dispatches: (schedule) => {
      const [{ tilesAt, tileCount }] = schedule.kernels;
      const size = { rows: tileRows(tile), keys: tile.keysPerStep };
      const selection = selectionOf(problem, schedule, 0, size);
      const dispatches = [scores, softmax, values].map((source) => ({
        source,
        tile: size,
        tilesAt,
        groups: tileCount,
        heads: problem.kvHeads,
        uniforms: { ...selection.uniforms, scratch_keys: keys },
      }));
      return tileCount === 0 ? [] : [...selection.dispatches, ...dispatches];
    },
    // Its scores are not kept from the keys that a mask rules out.
    cost: ({ sizes }) => {
      const sums = standardSums(problem, {
        rows: tileRows(tile),
        keys: tile.keysPerStep,
      });
      return {
        ...standardOf(sums, sizes, {
          columns: 4 * STANDARD_COLUMNS,
          passes: 3,
        }),
        rowsAgain: sums.rows - sums.seeingRows,
      };
    },
    scratch: (schedule): Record<string, number> => {
      const [{ tileCount }] = schedule.kernels;
      const rows = tileCount * problem.kvHeads * tileRows(tile);
      return tileCount === 0 ? {} : { scratch: 4 * rows * keys };
    },
  };
}

/** Sums over its row tiles, which all visit every key of their sequence. */
function standardSums(
  problem: AttentionProblem,
  tile: TileSize,
): VisitSums {
  const { kvHeads, sequences } = problem;
  const sums = {
    rows: 0,
    keys: 0,
    pairs: 0,
    seeingRows: 0,
    seenKeys: 0,
    tiles: 0,
  };
  for (const sequence of sequences) {
    const { keyCount: keys } = sequence;
    const rows = packedRows(problem, sequence);
    const tiles = kvHeads * Math.ceil(rows / tile.rows);
    const steps = Math.ceil(keys / tile.keys);
    sums.rows += kvHeads * rows * steps;
    sums.keys += tiles * keys;
    sums.pairs += kvHeads * rows * keys;
    sums.seeingRows += keys > 0 ? kvHeads * rows : 0;
    sums.tiles += tiles * steps;
  }
  return sums;
}

/**
 * Its work tiles cannot be cut, so its loops over all keys must come to their
 * end: those of the scores go along a step's vec4s and twice along its keys,
 * the softmax's three times along the keys, and O = P V once a few columns.
 */
function checkLoops(
  keys: number,
  { step, headVecs, valueVecs }: {
    readonly step: number;
    readonly headVecs: number;
    readonly valueVecs: number;
  },
  { maxLoopIterations }: PlanDevice,
): void {
  const steps = Math.ceil(keys / step);
  // Each loop's last look at its condition is one more.
  const iterations = 4 + Math.max(
    steps * (headVecs + 2 * step + 4),
    3 * keys + 2 * steps,
    Math.ceil(valueVecs / STANDARD_COLUMNS) * (keys + 2 * steps + 2),
  );
  if (iterations <= maxLoopIterations) return;
  throw new UnsupportedError(
    `run standard attention over ${keys} keys`,
    `its loops take up to ${iterations} iterations, and this adapter ends them after ${maxLoopIterations}`,
  );
}
