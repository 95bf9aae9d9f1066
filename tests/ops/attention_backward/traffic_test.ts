/**
 * What backward plans foretell that they move, against the model of each pass
 * and against a count over single tiles, on devices only described.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import type { BackwardChoices } from "../../../src/ops/mod.ts";
import type { PlanDevice } from "../../../src/ops/attention/variants/variant.ts";
import {
  addTraffic,
  totalTraffic,
  type Traffic,
  trafficBytes,
} from "../../../src/planning/mod.ts";
import { flash2BackwardOf } from "../../../src/planning/traffic/backward.ts";
import { trafficOf } from "../../../src/planning/traffic/cost.ts";
import { packedSizes } from "../../../src/planning/traffic/sizes.ts";
import { rowSizes, visitSums } from "../../../src/planning/traffic/tiles.ts";
import {
  type Drawn,
  drawn,
  problemOf,
  sizesOf,
  visitsOf,
} from "../../support/drawn_problems.ts";
import { property } from "../../support/property.ts";

const DEVICE: PlanDevice = {
  software: true,
  maxLoopIterations: Infinity,
  features: new Set(["shader-f16"]),
  limits: {
    maxComputeWorkgroupStorageSize: 16384,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

function explain(c: Drawn, choices: BackwardChoices, lseGradient = false) {
  const problem = problemOf({ ...c, lse: true });
  return backwardParts({ problem, lseGradient }, DEVICE, choices).explanation;
}

/** Rows of all kv heads. */
function allRows({ batch, queries, heads }: Drawn): number {
  return batch * queries * heads[0];
}

/** The log-sum-exp beside D, and the gradient into it. */
function beside(c: Drawn, lseGradient: boolean): Traffic {
  return trafficOf({
    lse: [allRows(c), allRows(c)],
    delta: [lseGradient ? allRows(c) : 0, 0],
  });
}

function assertTraffic(
  c: Drawn,
  traffic: ReturnType<typeof explain>["traffic"],
  elements: Traffic,
): void {
  assertEquals(traffic.tensors, trafficBytes(elements, c.dtype));
  assertEquals(traffic.bytes, totalTraffic(traffic.tensors));
  assert(traffic.bytes >= traffic.floorBytes);
  assert(traffic.floorBytes > 0);
}

property(
  "explain().traffic of backward is flash2BackwardCost()'s, pass by pass",
  [drawn],
  (c) => {
    const lseGradient = c.queries % 2 === 0;
    const { traffic, kernels } = explain(
      c,
      { scoreGradients: "recomputed" },
      lseGradient,
    );
    const visited = (tile: { rows: number; keys: number }) =>
      visitSums(packedSizes(sizesOf(c)), {
        ...tile,
        visits: visitsOf(c, tile),
      });
    const query = visited(kernels.query.tile);
    const key = visited(kernels.keyValue.tile);
    const sizes = {
      ...rowSizes(packedSizes(sizesOf(c))),
      allKeys: c.batch * c.heads[1] * c.keys,
    };
    const cost = flash2BackwardOf({ query, key }, sizes);
    assertTraffic(
      c,
      traffic,
      addTraffic(cost.traffic, beside(c, lseGradient)),
    );
    assertEquals(traffic.flops, cost.flops);
    const element = c.dtype === "f16" ? 2 : 4;
    const again = query.rows - query.seeingRows + key.keys - key.seenKeys;
    assertEquals(
      traffic.cachedBytes,
      element * (c.headDim + c.valueHeadDim) * again,
    );
  },
  { runs: 40 },
);

property(
  "explain().traffic of stored gradients of scores, tile by tile",
  [drawn],
  (c) => {
    const storedKeys = 32;
    const tiles = {
      lanes: 4,
      rows: 8,
      keysPerLane: 4,
      rowsPerLane: 4,
      keys: 4,
    };
    const { traffic, kernels } = explain(c, {
      scoreGradients: "stored",
      tiles: { ...tiles, storedKeys },
    });
    const { keys: tileKeys, rows: step } = kernels.keyValue.tile;
    const { rows: size, keys: keyStep } = kernels.query.tile;
    const [queryHeads, kvHeads] = c.heads;
    const all = c.queries * queryHeads / kvHeads;
    const sees = visitsOf(c, { rows: step, keys: tileKeys });
    let [rows, pairs, seenKeys, written, read] = [0, 0, 0, 0, 0];
    let [queryKeys, queryPairs] = [0, 0];
    for (let tile = 0; tile * tileKeys < c.keys; tile++) {
      const own = Math.min(tileKeys, c.keys - tile * tileKeys);
      let seen = false;
      for (let first = 0; first < all; first += size) {
        const end = Math.min(first + size, all);
        let touched = false;
        for (let row = first; row < end; row += step) {
          if (!sees(row / step, tile)) continue;
          touched = true;
          const there = Math.min(step, all - row);
          rows += there;
          pairs += there * own;
          read += step * tileKeys;
        }
        if (!touched) continue;
        seen = true;
        written += Math.ceil((end - first) / step) * step * tileKeys;
        read += size * Math.ceil(own / keyStep) * keyStep;
        queryKeys += own;
        queryPairs += own * (end - first);
      }
      if (seen) seenKeys += own;
    }
    const heads = c.batch * kvHeads;
    const rounds = Math.ceil(
      c.keys / tileKeys / Math.max(1, Math.floor(storedKeys / tileKeys)),
    );
    const sums = (rounds - 1) * allRows(c) * 4 * Math.ceil(c.headDim / 4);
    const [d, e] = [c.headDim, c.valueHeadDim];
    assertTraffic(
      c,
      traffic,
      addTraffic(
        beside(c, false),
        trafficOf({
          output: [allRows(c) * e, 0],
          outputGradient: [(allRows(c) + heads * rows) * e, 0],
          delta: [heads * rows, allRows(c)],
          lse: [heads * rows, 0],
          query: [2 * heads * rows * d, 0],
          key: [heads * (seenKeys + queryKeys) * d, 0],
          value: [heads * seenKeys * e, 0],
          scoreGradient: [heads * read, heads * written],
          states: [sums, sums],
          queryGradient: [0, allRows(c) * d],
          keyGradient: [0, heads * c.keys * d],
          valueGradient: [0, heads * c.keys * e],
        }),
      ),
    );
    assertEquals(
      traffic.flops.matmul,
      heads * (pairs * (4 * d + 4 * e) + queryPairs * 2 * d) +
        2 * allRows(c) * e,
    );
    assertEquals(traffic.flops.exp, heads * pairs);
  },
  { runs: 40 },
);
