/**
 * Which sizes the backward kernels get on a device, and what their loops take.
 *
 * @module
 */

import type { ForwardTile } from "../../../kernels/attention/forward.ts";
import { forwardWorkgroupBytes } from "../../../kernels/attention/forward.ts";
import {
  type KeyTile,
  keyTileBytes,
  tileKeys,
} from "../../../kernels/attention/backward/key_value_gradient.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkFits, powerOfTwo } from "../attention/variants/tiles.ts";
import type { PlanDevice } from "../attention/variants/variant.ts";
import type { LoopCounts } from "../attention/work/loop_limit.ts";

/**
 * Sizes of the backward kernels.
 *
 * @category Gradients
 */
export interface BackwardTiles {
  /** On what, or where else the numbers come from. */
  readonly measured: string;
  /** Invocations of a workgroup, of both kernels. */
  readonly lanes: number;
  /** Query rows a lane at most, where lanes go along query rows. */
  readonly rowsPerLane: number;
  /** Keys of a step there. */
  readonly keys: number;
  /** Keys a lane at most, where lanes go along keys. */
  readonly keysPerLane: number;
  /** Packed query rows of a step there. */
  readonly rows: number;
  /** Rows or keys of a step of either where there are score mods. */
  readonly modStep: number;
}

/**
 * Sizes to use instead of the device's: for tuning.
 *
 * @category Gradients
 */
export type BackwardTileOptions = Partial<BackwardTiles>;

/**
 * Adapters that compute on the CPU.
 *
 * @category Gradients
 */
export const SOFTWARE_BACKWARD_TILES: BackwardTiles = {
  measured: "llvmpipe, 8 lanes",
  lanes: 8,
  rowsPerLane: 8,
  keys: 16,
  keysPerLane: 8,
  rows: 16,
  modStep: 8,
};

/**
 * Any other adapter; from occupancy arithmetic, not from a measurement.
 *
 * @category Gradients
 */
export const HARDWARE_BACKWARD_TILES: BackwardTiles = {
  measured: "not measured: as forward's",
  lanes: 32,
  rowsPerLane: 2,
  keys: 8,
  keysPerLane: 1,
  rows: 8,
  modStep: 8,
};

/** The most that each size may be, and whether it is a power of two. */
const RANGES: Readonly<
  Record<
    Exclude<keyof BackwardTiles, "measured">,
    readonly [most: number, powerOfTwo: boolean]
  >
> = {
  lanes: [256, true],
  rowsPerLane: [16, true],
  keys: [32, false],
  keysPerLane: [16, true],
  rows: [32, false],
  modStep: [32, false],
};

/**
 * The sizes of a device, with a caller's in their place.
 *
 * @throws {TypeError} if a caller's is no number, or none of these
 * @throws {RangeError} if one is out of range
 */
export function backwardTilesOf(
  device: { readonly software: boolean },
  options: BackwardTileOptions = {},
): BackwardTiles {
  checkType(
    typeof options === "object" && options !== null,
    "tiles",
    "must be an object",
    options,
  );
  for (const [size, value] of Object.entries(options)) {
    if (size === "measured") continue;
    checkType(
      Object.hasOwn(RANGES, size),
      "tiles",
      `must only have ${Object.keys(RANGES).join(", ")}`,
      size,
    );
    const [most, power] = RANGES[size as keyof typeof RANGES];
    checkInteger(`tiles.${size}`, value, 1, most);
    checkRange(
      !power || value === powerOfTwo(value as number),
      `tiles.${size}`,
      "must be a power of two",
      value,
    );
  }
  const own = device.software
    ? SOFTWARE_BACKWARD_TILES
    : HARDWARE_BACKWARD_TILES;
  return { ...own, ...options };
}

/** What a backward tile is made for. */
export interface BackwardCandidate {
  /** Packed query rows, or keys, of the longest sequence. */
  readonly length: number;
  /** vec4s of a query or key row. */
  readonly headVecs: number;
  /** vec4s of a value row. */
  readonly valueVecs: number;
  /** Whether there are score mods. */
  readonly scoreMods: boolean;
}

