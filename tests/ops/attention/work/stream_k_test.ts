/**
 * The stream-K schedule against steps that are counted out by hand.
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { streamK } from "../../../../src/ops/attention/work/stream_k.ts";
import { property } from "../../../support/property.ts";

const someSteps = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.integer({ min: 1, max: 4 }),
    fc.integer({ min: 1, max: 60 }),
  ),
  { maxLength: 24 },
);
const someWorkers = fc.integer({ min: 1, max: 40 });

/** Every step by name, in order. */
function allSteps(steps: readonly number[]): string[] {
  return steps.flatMap((count, rowTile) =>
    Array.from({ length: count }, (_, step) => `${rowTile}.${step} `)
  );
}

property(
  "streamK() gives each step to one worker, in order and evenly",
  [someSteps, someWorkers],
  (steps, most) => {
    const { total, workers } = streamK({ steps, workers: most });
    const expected = allSteps(steps);
    assertEquals(total, expected.length);
    assertEquals(workers.length, Math.min(most, total));
    const given = workers.map((own) =>
      own.flatMap(({ rowTile, first, end }) =>
        Array.from(
          { length: end - first },
          (_, i) => `${rowTile}.${first + i} `,
        )
      )
    );
    assertEquals(given.flat(), expected);
    const loads = given.map((own) => own.length);
    if (total > 0) assert(Math.max(...loads) - Math.min(...loads) <= 1);
  },
);

property(
  "streamK() gives a worker at most two ranges that are not whole row tiles",
  [someSteps, someWorkers],
  (steps, most) => {
    for (const own of streamK({ steps, workers: most }).workers) {
      const whole = own.map(({ rowTile, first, end }) =>
        first === 0 && end === steps[rowTile]
      );
      // They are the first and the last one.
      assert(whole.slice(1, -1).every(Boolean));
      assert(own.every(({ first, end }) => first < end));
    }
  },
);

Deno.test("streamK() cuts row tiles where a worker's steps end", () => {
  assertEquals(streamK({ steps: [5, 0, 3], workers: 3 }), {
    total: 8,
    workers: [
      [{ rowTile: 0, first: 0, end: 3 }],
      [{ rowTile: 0, first: 3, end: 5 }, { rowTile: 2, first: 0, end: 1 }],
      [{ rowTile: 2, first: 1, end: 3 }],
    ],
  });
});

Deno.test("streamK() refuses counts that are none", () => {
  const run = (steps: unknown[], workers: unknown) => () =>
    streamK({ steps: steps as number[], workers: workers as number });
  assertThrows(run([1], 0), RangeError, "workers must be an integer >= 1");
  assertThrows(run([1], 1.5), RangeError, "workers");
  assertThrows(run([1], "2"), TypeError, "workers");
  assertThrows(run([1, -1], 2), RangeError, "steps[1] must be an integer >= 0");
  assertThrows(run([1, 0.5], 2), RangeError, "steps[1]");
  assertThrows(run(["1"], 2), TypeError, "steps[0]");
  assertThrows(
    run([Number.MAX_SAFE_INTEGER, 1], 2),
    RangeError,
    "sum of steps",
  );
});
