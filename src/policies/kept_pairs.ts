/**
 * Which pairs masks keep, counted: rectangles of pairs that the interval reading
 * decides are counted as they are, and only what it leaves open is divided.
 *
 * @module
 */

import { maskClassifier } from "../mods/interval/interval.ts";
import { maskFunction, type MaskMod } from "../mods/mod.ts";
import { modsDependOn } from "../mods/trace.ts";
import type { PolicyShape } from "../ops/mod.ts";

/** What masks keep of a call, in all of its sequences and heads. */
export interface KeptPairs {
  /** Pairs of a query head's row and a key. */
  readonly pairs: number;
  /** Rows of query heads that keep any key. */
  readonly rows: number;
  /** Keys of kv heads that any row keeps: each once a sequence and kv head. */
  readonly keys: number;
}

/** Pairs that are looked at one by one rather than divided further. */
const FEW = 64;

/**
 * Counts them.
 *
 * @param masks Bound to their sequences' offsets; all must hold.
 */
export function keptPairs(
  masks: readonly MaskMod[],
  { sequences, queryHeads, kvHeads }: Pick<
    PolicyShape,
    "sequences" | "queryHeads" | "kvHeads"
  >,
): KeptPairs {
  const group = queryHeads / kvHeads;
  const perHead = modsDependOn(masks, "head");
  // What is the same for all heads, and all of a group, is counted once.
  const [kvTimes, times] = perHead ? [1, 1] : [kvHeads, group];
  let [pairs, rows, keys] = [0, 0, 0];
  sequences.forEach((sequence, batch) => {
    for (let kvHead = 0; kvHead < kvHeads; kvHead += kvTimes) {
      const own = new Uint8Array(sequence.keyCount);
      for (let g = 0; g < group; g += times) {
        const head = kvHead * group + g;
        const kept = keptOfHead(masks, sequence, { batch, head, keys: own });
        pairs += kvTimes * times * kept.pairs;
        rows += kvTimes * times * kept.rows;
      }
      keys += kvTimes * ones(own);
    }
  });
  return { pairs, rows, keys };
}

/** Counts those of a head of a sequence, and notes the keys that they have. */
function keptOfHead(
  masks: readonly MaskMod[],
  { queryCount, keyCount, queryOffset }: PolicyShape["sequences"][number],
  { batch, head, keys }: {
    readonly batch: number;
    readonly head: number;
    readonly keys: Uint8Array;
  },
): { readonly pairs: number; readonly rows: number } {
  const classify = maskClassifier(masks);
  const sees = maskFunction(masks);
  const rows = new Uint8Array(queryCount);
  let pairs = 0;
  const visit = (q0: number, q1: number, k0: number, k1: number): void => {
    const found = classify({
      batch: [batch, batch],
      head: [head, head],
      query: [q0, q1],
      key: [k0, k1],
    });
    if (found === "none") return;
    const [queries, width] = [q1 - q0 + 1, k1 - k0 + 1];
    if (found === "all") {
      pairs += queries * width;
      rows.fill(1, q0 - queryOffset, q1 - queryOffset + 1);
      keys.fill(1, k0, k1 + 1);
    } else if (queries * width <= FEW) {
      for (let query = q0; query <= q1; query++) {
        for (let key = k0; key <= k1; key++) {
          if (!sees(batch, head, query, key)) continue;
          pairs++;
          rows[query - queryOffset] = 1;
          keys[key] = 1;
        }
      }
    } else if (queries > width) {
      const middle = middleOf(q0, q1);
      visit(q0, middle - 1, k0, k1);
      visit(middle, q1, k0, k1);
    } else {
      const middle = middleOf(k0, k1);
      visit(q0, q1, k0, middle - 1);
      visit(q0, q1, middle, k1);
    }
  };
  if (queryCount > 0 && keyCount > 0) {
    visit(queryOffset, queryOffset + queryCount - 1, 0, keyCount - 1);
  }
  return { pairs, rows: ones(rows) };
}

/**
 * What a range is divided at: of all positions in it but its first, the multiple
 * of the highest power of two, so that parts end where blocks do.
 */
function middleOf(first: number, last: number): number {
  const bit = 31 - Math.clz32(first ^ last);
  return (last >>> bit) << bit;
}

function ones(flags: Uint8Array): number {
  return flags.reduce((sum, flag) => sum + flag, 0);
}
