/**
 * Cases of `tests/reference` for schedules, and how their counts are compared.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import type {
  ScheduleCounts,
  ScheduleTiles,
} from "../../reference/schedules/types.ts";
import type { AttentionSizes, ScheduleCost } from "../../src/planning/mod.ts";
import { trafficOf } from "../../src/planning/traffic/cost.ts";
import { type Case, coin, problemOf } from "../reference/cases.ts";

/** The sizes of a case. */
export function sizesOf(c: Case): AttentionSizes {
  return {
    batch: c.batch,
    queries: c.queryLength,
    keys: c.keyLength,
    queryHeads: c.kvHeads * c.queriesPerKvHead,
    kvHeads: c.kvHeads,
    headDim: c.headDim,
    valueHeadDim: c.valueHeadDim,
  };
}

/** Fails unless what was counted is what was foretold, tensor by tensor. */
export function assertCost(
  { traffic, flops }: ScheduleCounts,
  cost: ScheduleCost,
): void {
  const counted = trafficOf(Object.fromEntries(
    Object.entries(traffic).map(([name, { reads, writes }]) => [
      name,
      [reads, writes] as const,
    ]),
  ));
  assertEquals(counted, cost.traffic);
  assertEquals(flops, cost.flops);
}

/** Tiles of a problem that a case visits, of which those left out are hidden. */
export function sparse(c: Case, tiles: ScheduleTiles) {
  const visits = (...tile: number[]) => coin(c.seed, ...tile);
  const problem = problemOf(c);
  const { mask = () => true } = problem;
  const group = c.queriesPerKvHead;
  return {
    visits,
    problem: {
      ...problem,
      queryOffset: 0,
      mask: (b: number, h: number, q: number, key: number) => {
        const row = q * group + h % group;
        const tile = [row / tiles.rows, key / tiles.keys].map(Math.floor);
        return visits(tile[0], tile[1], b, Math.floor(h / group)) &&
          mask(b, h, q, key);
      },
    },
  };
}
