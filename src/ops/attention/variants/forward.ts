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
      step: tile.keysPerStep,
      lanes: tile.lanes,
      kernel: (spec) => forwardKernel({ ...spec, tile }),
    };
  },
};

/**
 * The register tile for up to so many packed query rows.
 *
 * @throws {UnsupportedError} if not even one row a lane fits the device
 */
export function forwardTile(
  { rows, valueVecs, scoreMods }: Candidate,
  { forward: { lanes, rowsPerLane: most, keys, modKeys } }: Tiles,
  { limits }: PlanDevice,
): ForwardTile {
  const tile = (rowsPerLane: number): ForwardTile => ({
    lanes,
    rowsPerLane,
    keysPerStep: scoreMods ? modKeys : keys,
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
