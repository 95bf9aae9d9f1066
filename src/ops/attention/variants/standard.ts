/**
 * The standard algorithm: the 3-dispatch baseline, which neither splits nor
 * shares.
 *
 * @module
 */

import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import { standardKernels } from "../../../../kernels/attention/standard.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { type CheckedChoices, UNSPLIT } from "../options/choices.ts";
import { type AttentionProblem, packedRows, vecsOf } from "../problem.ts";
import { flatWork } from "../work/key_ranges.ts";
import { type LoopSizes, stepIterations } from "../work/loop_limit.ts";
import { type Algorithm, largest } from "./algorithm.ts";
import { forwardTile } from "./forward.ts";
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
  const loops = {
    step: tile.keysPerStep,
    lanes: tile.lanes,
    vecs: headVecs + valueVecs,
  };
  const keys = largest(problem.sequences.map((s) => s.keyCount));
  checkLoops(keys, loops, device);
  const work = flatWork(problem);
  const { scores, softmax, values } = standardKernels({ ...spec, tile });
  return {
    work,
    kernels: [{
      name: "standard",
      profile: "portable",
      passedOver: [],
      kernel: () => scores,
      ranges: work.own,
      rows: tileRows(tile),
      loops,
      partitions: [UNSPLIT],
      model,
      maxLoopIterations: Infinity,
    }],
    dispatches: ({ kernels: [{ tilesAt, tileCount }] }) =>
      tileCount === 0 ? [] : [scores, softmax, values].map((source) => ({
        source,
        tile: { rows: tileRows(tile), keys: tile.keysPerStep },
        tilesAt,
        groups: tileCount,
        heads: problem.kvHeads,
        uniforms: { scratch_keys: keys },
      })),
    scratch: ({ kernels: [{ tileCount }] }): Record<string, number> => {
      const rows = tileCount * problem.kvHeads * tileRows(tile);
      return tileCount === 0 ? {} : { scratch: 4 * rows * keys };
    },
  };
}

/** O = P V goes over the keys once for each four columns, cheaply. */
const COLUMN_PASSES_A_STEP = 8;

function checkLoops(
  keys: number,
  loops: LoopSizes,
  { maxLoopIterations }: PlanDevice,
): void {
  const passes = Math.max(1, Math.ceil(loops.vecs / 4 / COLUMN_PASSES_A_STEP));
  const iterations = Math.ceil(keys / loops.step) *
    stepIterations(loops, false) * passes;
  if (iterations <= maxLoopIterations) return;
  throw new UnsupportedError(
    `run standard attention over ${keys} keys`,
    `its loops take up to ${iterations} iterations, and this adapter ends them after ${maxLoopIterations}`,
  );
}
