/**
 * What a plan's work tiles move, summed up: what an algorithm's cost is made of.
 *
 * @module
 */

import { type ScheduleCost, trafficOf } from "../../planning/traffic/cost.ts";
import type { RowSizes, VisitSums } from "../../planning/traffic/tiles.ts";
import { vecsOf } from "./problem.ts";

/** What is moved, summed over work tiles, and what any schedule would. */
export interface MovedWork {
  /** Of work tiles: visited steps, their rows and keys. */
  readonly sums: VisitSums;
  /** Rows of all heads, and what is stored of them. */
  readonly sizes: RowSizes;
  /** Rows of partial states, written and merged. */
  readonly stateRows: number;
}

/** What partial states cost: an A, and m and l as one more vec4, each way. */
export function statesCost(
  stateRows: number,
  { valueHeadDim }: Pick<RowSizes, "valueHeadDim">,
): ScheduleCost {
  const elements = stateRows * 4 * (vecsOf(valueHeadDim) + 1);
  return {
    traffic: trafficOf({ states: [elements, elements] }),
    flops: {
      matmul: 0,
      exp: stateRows,
      rescale: stateRows * valueHeadDim,
    },
  };
}
