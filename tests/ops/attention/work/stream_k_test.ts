/**
 * The stream-K schedule against dealing the tiles out by hand.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { streamK } from "../../../../src/ops/attention/work/stream_k.ts";
import { property } from "../../../support/property.ts";

const aTiling = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 1, max: 60 }),
  ),
  { maxLength: 24 },
);
const someWorkers = fc.integer({ min: 1, max: 40 });

/** Every tile by name, in order. */
function allTiles(tiles: readonly number[]): string[] {
  return tiles.flatMap((count, output) =>
    Array.from({ length: count }, (_, tile) => `${output}.${tile} `)
  );
}

property(
  "streamK() deals each tile once, in order and evenly",
  [aTiling, someWorkers],
  (tiles, workers) => {
    const { total, pieces } = streamK({ tiles, workers });
    const expected = allTiles(tiles);
    assertEquals(total, expected.length);
    assertEquals(pieces.length, Math.min(workers, total));
    const dealt = pieces.map((own) =>
      own.flatMap(({ output, first, end }) =>
        Array.from({ length: end - first }, (_, i) => `${output}.${first + i} `)
      )
    );
    assertEquals(dealt.flat(), expected);
    const loads = dealt.map((own) => own.length);
    if (total > 0) assert(Math.max(...loads) - Math.min(...loads) <= 1);
  },
);

property(
  "streamK() gives a worker at most two pieces that are not whole outputs",
  [aTiling, someWorkers],
  (tiles, workers) => {
    for (const own of streamK({ tiles, workers }).pieces) {
      const whole = own.map(({ output, first, end }) =>
        first === 0 && end === tiles[output]
      );
      // They are the first and the last one.
      assert(whole.slice(1, -1).every(Boolean));
      assert(own.every(({ first, end }) => first < end));
    }
  },
);

Deno.test("streamK() cuts outputs where a worker's share ends", () => {
  assertEquals(streamK({ tiles: [5, 0, 3], workers: 3 }), {
    total: 8,
    pieces: [
      [{ output: 0, first: 0, end: 3 }],
      [{ output: 0, first: 3, end: 5 }, { output: 2, first: 0, end: 1 }],
      [{ output: 2, first: 1, end: 3 }],
    ],
  });
});

Deno.test("streamK() refuses counts that are none", () => {
  const run = (tiles: unknown[], workers: unknown) => () =>
    streamK({ tiles: tiles as number[], workers: workers as number });
  assertThrows(run([1], 0), RangeError, "workers must be an integer >= 1");
  assertThrows(run([1], 1.5), RangeError, "workers");
  assertThrows(run([1], "2"), TypeError, "workers");
  assertThrows(run([1, -1], 2), RangeError, "tiles[1] must be an integer >= 0");
  assertThrows(run([1, 0.5], 2), RangeError, "tiles[1]");
  assertThrows(run(["1"], 2), TypeError, "tiles[0]");
  assertThrows(
    run([Number.MAX_SAFE_INTEGER, 1], 2),
    RangeError,
    "sum of tiles",
  );
});
