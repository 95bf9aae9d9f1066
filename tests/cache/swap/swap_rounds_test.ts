import { assertEquals, assertRejects } from "@std/assert";
import {
  type SwapRounds,
  swapRounds,
} from "../../../src/cache/swap/swap_rounds.ts";

const MOVES = {
  direction: "out",
  blocks: [10, 11, 12, 13, 14],
  slots: [1, 2, 3, 4, 5],
} as const;

/** Rounds of two that the test ends by hand, and what happened so far. */
function scripted(): {
  rounds: SwapRounds<number>;
  log: string[];
  settle: ((ok: boolean) => void)[];
  turn: () => Promise<void>;
} {
  const log: string[] = [];
  const settle: ((ok: boolean) => void)[] = [];
  const rounds: SwapRounds<number> = {
    size: 2,
    check: () => log.push("check"),
    begin: ({ blocks, slots }) => {
      log.push(`begin ${blocks} to ${slots}`);
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      const place = settle.length;
      settle.push((ok) =>
        ok ? resolve(place) : reject(new Error(`no round ${place}`))
      );
      return promise;
    },
    end: ({ slots }, result) => log.push(`end ${slots} with ${result}`),
  };
  const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));
  return { rounds, log, settle, turn };
}

Deno.test("swapRounds() has two rounds under way and ends them in order", async () => {
  const { rounds, log, settle, turn } = scripted();
  const done = swapRounds(MOVES, rounds);
  const begun = ["check", "begin 10,11 to 1,2", "check", "begin 12,13 to 3,4"];
  await turn();
  assertEquals(log.splice(0), begun);
  settle[1](true);
  await turn();
  assertEquals(log, []);
  settle[0](true);
  await turn();
  assertEquals(log.splice(0), [
    "check",
    "end 1,2 with 0",
    "check",
    "begin 14 to 5",
    "check",
    "end 3,4 with 1",
  ]);
  settle[2](true);
  await done;
  assertEquals(log, ["check", "end 5 with 2"]);
});

Deno.test("swapRounds() ends nothing after a failed round, and leaves none", async () => {
  for (const failed of [0, 1]) {
    const { rounds, log, settle, turn } = scripted();
    let over = false;
    const done = assertRejects(
      () => swapRounds(MOVES, rounds),
      Error,
      `no round ${failed}`,
    ).finally(() => over = true);
    await turn();
    settle[failed](false);
    if (failed === 1) settle[0](true);
    await turn();
    assertEquals(over, false);
    settle.forEach((end) => end(false));
    await done;
    await turn();
    const ends = log.filter((line) => line.startsWith("end"));
    assertEquals(ends, failed === 0 ? [] : ["end 1,2 with 0"]);
    assertEquals(settle.length, 2 + failed);
  }
});

Deno.test("swapRounds() of nothing does nothing", async () => {
  const { rounds, log } = scripted();
  await swapRounds({ direction: "in", blocks: [], slots: [] }, rounds);
  assertEquals(log, []);
});
