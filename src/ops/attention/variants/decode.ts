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
import type { LoopCounts } from "../work/loop_limit.ts";
import { checkFits, powerOfTwo, type Tiles } from "./tiles.ts";
import type { Candidate, PlanDevice, Variant } from "./variant.ts";

/** Lanes along keys. */
export const DECODE: Variant = {
  name: "decode",
  profile: "portable",
  features: [],
  misfit: ({ rows, scoreBlock }, { decode: { maxRows } }) =>
    scoreBlock !== undefined
      ? "it writes no scores of blocks"
      : rows <= maxRows
      ? undefined
      : `it takes up to ${maxRows} packed query rows, here are ${rows}`,
  tile: (largest, tiles, device) => {
    const tile = decodeTile(largest, tiles, device);
    return {
      rows: tile.rows,
      loops: loopsOf(tile, largest),
      kernel: (spec) => decodeKernel({ ...spec, tile }),
    };
  },
};

/** Lanes go along keys, four at a time, and then along columns. */
function loopsOf(
  tile: DecodeTile,
  { headVecs, dropout }: Candidate,
): LoopCounts {
  const { lanes, rows, keysPerLane, columnLanes, columnsPerLane } = tile;
  const keyLanes = lanes / columnLanes;
  const own = keysPerLane / 4;
  const groups = lanes * own / keyLanes;
  const dropped = dropout ? 5 * rows * own : 0;
  const scores = own * (headVecs + 7) + rows * (lanes + own + 2) + dropped + 8;
  return {
    step: decodeStep(tile),
    fullStep: scores + groups,
    maskedStep: scores + 6 * groups,
    tile: rows * (lanes + columnsPerLane * (keyLanes + 1) + 1) + 4,
  };
}

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
