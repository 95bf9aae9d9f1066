import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  checkPolicy,
  compareRanks,
  prefillLimit,
  type Rank,
  rankKey,
} from "../../src/engine/policy.ts";
import { RankedList } from "../../src/engine/ranked_list.ts";
import { property } from "../support/property.ts";

property(
  "rankKey() lets a level less overtake within less than `aging`",
  [fc.nat(100), fc.nat(20), fc.nat(20), fc.nat(9), fc.integer({ min: 1 })],
  (iteration, later, aging, priority, level) => {
    const levels = 1 + level % 5;
    const before = { key: rankKey(priority, iteration, aging), arrival: 0 };
    const key = rankKey(priority - levels, iteration + later, aging);
    const overtakes = compareRanks({ key, arrival: 1 }, before) < 0;
    assertEquals(overtakes, later < levels * aging);
  },
);

property(
  "rankKey() makes priorities strict if aging is infinite",
  [fc.nat(100), fc.nat(100), fc.integer(), fc.integer()],
  (i, j, p, q) => {
    const a = { key: rankKey(p, i, Infinity), arrival: 0 };
    const b = { key: rankKey(q, j, Infinity), arrival: 1 };
    assertEquals(compareRanks(a, b) < 0, p <= q);
  },
);

property(
  "prefillLimit() keeps to what is left, at least 1 and half the budget",
  [fc.nat(50), fc.nat(50), fc.nat(99), fc.nat(60)],
  (budget, long, part, decoding) => {
    const tokenBudget = budget + 1;
    const policy = checkPolicy({ tokenBudget, longPrefill: long + 1 });
    const left = 1 + part % tokenBudget;
    const limit = prefillLimit(policy, { left, decoding });
    assert(limit >= 1 && limit <= left && limit <= long + 1);
    if (left < tokenBudget) return;
    assert(limit >= Math.min(long + 1, Math.ceil(tokenBudget / 2)));
    const others = Math.min(decoding, Math.floor(tokenBudget / 2));
    assert(limit <= tokenBudget - others || limit === 1);
  },
);

property(
  "RankedList is a sorted array",
  [fc.array(fc.tuple(fc.boolean(), fc.nat(9), fc.nat(30)))],
  (commands) => {
    const list = new RankedList<Rank>();
    const model: Rank[] = [];
    commands.forEach(([add, key, at], arrival) => {
      if (add || model.length === 0) {
        const item = { key, arrival };
        list.insert(item);
        model.push(item);
        model.sort(compareRanks);
      } else {
        const [item] = model.splice(at % model.length, 1);
        assert(list.remove(item));
        assert(!list.remove(item));
      }
      assertEquals([...list], model);
      assertEquals([list.length, list.at(-1)], [model.length, model.at(-1)]);
    });
  },
);
