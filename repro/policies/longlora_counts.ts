/**
 * What LongLoRA's groups cost by length, and how far tokens see through them.
 *
 * @module
 */

import { reachability } from "../../reference/mod.ts";
import { maskFunction } from "../../src/mods/mod.ts";
import { attentionProblem } from "../../src/ops/mod.ts";
import { longlora, type LongLoraPolicy } from "../../src/policies/mod.ts";
import { groupBounds } from "../../src/policies/longlora/groups.ts";
import { plannedProblem } from "../schedules/schedule_plans.ts";

/** Half of them shifted. */
export const HEADS = 2;
/** Elements of a row. */
export const HEAD_DIM = 64;

/** One kind of attention at one length. */
export interface LongLoraRow {
  /** Which. */
  readonly of: string;
  /** Tokens. */
  readonly length: number;
  /** Pairs of a query and a key that are kept, of all heads. */
  readonly pairs: number;
  /** Pairs of the tiles that a plan visits. */
  readonly visited: number;
  /** Tiles beyond those that any plan of such tiles has to visit. */
  readonly needless: number;
  /** Bytes that the plan moves. */
  readonly bytes: number;
}

/** A problem of one sequence under a policy, or causal attention. */
function problemOf(length: number, policy: LongLoraPolicy | undefined) {
  const shape = [1, length, HEADS, HEAD_DIM];
  const rows = { dtype: "f32", shape } as const;
  return attentionProblem({
    query: rows,
    key: rows,
    value: rows,
    ...(policy ? { select: policy } : { causal: true }),
  });
}

/** Where causal runs of tokens begin and end, of each head. */
function runsOf(
  length: number,
  policy: LongLoraPolicy | undefined,
): readonly (readonly (readonly [number, number])[])[] {
  return Array.from({ length: HEADS }, (_, head) => {
    const bounds = policy === undefined ? [0, length] : groupBounds(length, {
      groupSize: policy.groupSizeOf(length),
      shifted: head >= HEADS / 2,
    });
    return bounds.slice(1).map((end, i) => [bounds[i], end] as const);
  });
}

/** Counts one kind of attention at one length. */
export function countLength(
  of: string,
  length: number,
  policy?: LongLoraPolicy,
): LongLoraRow {
  const { explanation } = plannedProblem(problemOf(length, policy), "fused", {
    splits: 1,
  });
  const { tileCounts, traffic, dispatches: [{ tile }] } = explanation;
  const { rows, keys } = tile!;
  let [pairs, needed] = [0, 0];
  for (const [start, end] of runsOf(length, policy).flat()) {
    pairs += (end - start) * (end - start + 1) / 2;
    // Tiles of rows that have a query of the run, each up to its last one.
    for (let row = start; row < end; row = row - row % rows + rows) {
      const last = Math.min(row - row % rows + rows, end) - 1;
      needed += Math.floor(last / keys) - Math.floor(start / keys) + 1;
    }
  }
  // Causal attention has the same tiles in each head, and counts them once.
  const times = policy === undefined ? HEADS : 1;
  return {
    of,
    length,
    pairs,
    visited: times * tileCounts.visited * rows * keys,
    needless: times * tileCounts.visited - needed,
    bytes: traffic.bytes,
  };
}

/** How far a token sees after some layers. */
export interface ReachRow {
  /** Layers. */
  readonly layers: number;
  /** Tokens that the last one depends on, with half of the heads shifted. */
  readonly shifted: number;
  /** The same with none shifted. */
  readonly apart: number;
}

/** A sequence whose reach is counted, and its groups. */
export const REACH = { tokens: 128, groupSize: 32 } as const;

/** On how many tokens the last one depends. */
export function countReach(layers: number): ReachRow {
  const { tokens, groupSize } = REACH;
  const reached = (shiftedHeads: "second-half" | "none") => {
    const policy = longlora({ groupSize, shiftedHeads });
    const { maskMods } = problemOf(tokens, policy);
    const rows = reachability({
      tokens,
      heads: HEADS,
      mask: maskFunction(maskMods),
      layers,
    });
    return rows.subarray((tokens - 1) * tokens).reduce((a, b) => a + b, 0);
  };
  return { layers, shifted: reached("second-half"), apart: reached("none") };
}

/** Pairs of a shifted head in which a query sees a later key, where groups wrap. */
export function countWrapped(
  { length, groupSize }: {
    readonly length: number;
    readonly groupSize: number;
  },
): number {
  const policy = longlora({ groupSize, variant: "wrap" });
  const sees = maskFunction(problemOf(length, policy).maskMods);
  let later = 0;
  for (let query = 0; query < length; query++) {
    for (let key = query + 1; key < length; key++) {
      if (sees(0, HEADS - 1, query, key)) later++;
    }
  }
  return later;
}
