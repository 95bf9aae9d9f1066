/**
 * The sizes of a device, with a caller's in their place; and the tiles that the
 * variants make of them.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  decodeStep,
  decodeWorkgroupBytes,
} from "../../../../kernels/attention/decode.ts";
import { forwardWorkgroupBytes } from "../../../../kernels/attention/forward.ts";
import { UnsupportedError } from "../../../../mod.ts";
import { decodeTile } from "../../../../src/ops/attention/variants/decode.ts";
import { forwardTile } from "../../../../src/ops/attention/variants/forward.ts";
import {
  checkFits,
  HARDWARE_TILES,
  powerOfTwo,
  SOFTWARE_TILES,
  type TileOptions,
  tilesOf,
} from "../../../../src/ops/attention/variants/tiles.ts";
import type {
  Candidate,
  PlanDevice,
} from "../../../../src/ops/attention/variants/variant.ts";
import { property } from "../../../support/property.ts";

const HARDWARE = { software: false };

Deno.test("tilesOf() gives a device its own row", () => {
  assertEquals(tilesOf({ software: true }), SOFTWARE_TILES);
  assertEquals(tilesOf(HARDWARE), HARDWARE_TILES);
  for (const tiles of [SOFTWARE_TILES, HARDWARE_TILES]) {
    assertEquals(tilesOf(HARDWARE, tiles), tiles);
  }
});

Deno.test("tilesOf() puts a caller's sizes in place of the device's", () => {
  const tiles = tilesOf(HARDWARE, {
    forward: { keys: 3, measured: "a test" },
    partition: { splitKeys: 1000 },
  });
  const { forward, decode, partition } = HARDWARE_TILES;
  assertEquals(tiles, {
    forward: { ...forward, keys: 3, measured: "a test" },
    decode,
    partition: { ...partition, splitKeys: 1000 },
  });
  assertEquals(tilesOf(HARDWARE, { decode: {} }), HARDWARE_TILES);
  // The tables themselves stay.
  assertEquals(HARDWARE_TILES.partition.splitKeys, partition.splitKeys);
});

const LIMITS: readonly (readonly [
  table: keyof TileOptions,
  size: string,
  most: number,
])[] = [
  ["forward", "lanes", 256],
  ["forward", "rowsPerLane", 16],
  ["forward", "keys", 32],
  ["forward", "modKeys", 32],
  ["decode", "maxRows", 16],
  ["decode", "lanes", 256],
  ["decode", "keysPerLane", 64],
  ["decode", "columnsPerLane", 64],
  ["partition", "splitKeys", 2 ** 30],
  ["partition", "splitRows", 2 ** 30],
  ["partition", "parallelism", 65535],
  ["partition", "tileSteps", 2 ** 20],
  ["partition", "dispatchSteps", 2 ** 20],
];

function given(table: string, size: string, value: unknown): TileOptions {
  return { [table]: { [size]: value } } as TileOptions;
}

for (const [table, size, most] of LIMITS) {
  const name = `tiles.${table}.${size}`;
  Deno.test(`tilesOf() refuses ${name} out of range`, () => {
    const tiles = tilesOf(HARDWARE, given(table, size, most));
    assertEquals(tiles[table][size as never], most);
    for (const value of [0, -1, most + 1, 1.5, NaN, Infinity]) {
      assertThrows(
        () => tilesOf(HARDWARE, given(table, size, value)),
        RangeError,
        `${name} must be an integer in 1..${most}: current value is ${value}`,
      );
    }
    for (const value of ["8", null, undefined]) {
      assertThrows(
        () => tilesOf(HARDWARE, given(table, size, value)),
        TypeError,
        name,
      );
    }
  });
}

Deno.test("tilesOf() names every size that there is", () => {
  const sizes = Object.entries(HARDWARE_TILES).flatMap(([table, row]) =>
    Object.keys(row).filter((size) => size !== "measured")
      .map((size) => `${table}.${size}`)
  );
  assertEquals(sizes, LIMITS.map(([table, size]) => `${table}.${size}`));
});

Deno.test("tilesOf() refuses lanes that are no power of two", () => {
  const powers = [
    ["forward", "lanes"],
    ["forward", "rowsPerLane"],
    ["decode", "lanes"],
    ["decode", "columnsPerLane"],
  ] as const;
  for (const [table, size] of powers) {
    assertThrows(
      () => tilesOf(HARDWARE, given(table, size, 6)),
      RangeError,
      `tiles.${table}.${size} must be a power of two: current value is 6`,
    );
  }
});

Deno.test("tilesOf() refuses keys a lane that are no multiple of 4", () => {
  for (const value of [1, 2, 6, 63]) {
    assertThrows(
      () => tilesOf(HARDWARE, { decode: { keysPerLane: value } }),
      RangeError,
      `tiles.decode.keysPerLane must be a multiple of 4: current value is ${value}`,
    );
  }
  assertEquals(
    tilesOf(HARDWARE, { decode: { keysPerLane: 12 } }).decode.keysPerLane,
    12,
  );
});

Deno.test("tilesOf() refuses tables and sizes that do not exist", () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [
      { backward: { lanes: 8 } },
      "tiles must only have forward, decode, partition: current value is",
    ],
    [{ lanes: 8 }, "tiles must only have forward, decode, partition"],
    [{ toString: {} }, "tiles must only have"],
    [
      { decode: { rowsPerLane: 8 } },
      "tiles.decode must only have maxRows, lanes, keysPerLane, columnsPerLane",
    ],
    [{ forward: { constructor: 1 } }, "tiles.forward must only have"],
    [null, "tiles must be an object"],
    ["small", "tiles must be an object"],
    [{ forward: null }, "tiles.forward must be an object"],
    [{ forward: 8 }, "tiles.forward must be an object"],
    [{ decode: undefined }, "tiles.decode must be an object"],
  ];
  for (const [options, message] of cases) {
    assertThrows(
      () => tilesOf(HARDWARE, options as TileOptions),
      TypeError,
      message,
    );
  }
});

Deno.test("powerOfTwo() is the next one", () => {
  assertEquals([0, 0.1, 1, 2, 3, 4, 5, 255, 256, 257].map(powerOfTwo), [
    ...[1, 1, 1, 2, 4, 4, 8, 256, 256, 512],
  ]);
});

Deno.test("checkFits() names the kernel, what it needs and what there is", () => {
  checkFits("forward", 16384, 16384);
  assertThrows(
    () => checkFits("forward", 16385, 16384),
    UnsupportedError,
    "Cannot make a forward tile: it needs 16385 bytes of workgroup memory, maxComputeWorkgroupStorageSize is 16384",
  );
});

function device(bytes: number): PlanDevice {
  return {
    software: false,
    maxLoopIterations: Infinity,
    features: new Set(),
    limits: {
      maxComputeWorkgroupStorageSize: bytes,
      maxComputeWorkgroupsPerDimension: 65535,
    },
  };
}

const aPower = (most: number) =>
  fc.nat({ max: Math.log2(most) }).map((n) => 2 ** n);

const someTiles: fc.Arbitrary<TileOptions> = fc.record({
  forward: fc.record({
    lanes: aPower(256),
    rowsPerLane: aPower(16),
    keys: fc.integer({ min: 1, max: 32 }),
    modKeys: fc.integer({ min: 1, max: 32 }),
  }),
  decode: fc.record({
    maxRows: fc.integer({ min: 1, max: 16 }),
    lanes: aPower(256),
    keysPerLane: fc.integer({ min: 1, max: 16 }).map((n) => 4 * n),
    columnsPerLane: aPower(64),
  }),
});

const aCandidate: fc.Arbitrary<Candidate> = fc.record({
  rows: fc.integer({ min: 1, max: 5000 }),
  headVecs: fc.integer({ min: 1, max: 64 }),
  valueVecs: fc.integer({ min: 1, max: 64 }),
  scoreMods: fc.boolean(),
});

/** What a tile fits, or `undefined` where it throws that nothing does. */
function fitted<T>(make: () => T): T | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

