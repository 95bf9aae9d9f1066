/**
 * The stream-K schedule against dealing the tiles out by hand, and its fix-up
 * against a merge that is not commutative: joining strings.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { streamK, type StreamKSchedule } from "../../src/ops/stream_k.ts";
import { property } from "../support/property.ts";

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

/** Runs both dispatches with strings as states. */
function outputsOf({ pieces, fixups }: StreamKSchedule): Map<number, string> {
  const outputs = new Map<number, string>();
  const slots = new Map<number, string>();
  for (const { output, first, end, slot } of pieces.flat()) {
    let state = "";
    for (let tile = first; tile < end; tile++) state += `${output}.${tile} `;
    const written = slot === undefined ? outputs : slots;
    assert(!written.has(slot ?? output), "nothing is written twice");
    written.set(slot ?? output, state);
  }
  for (const { output, slots: own } of fixups) {
    assert(!outputs.has(output), "nothing is written twice");
    assertEquals(own.length === 1, false);
    outputs.set(output, own.map((slot) => slots.get(slot)!).join(""));
  }
  return outputs;
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
  "streamK() leaves a worker at most two partial states",
  [aTiling, someWorkers],
  (tiles, workers) => {
    const { pieces, slotCount } = streamK({ tiles, workers });
    assert(slotCount <= 2 * workers);
    pieces.forEach((own, worker) => {
      const slots = own.flatMap(({ slot }) => slot ?? []);
      for (const slot of slots) {
        assert(slot < slotCount && Math.floor(slot / 2) === worker);
      }
      assertEquals(new Set(slots).size, slots.length);
    });
  },
);

property(
  "streamK() has every output written once, merged in the order of its keys",
  [aTiling, someWorkers],
  (tiles, workers) => {
    const outputs = outputsOf(streamK({ tiles, workers }));
    assertEquals(
      tiles.map((_, output) => outputs.get(output)),
      tiles.map((count, output) =>
        Array.from({ length: count }, (_, tile) => `${output}.${tile} `).join(
          "",
        )
      ),
    );
  },
);

Deno.test("streamK() cuts outputs where a worker's share ends", () => {
  assertEquals(streamK({ tiles: [5, 0, 3], workers: 3 }), {
    total: 8,
    pieces: [
      [{ output: 0, first: 0, end: 3, slot: 1 }],
      [
        { output: 0, first: 3, end: 5, slot: 2 },
        { output: 2, first: 0, end: 1, slot: 3 },
      ],
      [{ output: 2, first: 1, end: 3, slot: 4 }],
    ],
    fixups: [
      { output: 0, slots: [1, 2] },
      { output: 1, slots: [] },
      { output: 2, slots: [3, 4] },
    ],
    slotCount: 6,
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