/**
 * The tile of the kernel whose lanes go along query rows.
 *
 * @throws {UnsupportedError} if not even one row a lane fits the device
 */
export function queryTile(
  { length, headVecs, scoreMods }: BackwardCandidate,
  { lanes, rowsPerLane: most, keys, modStep }: BackwardTiles,
  { limits }: Pick<PlanDevice, "limits">,
): ForwardTile {
  const tile = (rowsPerLane: number): ForwardTile => ({
    lanes,
    rowsPerLane,
    keysPerStep: scoreMods ? modStep : keys,
    accumulatorVecs: powerOfTwo(headVecs),
  });
  const room = limits.maxComputeWorkgroupStorageSize;
  const count = doubled(
    { most, lanes, length },
    (rows) => forwardWorkgroupBytes(tile(rows)) <= room,
  );
  const bytes = forwardWorkgroupBytes(tile(count));
  checkFits("query gradient", bytes, room);
  return tile(count);
}

/**
 * The tile of the kernel whose lanes go along keys. Where both gradients of a
 * key a lane have no room, it has fewer lanes.
 *
 * @throws {UnsupportedError} if not even one key fits the device
 */
export function keyTile(
  { length, headVecs, valueVecs, scoreMods }: BackwardCandidate,
  { lanes: most, keysPerLane, rows, modStep }: BackwardTiles,
  { limits }: Pick<PlanDevice, "limits">,
): KeyTile {
  const tile = (lanes: number, keysPerLane: number): KeyTile => ({
    lanes,
    keysPerLane,
    rowsPerStep: scoreMods ? modStep : rows,
    headVecs: powerOfTwo(headVecs),
    valueVecs: powerOfTwo(valueVecs),
  });
  const room = limits.maxComputeWorkgroupStorageSize;
  let lanes = most;
  while (lanes > 1 && keyTileBytes(tile(lanes, 1)) > room) lanes /= 2;
  const count = doubled(
    { most: keysPerLane, lanes, length },
    (keys) => keyTileBytes(tile(lanes, keys)) <= room,
  );
  checkFits("key gradient", keyTileBytes(tile(lanes, count)), room);
  return tile(lanes, count);
}

/** Rows a lane: as many as there are, may be and fit. */
function doubled(
  { most, lanes, length }: {
    readonly most: number;
    readonly lanes: number;
    readonly length: number;
  },
  fits: (count: number) => boolean,
): number {
  let count = 1;
  while (2 * count <= most && count * lanes < length && fits(2 * count)) {
    count *= 2;
  }
  return count;
}

/** Iterations of the loops of dQ's kernel. */
export function queryLoops(
  { rowsPerLane, keysPerStep: step }: ForwardTile,
  { headVecs, valueVecs, scoreMods }: BackwardCandidate,
): LoopCounts {
  // A step's dropout is a loop along it.
  const fullStep = 2 * headVecs + valueVecs + (scoreMods ? step + 1 : 0) +
    step + 12;
  return {
    step,
    fullStep,
    maskedStep: fullStep + step + 1,
    tile: (rowsPerLane + 1) * (headVecs + 1) + 4,
  };
}

/** Iterations of the loops of the kernel of dK and dV. */
export function keyLoops(
  tile: KeyTile,
  { headVecs, valueVecs, scoreMods }: BackwardCandidate,
): LoopCounts {
  const step = tile.rowsPerStep;
  const both = headVecs + valueVecs;
  const fullStep = 2 * both + (scoreMods ? step + 1 : 0) + step + 14;
  return {
    step,
    fullStep,
    maskedStep: fullStep + step + 1,
    tile: (tile.keysPerLane + 1) * (both + 2) + 4,
  };
}

/** Keys of a key tile. */
export { tileKeys };
