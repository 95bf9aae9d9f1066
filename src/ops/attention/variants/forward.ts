/**
 * The forward kernel as a variant: it takes everything.
 *
 * @module
 */

import {
  forwardKernel,
  type ForwardTile,
  forwardWorkgroupBytes,
} from "../../../../kernels/attention/forward.ts";
import { tileRows } from "../../../../kernels/attention/score_tile.ts";
import type { LoopCounts } from "../work/loop_limit.ts";
import { checkFits, powerOfTwo, type Tiles } from "./tiles.ts";
import type { Candidate, PlanDevice, Variant } from "./variant.ts";

/** Lanes along query rows. */
export const FORWARD: Variant = {
  name: "forward",
  profile: "portable",
  features: [],
  misfit: () => undefined,
  tile: (largest, tiles, device) => {
    const tile = forwardTile(largest, tiles, device);
    return {
      rows: tileRows(tile),
      loops: loopsOf(tile, largest),
      kernel: (spec) =>
        forwardKernel({
          ...spec,
          tile,
          blockMaxima: largest.scoreBlock !== undefined,
        }),
    };
  },
};

/** A masked step may score its keys once more, one by one. */
function loopsOf(
  { rowsPerLane, keysPerStep: keys }: ForwardTile,
  { headVecs, valueVecs, scoreMods, dropout }: Candidate,
): LoopCounts {
  const fullStep = headVecs + valueVecs + (scoreMods ? keys : 0) +
    (dropout ? keys + 1 : 0) + 6 * rowsPerLane + 12;
  const guarded = keys * (headVecs + 2 * valueVecs + 6) + valueVecs + 4;
  return {
    step: keys,
    fullStep,
    maskedStep: fullStep + keys + guarded,
    tile: (rowsPerLane + 1) * (valueVecs + 1) + 4,
  };
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/**
 * The register tile for up to so many packed query rows.
 *
 * @throws {UnsupportedError} if not even one row a lane fits the device
 */
export function forwardTile(
  { rows, valueVecs, scoreMods, scoreBlock }: Candidate,
  { forward: { lanes, rowsPerLane: most, keys, modKeys } }: Tiles,
  { limits }: PlanDevice,
): ForwardTile {
  const step = scoreMods ? modKeys : keys;
  const tile = (rowsPerLane: number): ForwardTile => ({
    lanes,
    rowsPerLane,
    // No step may reach into two blocks.
    keysPerStep: scoreBlock ? commonDivisor(step, scoreBlock) : step,
    accumulatorVecs: powerOfTwo(valueVecs),
  });
  const room = limits.maxComputeWorkgroupStorageSize;
  let rowsPerLane = 1;
  while (
    2 * rowsPerLane <= most && rowsPerLane * lanes < rows &&
    forwardWorkgroupBytes(tile(2 * rowsPerLane)) <= room
  ) rowsPerLane *= 2;
  checkFits("forward", forwardWorkgroupBytes(tile(rowsPerLane)), room);
  return tile(rowsPerLane);
}
