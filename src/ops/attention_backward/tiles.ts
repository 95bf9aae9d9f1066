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
import {
  productRows,
  type ProductTile,
  productTileBytes,
} from "../../../kernels/attention/backward/score_product.ts";
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
  /**
   * Keys of a sequence whose scores' gradients are stored at a time, at most,
   * where they are stored; one tile of keys at least.
   */
  readonly storedKeys: number;
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
  measured:
    "llvmpipe, 8 lanes, CPU time: best of 2-8 rows x 8-16 keys, and reversed",
  lanes: 8,
  rowsPerLane: 8,
  keys: 16,
  keysPerLane: 8,
  rows: 16,
  modStep: 8,
  storedKeys: 256,
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
  storedKeys: 256,
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
  storedKeys: [65536, false],
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
    headVecs: headVecs && powerOfTwo(headVecs),
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

/** Tiles of the kernels that store gradients of scores, and that read them. */
export interface StoredTiles {
  /** Of dV, and of scores: without room for a key's gradient. */
  readonly value: KeyTile;
  /** Of dK, by the same work. */
  readonly key: ProductTile;
  /** Of dQ. */
  readonly query: ProductTile;
  /** Iterations of the loops along rows, and of those along keys. */
  readonly loops: { readonly value: LoopCounts; readonly query: LoopCounts };
}

/**
 * The tiles where gradients of scores are stored, by fours of rows; or why there
 * are none.
 *
 * @throws {UnsupportedError} if not even one row a lane fits the device
 */
export function storedTiles(
  rows: BackwardCandidate,
  keys: BackwardCandidate,
  { tiles, device }: {
    readonly tiles: BackwardTiles;
    readonly device: Pick<PlanDevice, "limits">;
  },
): StoredTiles | string {
  const query = queryProductTile(rows, tiles, device);
  const { headVecs, ownRows } = query;
  const widest = Math.max(keys.headVecs, keys.valueVecs);
  const sized = keyTile(
    { ...keys, headVecs: 0, valueVecs: widest },
    tiles,
    device,
  );
  const value = { ...sized, valueVecs: powerOfTwo(keys.valueVecs) };
  if (value.rowsPerStep % 4 !== 0) return "a step's rows are no whole fours";
  if (productRows(query) % value.rowsPerStep !== 0) {
    return "a row tile is no whole number of steps";
  }
  if (tileKeys(value) % query.step !== 0) {
    return "a key tile is no whole number of steps";
  }
  const fullStep = rows.headVecs + 4;
  return {
    value,
    key: {
      lanes: value.lanes,
      ownRows: value.keysPerLane,
      step: value.rowsPerStep,
      headVecs,
    },
    query,
    loops: {
      value: keyLoops(value, keys),
      query: {
        step: query.step,
        fullStep,
        maskedStep: fullStep,
        tile: (ownRows + 1) * (rows.headVecs + 1) + 4,
      },
    },
  };
}

/**
 * dQ's: lanes own rows by fours, and are fewer where those have no room, or are
 * more than the tile of other kernels has.
 */
function queryProductTile(
  { length, headVecs, scoreMods }: BackwardCandidate,
  { lanes: most, rowsPerLane, keys, modStep }: BackwardTiles,
  { limits }: Pick<PlanDevice, "limits">,
): ProductTile {
  const tile = (lanes: number, ownRows: number): ProductTile => ({
    lanes,
    ownRows,
    step: scoreMods ? modStep : keys,
    headVecs: powerOfTwo(headVecs),
  });
  const room = limits.maxComputeWorkgroupStorageSize;
  let lanes = Math.max(1, Math.min(most, most * rowsPerLane / 4));
  while (lanes > 1 && productTileBytes(tile(lanes, 4)) > room) lanes /= 2;
  const fours = doubled(
    { most: rowsPerLane / 4, lanes: 4 * lanes, length },
    (count) => productTileBytes(tile(lanes, 4 * count)) <= room,
  );
  checkFits("query product", productTileBytes(tile(lanes, 4 * fours)), room);
  return tile(lanes, 4 * fours);
}
