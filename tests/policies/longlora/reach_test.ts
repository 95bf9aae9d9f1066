/** How far tokens see over several layers, and because of which heads. */

import { assert, assertEquals } from "@std/assert";
import { reachability } from "../../../reference/mod.ts";
import type { LongLoraOptions } from "../../../src/policies/mod.ts";
import { keptOf } from "./groups.ts";

const TOKENS = 48;
const SIZE = 12;
const HEADS = 4;

/** What each token depends on after so many layers. */
function reachedBy(options: LongLoraOptions, layers: number): Uint8Array {
  return reachability({
    tokens: TOKENS,
    heads: HEADS,
    mask: keptOf({ groupSize: SIZE, ...options }, {
      heads: HEADS,
      lengths: [TOKENS],
    }),
    layers,
  });
}

/** The first token that a token depends on, if it is on all from there on. */
function firstOf(reached: Uint8Array, token: number): number {
  const row = reached.subarray(token * TOKENS, (token + 1) * TOKENS);
  const first = row.indexOf(1);
  assertEquals(
    [...row],
    Array.from(row, (_, at) => at >= first && at <= token ? 1 : 0),
    `token ${token}`,
  );
  return first;
}

const groupOf = (at: number) => at - at % SIZE;
const shiftedOf = (at: number) => Math.max(0, at - (at + SIZE / 2) % SIZE);

Deno.test("tokens reach past their groups only through shifted heads", () => {
  for (const layers of [1, 2, 5]) {
    const apart = reachedBy({ shiftedHeads: "none" }, layers);
    const reached = reachedBy({}, layers);
    for (let token = 0; token < TOKENS; token++) {
      // However many layers, without shifted heads: the group.
      assertEquals(firstOf(apart, token), groupOf(token));
      // With them, half a group further each layer.
      let first = token;
      for (let i = 0; i < layers; i++) {
        first = Math.min(groupOf(first), shiftedOf(first));
      }
      assertEquals(firstOf(reached, token), first);
    }
  }
  // Two layers reach past both groups of one layer.
  const last = TOKENS - 1;
  assertEquals(
    [0, 1, 2, 3].map((layers) => firstOf(reachedBy({}, layers), last)),
    [47, 36, 30, 24],
  );
});

Deno.test("groups that wrap tell tokens of their future, others never do", () => {
  const future = (options: LongLoraOptions, layers: number) => {
    const reached = reachedBy(options, layers);
    let count = 0;
    for (let at = 0; at < reached.length; at++) {
      if (at % TOKENS > Math.floor(at / TOKENS)) count += reached[at];
    }
    return count;
  };
  for (const layers of [1, 2, 3]) assertEquals(future({}, layers), 0);
  assertEquals(future({ variant: "wrap" }, 1), (SIZE / 2) ** 2);
  assert(future({ variant: "wrap" }, 2) > (SIZE / 2) ** 2);
});
