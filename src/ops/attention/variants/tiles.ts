/**
 * Which tiles a device gets. A table of data, first match wins; each row says
 * what it was measured on.
 *
 * @module
 */

import {
  type DecodeTile,
  decodeWorkgroupBytes,
} from "../../../../kernels/attention/decode.ts";
import {
  type ForwardTile,
  forwardWorkgroupBytes,
} from "../../../../kernels/attention/forward.ts";
import { checkInteger, checkRange } from "../../../core/check.ts";
import { UnsupportedError } from "../../../core/errors.ts";

/** What a device is good at, as far as the kernels care. */
export interface TileProfile {
  /** Why this row exists: where its numbers come from. */
  readonly source: string;
  /** Invocations of a forward workgroup. */
  readonly forwardLanes: number;
  /** Query rows a lane at most; fewer where the accumulator has no room. */
  readonly forwardRowsPerLane: number;
  /** Keys of a forward step. */
  readonly forwardKeys: number;
  /**
   * The same where there are score mods, whose pass over the scores needs them
   * in an array.
   */
  readonly forwardModKeys: number;
  /** Packed query rows of a sequence up to which the decode kernel is used. */
  readonly decodeRows: number;
  /** Invocations of a decode workgroup. */
  readonly decodeLanes: number;
  /** Keys a lane in a decode step; a multiple of 4. */
  readonly decodeKeysPerLane: number;
  /** vec4 columns that a decode lane owns, where they are enough. */
  readonly decodeColumnsPerLane: number;
  /** Keys of one split, where splits have the fixed size. */
  readonly splitKeys: number;
  /**
   * Packed query rows of a sequence up to which splits of the fixed size are
   * made: with more, there are workgroups enough.
   */
  readonly splitRows: number;
  /** Workgroups that the device runs at the same time. */
  readonly parallelism: number;
  /** What a workgroup costs besides its steps, in steps: for the cost model. */
  readonly itemSteps: number;
  /** What one more dispatch costs, in steps: for the cost model. */
  readonly dispatchSteps: number;
}

/** Adapters that compute on the CPU, eight lanes to a vector register. */
export const SOFTWARE_TILES: TileProfile = {
  source: "bench/results: llvmpipe, 8 lanes, best of 1-8 rows x 4-32 keys",
  forwardLanes: 8,
  forwardRowsPerLane: 8,
  forwardKeys: 16,
  forwardModKeys: 8,
  decodeRows: 4,
  decodeLanes: 8,
  decodeKeysPerLane: 16,
  decodeColumnsPerLane: 4,
  splitKeys: 1024,
  splitRows: 64,
  // It runs a workgroup a core.
  parallelism: globalThis.navigator?.hardwareConcurrency ?? 8,
  itemSteps: 1,
  dispatchSteps: 1,
};

/** Any other adapter; from occupancy arithmetic, not yet from a measurement. */
export const HARDWARE_TILES: TileProfile = {
  source: "not measured: 64 rows fill the default 16 KiB at head dim 64",
  forwardLanes: 32,
  forwardRowsPerLane: 2,
  forwardKeys: 8,
  forwardModKeys: 8,
  decodeRows: 8,
  decodeLanes: 32,
  decodeKeysPerLane: 4,
  decodeColumnsPerLane: 1,
  splitKeys: 256,
  splitRows: 64,
  parallelism: 256,
  itemSteps: 1,
  dispatchSteps: 2,
};

/**
 * Checks a profile of a caller's.
 *
 * @throws {TypeError} if a number is missing
 * @throws {RangeError} if one is out of range
 */
export function checkTileProfile(profile: TileProfile): void {
  const numbers: [keyof TileProfile, max: number, powerOfTwo: boolean][] = [
    ["forwardLanes", 256, true],
    ["forwardRowsPerLane", 16, true],
    ["forwardKeys", 32, false],
    ["forwardModKeys", 32, false],
    ["decodeRows", 16, false],
    ["decodeLanes", 256, true],
    ["decodeKeysPerLane", 64, false],
    ["decodeColumnsPerLane", 64, true],
    ["splitKeys", 2 ** 30, false],
    ["splitRows", 2 ** 30, false],
    ["parallelism", 65535, false],
    ["itemSteps", 2 ** 20, false],
    ["dispatchSteps", 2 ** 20, false],
  ];
  for (const [name, max, power] of numbers) {
    const value = profile[name];
    checkInteger(`tiles.${name}`, value, 1, max);
    checkRange(
      !power || value === powerOfTwo(value),
      `tiles.${name}`,
      "must be a power of two",
      value,
    );
  }
  checkRange(
    profile.decodeKeysPerLane % 4 === 0,
    "tiles.decodeKeysPerLane",
    "must be a multiple of 4",
    profile.decodeKeysPerLane,
  );
}

/** The row of the table for a device. */
export function tileProfile(
  device: { readonly software: boolean },
): TileProfile {
  return device.software ? SOFTWARE_TILES : HARDWARE_TILES;
}

/**
 * The forward tile for problems of up to `rows` packed query rows.
 *
 * @throws {UnsupportedError} if not even one row a lane fits the device
 */
export function forwardTile(
  profile: TileProfile,
  options: {
    rows: number;
    valueVecs: number;
    workgroupBytes: number;
    scoreMods: boolean;
  },
): ForwardTile {
  const { rows, valueVecs, workgroupBytes, scoreMods } = options;
  const tile = (rowsPerLane: number): ForwardTile => ({
    lanes: profile.forwardLanes,
    rowsPerLane,
    keysPerStep: scoreMods ? profile.forwardModKeys : profile.forwardKeys,
    accumulatorVecs: powerOfTwo(valueVecs),
  });
  let rowsPerLane = 1;
  while (
    2 * rowsPerLane <= profile.forwardRowsPerLane &&
    rowsPerLane * profile.forwardLanes < rows &&
    forwardWorkgroupBytes(tile(2 * rowsPerLane)) <= workgroupBytes
  ) rowsPerLane *= 2;
  checkFits(
    "forward",
    forwardWorkgroupBytes(tile(rowsPerLane)),
    workgroupBytes,
  );
  return tile(rowsPerLane);
}

/**
 * The decode tile for sequences of up to `rows` packed query rows.
 *
 * @throws {UnsupportedError} if it does not fit the device
 */
export function decodeTile(
  profile: TileProfile,
  options: { rows: number; valueVecs: number; workgroupBytes: number },
): DecodeTile {
  const { rows, valueVecs, workgroupBytes } = options;
  const columnLanes = Math.min(
    profile.decodeLanes,
    powerOfTwo(valueVecs / profile.decodeColumnsPerLane),
  );
  const tile = {
    lanes: profile.decodeLanes,
    rows: powerOfTwo(rows),
    keysPerLane: profile.decodeKeysPerLane,
    columnLanes,
    columnsPerLane: Math.ceil(valueVecs / columnLanes),
  };
  checkFits("decode", decodeWorkgroupBytes(tile), workgroupBytes);
  return tile;
}

function checkFits(kernel: string, bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new UnsupportedError(
    `make a ${kernel} tile`,
    `it needs ${bytes} bytes of workgroup memory, maxComputeWorkgroupStorageSize is ${limit}`,
  );
}

/** The smallest power of two that is >= `value`, at least 1. */
function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}
