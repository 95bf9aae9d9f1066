/**
 * Rounds against their definition: each key tile once, and within bounds.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { roundsOf } from "../../../../src/ops/attention_backward/passes/rounds.ts";
import { property } from "../../../support/property.ts";

const TILE = 16;

property(
  "roundsOf() stores each key tile once, in order and within bounds",
  [
    fc.array(fc.tuple(fc.integer({ min: 1, max: 200 }), fc.nat({ max: 6 }))),
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 100 }),
    fc.integer({ min: 1, max: 2 ** 17 }),
  ],
  (sequences, kvHeads, keys, bytes) => {
    const rowsOf = (record: number) => 8 * sequences[record][1];
    const ranges = sequences.map(([rows], record) => ({
      record,
      rows,
      from: 0,
      end: 0,
      prefixes: [],
    }));
    const sizes = { tileKeys: TILE, kvHeads, rowsOf, keys, bytes };
    const rounds = roundsOf(ranges, sizes);
    const tileBytes = (record: number) => 4 * kvHeads * TILE * rowsOf(record);
    let next = 0;
    const tiles: string[] = [];
    for (const { first, count, stretches, bytes: stored } of rounds) {
      assertEquals(first, next);
      next += count;
      let vecs = 0;
      for (const stretch of stretches) {
        assertEquals(stretch.start, vecs, "stretches lie side by side");
        vecs += stretch.tiles * tileBytes(stretch.record) / 16;
        assert(stretch.tiles * TILE <= Math.max(TILE, keys));
        for (let tile = 0; tile < stretch.tiles; tile++) {
          tiles.push(`${stretch.record}: ${stretch.first + tile * TILE}`);
        }
      }
      assertEquals(stored, 16 * vecs);
      assertEquals(count, stretches.reduce((sum, own) => sum + own.tiles, 0));
      const records = stretches.map(({ record }) => record);
      assertEquals(new Set(records).size, records.length);
      assert(
        stored <= bytes || stretches.length === 1 || count === 1 ||
          stored - tileBytes(records.at(-1)!) === 0,
      );
    }
    assertEquals(
      tiles,
      sequences.flatMap(([rows], record) =>
        Array.from(
          { length: Math.ceil(rows / TILE) },
          (_, tile) => `${record}: ${tile * TILE}`,
        )
      ),
    );
  },
);

Deno.test("roundsOf() does not part what fits", () => {
  const ranges = [96, 32].map((rows, record) => ({
    record,
    rows,
    from: 0,
    end: 0,
    prefixes: [],
  }));
  const sizes = { tileKeys: 32, kvHeads: 1, rowsOf: () => 64 };
  const parted = (keys: number, bytes: number) =>
    roundsOf(ranges, { ...sizes, keys, bytes }).map(({ stretches }) =>
      stretches.map(({ record, first, tiles }) => [record, first, tiles])
    );
  const whole = [[[0, 0, 3], [1, 0, 1]]];
  assertEquals(parted(96, 4 * 4 * 32 * 64), whole);
  assertEquals(parted(96, 4 * 4 * 32 * 64 - 1), [
    [[0, 0, 3]],
    [[1, 0, 1]],
  ]);
  assertEquals(parted(64, 1e9), [[[0, 0, 2]], [[0, 64, 1], [1, 0, 1]]]);
});
