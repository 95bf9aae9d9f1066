/**
 * The decode kernel as a variant: few query rows.
 *
 * @module
 */

import {
  decodeKernel,
  decodeStep,
  type DecodeTile,
  decodeWorkgroupBytes,
} from "../../../../kernels/attention/decode.ts";
import { checkFits, powerOfTwo, type Tiles } from "./tiles.ts";
import type { Candidate, PlanDevice, Variant } from "./variant.ts";

/** Lanes along keys. */
export const DECODE: Variant = {
  name: "decode",
  profile: "portable",
  features: [],
  misfit: ({ rows }, { decode: { maxRows } }) =>
    rows <= maxRows
      ? undefined
      : `it takes up to ${maxRows} packed query rows, here are ${rows}`,
  tile: (largest, tiles, device) => {
    const tile = decodeTile(largest, tiles, device);
    return {
      rows: tile.rows,
      step: decodeStep(tile),
      lanes: tile.lanes,
      kernel: (spec) => decodeKernel({ ...spec, tile }),
    };
  },
};

/**
 * The register tile for up to so many packed query rows.
 *
 * @throws {UnsupportedError} if it does not fit the device
 */
export function decodeTile(
  { rows, valueVecs }: Candidate,
  { decode: { lanes, keysPerLane, columnsPerLane } }: Tiles,
  { limits }: PlanDevice,
): DecodeTile {
  const columnLanes = Math.min(lanes, powerOfTwo(valueVecs / columnsPerLane));
  const tile = {
    lanes,
    rows: powerOfTwo(rows),
    keysPerLane,
    columnLanes,
    columnsPerLane: Math.ceil(valueVecs / columnLanes),
  };
  const room = limits.maxComputeWorkgroupStorageSize;
  checkFits("decode", decodeWorkgroupBytes(tile), room);
  return tile;
}
