/**
 * What plans foretell that they move, against the models of each schedule and
 * against a count over single (row, key) pairs, on devices only described.
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { attentionProblem, type PlanChoices } from "../../../src/ops/mod.ts";
import {
  type CostTiles,
  flash1Cost,
  flash2Cost,
  type ScheduleCost,
  standardCost,
  totalTraffic,
  trafficBound,
  trafficBytes,
} from "../../../src/planning/mod.ts";
import { partsFor } from "../../support/attention/parts.ts";
import {
  type Drawn,
  drawn,
  problemOf,
  sizesOf,
  visitsOf,
} from "../../support/drawn_problems.ts";
import { property } from "../../support/property.ts";
import { planDevice } from "../../support/plan_device.ts";

const DEVICE = planDevice({ features: ["shader-f16"] });

function explain(c: Drawn, choices: PlanChoices) {
  return partsFor(problemOf(c), DEVICE, choices).explanation;
}

function assertTraffic(
  c: Drawn,
  traffic: ReturnType<typeof explain>["traffic"],
  cost: ScheduleCost,
): void {
  assertEquals(traffic.tensors, trafficBytes(cost.traffic, c.dtype));
  assertEquals(traffic.exact, true);
  assertEquals(traffic.flops, cost.flops);
  assertEquals(traffic.bytes, totalTraffic(traffic.tensors));
  assert(traffic.bytes >= traffic.bound.floorBytes);
}

property(
  "explain().traffic of the fused algorithm is flash2Cost()'s",
  [drawn],
  (c) => {
    const { traffic, kernels } = explain(c, { splits: 1 });
    const [{ tile }] = Object.values(kernels);
    const tiles: CostTiles = { ...tile, visits: visitsOf(c, tile) };
    const cost = flash2Cost(sizesOf(c), tiles);
    assertTraffic(c, traffic, cost);
    const element = c.dtype === "f16" ? 2 : 4;
    const steps = flash1Cost(sizesOf(c), tiles).traffic.query?.reads ?? 0;
    const once = cost.traffic.query?.reads ?? 0;
    assertEquals(traffic.cachedBytes, element * (steps - once));
  },
  { runs: 60 },
);

property(
  "explain().traffic of FlashAttention-1 is flash1Cost()'s",
  [drawn],
  (drawn) => {
    const c = { ...drawn, dtype: "f32" as const };
    const { traffic, kernels } = explain(c, { algorithm: "fa1" });
    const { tile } = kernels.fa1;
    // All rows of a sequence go along a step that any of them sees.
    const all = c.queries * c.heads[0] / c.heads[1];
    const visits = visitsOf(c, { rows: all, keys: tile.keys });
    const cost = flash1Cost(sizesOf(c), {
      ...tile,
      visits: (_, keyTile) => visits(0, keyTile),
    });
    assertTraffic(c, traffic, cost);
    assertEquals(traffic.cachedBytes, 0);
  },
  { runs: 60 },
);

property(
  "explain().traffic of the standard algorithm is standardCost()'s",
  [drawn],
  (c) => {
    const { traffic, kernels } = explain(c, { algorithm: "standard" });
    const { tile: { rows } } = kernels.standard;
    const tiles = { rows, columns: 16, passes: 3 } as const;
    assertTraffic(c, traffic, standardCost(sizesOf(c), tiles));
  },
  { runs: 60 },
);

property(
  "explain().traffic has the lower bound of a problem without a mask",
  [drawn],
  (drawn) => {
    const c: Drawn = {
      ...drawn,
      causal: false,
      window: undefined,
      dtype: "f32",
    };
    for (const algorithm of ["fused", "fa1", "standard"] as const) {
      const { bound, fastElements } = explain(c, { algorithm }).traffic;
      assertEquals(fastElements, 4096);
      const expected = trafficBound(sizesOf(c), 4096);
      assertEquals(bound, {
        regime: expected.regime,
        orderBytes: 4 * expected.order,
        floorBytes: 4 * expected.floor,
        bytes: 4 * expected.elements,
      });
    }
  },
  { runs: 40 },
);

property(
  "explain().traffic of splits moves states on top, and no key twice",
  [drawn, fc.constantFrom(2, 3, "stream-k" as const)],
  (c, splits) => {
    const whole = explain(c, { splits: 1 }).traffic;
    const { traffic } = explain(c, { splits, workers: 5 });
    assertEquals(traffic.tensors.key, whole.tensors.key);
    assertEquals(traffic.tensors.value, whole.tensors.value);
    assertEquals(traffic.tensors.output, whole.tensors.output);
    assertEquals(traffic.bound, whole.bound);
    const { states = { reads: 0, writes: 0 } } = traffic.tensors;
    assertEquals(states.reads, states.writes);
    // A state is vec4s: A, and one more of m and l.
    const row = 16 * (Math.ceil(c.valueHeadDim / 4) + 1);
    assertEquals(states.reads % row, 0);
    assertEquals(
      traffic.flops.exp - whole.flops.exp,
      states.reads / row,
    );
  },
  { runs: 60 },
);

Deno.test("explain().traffic of a shared prefix reads its keys once", () => {
  const of = (sharedPrefix: "always" | "never") => {
    const keys = { dtype: "f32", shape: [64, 16, 2, 64] } as const;
    const problem = attentionProblem({
      query: { dtype: "f32", shape: [2, 1, 8, 64] },
      key: keys,
      value: keys,
      // Two sequences of 20 blocks; the first 16 are the same.
      blockTable: Uint32Array.from(
        { length: 40 },
        (_, i) => i < 20 ? i : i < 36 ? i - 20 : i,
      ),
      keyLengths: [320, 315],
    });
    return partsFor(problem, DEVICE, { sharedPrefix, splits: 1 }).explanation;
  };
  const [shared, apart] = [of("always"), of("never")];
  const [{ end }] = shared.sharedKeys;
  assert(end > 0);
  const row = 4 * 2 * 64; // bytes, heads, elements
  assertEquals(apart.traffic.tensors.key?.reads, row * (320 + 315));
  assertEquals(shared.traffic.tensors.key?.reads, row * (320 + 315 - end));
  assertEquals(shared.traffic.tensors.output, apart.traffic.tensors.output);
  assert(shared.traffic.tensors.states!.reads > 0);
  // Each row, and each key that is read, once: apart, keys are of two sequences.
  const rows = 4 * 2 * 8 * (64 + 64);
  assertEquals(apart.traffic.bound.floorBytes, rows + 2 * row * 635);
  assertEquals(shared.traffic.bound.floorBytes, rows + 2 * row * (635 - end));
});
