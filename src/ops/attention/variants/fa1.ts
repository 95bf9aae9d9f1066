/**
 * FlashAttention-1 as an algorithm: one workgroup a kv head of a sequence, which
 * neither splits nor shares.
 *
 * @module
 */

import {
  flash1Kernel,
  type Flash1Tile,
  flash1WorkgroupBytes,
} from "../../../../kernels/attention/fa1.ts";
import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { AttentionSpec } from "../../../../kernels/attention/spec.ts";
import { UnsupportedError } from "../../../core/errors.ts";
import { flash1Of } from "../../../planning/traffic/fused.ts";
import { type CheckedChoices, UNSPLIT } from "../options/choices.ts";
import { type AttentionProblem, packedRows, vecsOf } from "../problem.ts";
import { tensorElements } from "../rows.ts";
import { flatWork } from "../work/key_ranges.ts";
import { type Algorithm, largest } from "./algorithm.ts";
import { forwardTile } from "./forward.ts";
import { checkFits, powerOfTwo, type Tiles } from "./tiles.ts";
import type { Candidate, PlanDevice } from "./variant.ts";

/**
 * FlashAttention-1 in its own loop order.
 *
 * @throws {UnsupportedError} for f16, where O would be rounded in every step; or
 * if the device would end its loops
 */
export function flash1Algorithm(
  problem: AttentionProblem,
  spec: AttentionSpec,
  { tiles, model }: CheckedChoices,
  device: PlanDevice,
): Algorithm {
  if (problem.dtype !== "f32") {
    throw new UnsupportedError(
      `run FlashAttention-1 on ${problem.dtype}`,
      "it keeps its output in memory from one key tile to the next, and would round it each time; use f32, or the fused algorithm",
    );
  }
  if (problem.strides) {
    throw new UnsupportedError(
      "run FlashAttention-1 on tensors with strides",
      "it reads and writes rows that lie side by side; use the fused algorithm",
    );
  }
  if (problem.selection) {
    const { policy } = problem;
    const blocks = policy?.blocks
      ? `what select (${policy.name}) selects`
      : "a blockMask";
    throw new UnsupportedError(
      `run FlashAttention-1 with ${blocks} on the device`,
      "one workgroup goes along all rows, so there are no tiles to select for; use the fused algorithm",
    );
  }
  const rows = largest(problem.sequences.map((s) => packedRows(problem, s)));
  const candidate = {
    rows,
    headVecs: vecsOf(problem.headDim),
    valueVecs: vecsOf(problem.valueHeadDim),
    scoreMods: problem.scoreMods.length > 0,
    dropout: problem.dropout !== undefined,
  };
  const tile = flash1Tile(candidate, tiles, device);
  // Each sequence by itself: the longest in rows may have few keys.
  for (const sequence of problem.sequences) {
    const rows = packedRows(problem, sequence);
    checkLoops(sequence.keyCount, tile, { ...candidate, rows }, device);
  }
  const work = flatWork(problem);
  const kernel = flash1Kernel({ ...spec, tile });
  const size = { rows: tileRows(tile), keys: tile.keysPerStep };
  return {
    merge: { lanes: tile.lanes, maxLoopIterations: Infinity },
    work,
    kernels: [{
      name: "fa1",
      profile: "portable",
      passedOver: [],
      kernel: () => kernel,
      ranges: work.own,
      // One row tile a sequence: its workgroup goes along the rows itself.
      rows,
      tile: size,
      // Checked as a whole, above.
      loops: { step: tile.keysPerStep, fullStep: 0, maskedStep: 0, tile: 0 },
      partitions: [UNSPLIT],
      model,
      maxLoopIterations: Infinity,
    }],
    dispatches: ({ kernels: [{ tilesAt, tileCount }], runsPerHead }) =>
      tileCount === 0 ? [] : [{
        source: kernel,
        tile: size,
        tilesAt,
        groups: tileCount,
        heads: problem.kvHeads,
        uniforms: { runs_per_head: runsPerHead ? 1 : 0 },
      }],
    cost: ({ sums, sizes }) => ({ ...flash1Of(sums, sizes), rowsAgain: 0 }),
    scratch: ({ kernels: [{ tileCount }] }): Record<string, number> =>
      tileCount === 0 ? {} : { statistics: 8 * tensorElements(problem).lse },
  };
}

/**
 * The tile for up to so many packed rows: as many keys as the forward kernel's,
 * or as fit workgroup memory.
 *
 * @throws {UnsupportedError} if not even one key fits
 */
export function flash1Tile(
  candidate: Candidate,
  tiles: Tiles,
  device: PlanDevice,
): Flash1Tile {
  // What is accumulated is in slow memory: room for one vec4 a row is enough.
  const { lanes, rowsPerLane, keysPerStep } = forwardTile(
    { ...candidate, valueVecs: 1 },
    tiles,
    device,
  );
  const tile = (keys: number): Flash1Tile => ({
    lanes,
    rowsPerLane,
    keysPerStep: keys,
    keyVecs: powerOfTwo(candidate.headVecs),
    valueVecs: powerOfTwo(candidate.valueVecs),
  });
  const room = device.limits.maxComputeWorkgroupStorageSize;
  let keys = keysPerStep;
  while (keys > 1 && flash1WorkgroupBytes(tile(keys)) > room) {
    keys = Math.floor(keys / 2);
  }
  checkFits("FlashAttention-1", flash1WorkgroupBytes(tile(keys)), room);
  return tile(keys);
}

/** Its work cannot be cut, so its loops must come to their end. */
function checkLoops(
  keys: number,
  { lanes, rowsPerLane, keysPerStep: step }: Flash1Tile,
  { rows, headVecs, valueVecs, scoreMods, dropout }: Candidate,
  { maxLoopIterations }: PlanDevice,
): void {
  const rowTiles = Math.ceil(rows / (lanes * rowsPerLane));
  const steps = Math.ceil(keys / step);
  const staged = (vecs: number) => Math.ceil(step * vecs / lanes) + 1;
  // Each loop's last look at its condition is one more.
  const inner = headVecs + valueVecs + step + (scoreMods ? step + 1 : 0) +
    (dropout ? step + 1 : 0) + 4;
  const iterations = 6 + rowTiles * (rowsPerLane * (valueVecs + 1) + 2) +
    steps * (staged(headVecs) + staged(valueVecs) + rowTiles * inner + 3);
  if (iterations <= maxLoopIterations) return;
  throw new UnsupportedError(
    `run FlashAttention-1 over ${rows} rows and ${keys} keys`,
    `its loops take up to ${iterations} iterations, and this adapter ends them after ${maxLoopIterations}`,
  );
}
