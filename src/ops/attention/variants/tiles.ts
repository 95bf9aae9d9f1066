/**
 * Which sizes a device gets: a table for each kernel and one for partitions;
 * each row says what it was measured on.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";
import { UnsupportedError } from "../../../core/errors.ts";

/**
 * Sizes of the forward kernel.
 *
 * @category Plans
 */
export interface ForwardTiles {
  /** On what, or where else the numbers come from. */
  readonly measured: string;
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Query rows a lane at most; fewer where the accumulator has no room. */
  readonly rowsPerLane: number;
  /** Keys of a step. */
  readonly keys: number;
  /**
   * The same where there are score mods, whose pass over the scores needs them
   * in an array.
   */
  readonly modKeys: number;
}

/**
 * Sizes of the decode kernel.
 *
 * @category Plans
 */
export interface DecodeTiles {
  /** On what, or where else the numbers come from. */
  readonly measured: string;
  /** Packed query rows of a key range up to which the kernel is used. */
  readonly maxRows: number;
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Keys a lane in a step; a multiple of 4. */
  readonly keysPerLane: number;
  /** vec4 columns that a lane owns, where they are enough. */
  readonly columnsPerLane: number;
}

/**
 * Sizes of splits, and what the cost model knows of a device.
 *
 * @category Plans
 */
export interface PartitionSizes {
  /** On what, or where else the numbers come from. */
  readonly measured: string;
  /** Keys of one split, where splits have the fixed size. */
  readonly splitKeys: number;
  /**
   * Packed query rows of a key range up to which splits of the fixed size are
   * made: with more, there are workgroups enough.
   */
  readonly splitRows: number;
  /** Workgroups that the device runs at the same time. */
  readonly parallelism: number;
  /** What a work tile costs besides its steps, in steps. */
  readonly tileSteps: number;
  /** What one more dispatch costs, in steps. */
  readonly dispatchSteps: number;
}

/**
 * All sizes of a device.
 *
 * @category Plans
 */
export interface Tiles {
  /** Of the forward kernel. */
  readonly forward: ForwardTiles;
  /** Of the decode kernel. */
  readonly decode: DecodeTiles;
  /** Of splits. */
  readonly partition: PartitionSizes;
}

/**
 * Sizes to use instead of the device's: for tuning.
 *
 * @category Plans
 */
export type TileOptions = {
  readonly [K in keyof Tiles]?: Partial<Tiles[K]>;
};

/**
 * Adapters that compute on the CPU, eight lanes to a vector register.
 *
 * @category Plans
 */
export const SOFTWARE_TILES: Tiles = {
  forward: {
    measured: "bench/results: llvmpipe, 8 lanes, best of 1-8 rows x 4-32 keys",
    lanes: 8,
    rowsPerLane: 8,
    keys: 16,
    modKeys: 8,
  },
  decode: {
    measured: "bench/results: llvmpipe",
    maxRows: 4,
    lanes: 8,
    keysPerLane: 16,
    columnsPerLane: 4,
  },
  partition: {
    measured: "bench/results: llvmpipe",
    splitKeys: 1024,
    splitRows: 64,
    // It runs a workgroup a core.
    parallelism: globalThis.navigator?.hardwareConcurrency ?? 8,
    tileSteps: 1,
    dispatchSteps: 1,
  },
};

/**
 * Any other adapter; from occupancy arithmetic, not yet from a measurement.
 *
 * @category Plans
 */
export const HARDWARE_TILES: Tiles = {
  forward: {
    measured: "not measured: 64 rows fill the default 16 KiB at head dim 64",
    lanes: 32,
    rowsPerLane: 2,
    keys: 8,
    modKeys: 8,
  },
  decode: {
    measured: "not measured",
    maxRows: 8,
    lanes: 32,
    keysPerLane: 4,
    columnsPerLane: 1,
  },
  partition: {
    measured: "not measured",
    splitKeys: 256,
    splitRows: 64,
    parallelism: 256,
    tileSteps: 1,
    dispatchSteps: 2,
  },
};

/** Every size: the most that it may be, and whether it is a power of two. */
const RANGES: {
  readonly [K in keyof Tiles]: {
    readonly [N in Exclude<keyof Tiles[K], "measured">]: readonly [
      most: number,
      powerOfTwo: boolean,
    ];
  };
} = {
  forward: {
    lanes: [256, true],
    rowsPerLane: [16, true],
    keys: [32, false],
    modKeys: [32, false],
  },
  decode: {
    maxRows: [16, false],
    lanes: [256, true],
    keysPerLane: [64, false],
    columnsPerLane: [64, true],
  },
  partition: {
    splitKeys: [2 ** 30, false],
    splitRows: [2 ** 30, false],
    parallelism: [65535, false],
    tileSteps: [2 ** 20, false],
    dispatchSteps: [2 ** 20, false],
  },
};

/**
 * The sizes of a device, with a caller's in their place.
 *
 * @throws {TypeError} if a caller's is not a number, or of no table
 * @throws {RangeError} if one is out of range
 */
export function tilesOf(
  device: { readonly software: boolean },
  options: TileOptions = {},
): Tiles {
  checkType(
    typeof options === "object" && options !== null,
    "tiles",
    "must be an object",
    options,
  );
  const own = device.software ? SOFTWARE_TILES : HARDWARE_TILES;
  for (const [table, sizes] of Object.entries(options)) {
    checkType(
      Object.hasOwn(RANGES, table),
      "tiles",
      `must only have ${Object.keys(RANGES).join(", ")}`,
      table,
    );
    checkType(
      typeof sizes === "object" && sizes !== null,
      `tiles.${table}`,
      "must be an object",
      sizes,
    );
    checkSizes(table as keyof Tiles, sizes);
  }
  return {
    forward: { ...own.forward, ...options.forward },
    decode: { ...own.decode, ...options.decode },
    partition: { ...own.partition, ...options.partition },
  };
}

function checkSizes(table: keyof Tiles, sizes: object): void {
  const ranges: Record<string, readonly [number, boolean]> = RANGES[table];
  for (const [size, value] of Object.entries(sizes)) {
    if (size === "measured") continue;
    const name = `tiles.${table}.${size}`;
    checkType(
      Object.hasOwn(ranges, size),
      `tiles.${table}`,
      `must only have ${Object.keys(ranges).join(", ")}`,
      size,
    );
    const [most, power] = ranges[size];
    checkInteger(name, value, 1, most);
    checkRange(
      !power || value === powerOfTwo(value),
      name,
      "must be a power of two",
      value,
    );
    checkRange(
      size !== "keysPerLane" || value % 4 === 0,
      name,
      "must be a multiple of 4",
      value,
    );
  }
}

/**
 * Throws unless a tile's workgroup memory is there.
 *
 * @throws {UnsupportedError} naming the kernel and both sizes
 */
export function checkFits(kernel: string, bytes: number, limit: number): void {
  if (bytes <= limit) return;
  throw new UnsupportedError(
    `make a ${kernel} tile`,
    `it needs ${bytes} bytes of workgroup memory, maxComputeWorkgroupStorageSize is ${limit}`,
  );
}

/** The smallest power of two that is >= `value`, at least 1. */
export function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)));
}