property(
  "forwardTile() covers the value and fits, with as many rows as are of use",
  [someTiles, aCandidate, fc.constantFrom(16384, 32768)],
  (options, candidate, bytes) => {
    const tiles = tilesOf(HARDWARE, options);
    const tile = fitted(() => forwardTile(candidate, tiles, device(bytes)));
    const { lanes, rowsPerLane: most, keys, modKeys } = tiles.forward;
    const room = (rowsPerLane: number) =>
      forwardWorkgroupBytes({
        lanes,
        rowsPerLane,
        keysPerStep: 1,
        accumulatorVecs: powerOfTwo(candidate.valueVecs),
      });
    assertEquals(tile === undefined, room(1) > bytes);
    if (tile === undefined) return;
    assertEquals(tile.lanes, lanes);
    assertEquals(tile.keysPerStep, candidate.scoreMods ? modKeys : keys);
    assert(tile.accumulatorVecs >= candidate.valueVecs);
    assert(forwardWorkgroupBytes(tile) <= bytes);
    assert(tile.rowsPerLane <= most);
    const enough = 2 * tile.rowsPerLane > most ||
      tile.rowsPerLane * lanes >= candidate.rows ||
      room(2 * tile.rowsPerLane) > bytes;
    assert(enough, "twice the rows would fit");
    const half = tile.rowsPerLane / 2;
    assert(half < 1 || half * lanes < candidate.rows, "half would do");
  },
);

property(
  "decodeTile() covers rows and value, and fits",
  [someTiles, aCandidate, fc.constantFrom(16384, 32768)],
  (options, candidate, bytes) => {
    const tiles = tilesOf(HARDWARE, options);
    const rows = Math.min(candidate.rows, tiles.decode.maxRows);
    const few = { ...candidate, rows };
    const tile = fitted(() => decodeTile(few, tiles, device(bytes)));
    if (tile === undefined) return;
    assert(decodeWorkgroupBytes(tile) <= bytes);
    assert(tile.rows >= rows && tile.rows < 2 * rows);
    assert(tile.columnLanes * tile.columnsPerLane >= candidate.valueVecs);
    assertEquals(tile.lanes % tile.columnLanes, 0);
    assertEquals(
      decodeStep(tile),
      tiles.decode.lanes * tiles.decode.keysPerLane,
    );
  },
);

Deno.test("tiles of both rows fit the default limit at head dim 128", () => {
  // At 256 a row of every lane takes 32 KiB on hardware.
  for (const [vecs, bytes] of [[32, 16384], [64, 32768]]) {
    const largest = { headVecs: vecs, valueVecs: vecs, scoreMods: true };
    for (const tiles of [SOFTWARE_TILES, HARDWARE_TILES]) {
      const { maxRows } = tiles.decode;
      forwardTile({ ...largest, rows: 5000 }, tiles, device(bytes));
      decodeTile({ ...largest, rows: maxRows }, tiles, device(bytes));
    }
  }
});
