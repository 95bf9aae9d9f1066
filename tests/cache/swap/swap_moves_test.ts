import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  SwapClaims,
  type SwapMoves,
  swapMoves,
} from "../../../src/cache/swap/swap_moves.ts";

const SIZES = { firstBlock: 1, numBlocks: 9, hostBlocks: 4 };

Deno.test("swapMoves() takes blocks and slots that there are", () => {
  const copies = [{ block: 8, slot: 4 }, { block: 1, slot: 1, group: 3 }];
  assertEquals(swapMoves("in", copies, SIZES), {
    direction: "in",
    blocks: [8, 1],
    slots: [4, 1],
  });
  const cases: [unknown, typeof TypeError | typeof RangeError, string][] = [
    [undefined, TypeError, "copies must be an array"],
    [[undefined], TypeError, "copies[0].block must be an integer"],
    [[...copies, { block: 0, slot: 1 }], RangeError, "copies[2].block"],
    [[{ block: 9, slot: 1 }], RangeError, "in 1..8: current value is 9"],
    [[{ block: 1.5, slot: 1 }], RangeError, "copies[0].block"],
    [[{ block: 1, slot: 0 }], RangeError, "copies[0].slot"],
    [[{ block: 1, slot: 5 }], RangeError, "in 1..4: current value is 5"],
    [[{ block: 1, slot: "1" }], TypeError, "copies[0].slot"],
  ];
  for (const [bad, ErrorClass, message] of cases) {
    assertThrows(
      () => swapMoves("out", bad as never, SIZES),
      ErrorClass,
      message,
    );
  }
});

const moves = (
  direction: SwapMoves["direction"],
  blocks: number[],
  slots: number[],
): SwapMoves => ({ direction, blocks, slots });

Deno.test("SwapClaims lets nothing be written that is in use", async () => {
  const cases: [held: SwapMoves, other: SwapMoves, refused: string][] = [
    [moves("out", [1], [1]), moves("out", [1], [2]), ""],
    [moves("in", [1], [1]), moves("in", [2], [1]), ""],
    [moves("out", [1], [1]), moves("in", [2], [2]), ""],
    [moves("out", [1], [1]), moves("out", [2], [1]), "copies[0].slot"],
    [moves("out", [1], [1]), moves("in", [2], [1]), "copies[0].slot"],
    [moves("out", [1], [1]), moves("in", [3, 1], [3, 2]), "copies[1].block"],
    [moves("in", [1], [1]), moves("in", [1], [2]), "copies[0].block"],
    [moves("in", [1], [1]), moves("out", [1], [2]), "copies[0].block"],
    [moves("in", [1], [1]), moves("out", [3, 2], [3, 1]), "copies[1].slot"],
  ];
  for (const [held, other, refused] of cases) {
    const claims = new SwapClaims();
    const { promise, resolve } = Promise.withResolvers<void>();
    claims.check(held);
    const running = claims.hold(held, () => promise);
    if (refused) {
      const message = `${refused} must not be in another transfer`;
      assertThrows(() => claims.check(other), TypeError, message);
    } else {
      claims.check(other);
    }
    resolve();
    await running;
    claims.check(other);
  }
});

Deno.test("SwapClaims counts readers, and lets go where a transfer fails", async () => {
  const claims = new SwapClaims();
  const out = moves("out", [1], [1]);
  const write = moves("in", [1], [2]);
  const ends = [1, 2].map(() => Promise.withResolvers<void>());
  const first = claims.hold(out, () => ends[0].promise);
  const second = claims.hold(moves("out", [1], [3]), () => ends[1].promise);
  ends[0].reject(new Error("lost"));
  await assertRejects(() => first, Error, "lost");
  claims.check(out);
  assertThrows(() => claims.check(write), TypeError, "copies[0].block");
  ends[1].resolve();
  await second;
  claims.check(write);
});

Deno.test("SwapClaims refuses to write a thing twice, not to read it", () => {
  const claims = new SwapClaims();
  const twice = "must not be written twice: current value is 1";
  claims.check(moves("out", [1, 1], [1, 2]));
  claims.check(moves("in", [1, 2], [1, 1]));
  assertThrows(
    () => claims.check(moves("out", [1, 2], [1, 1])),
    TypeError,
    `copies[1].slot ${twice}`,
  );
  assertThrows(
    () => claims.check(moves("in", [1, 1], [1, 2])),
    TypeError,
    `copies[1].block ${twice}`,
  );
});
