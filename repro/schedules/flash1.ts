/**
 * FlashAttention-1's table and block sizes: what recomputation costs and what it
 * saves, by the fast memory that there is.
 *
 * @module
 */

import { standardCost, totalTraffic } from "../../src/planning/mod.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Chart, Experiment, Report } from "../experiment.ts";
import { fittedExponent } from "../fit.ts";
import {
  BLOCK_SIZES,
  countFlash1,
  type Flash1Data,
  GPT2,
  LONG,
  MEMORIES,
} from "./flash1_counts.ts";
import { DEFAULT_WORKGROUP_BYTES } from "./schedule_plans.ts";
import { scheduleTimes } from "./schedule_times.ts";

function chartOf({ memories, blockSizes }: Flash1Data): Chart {
  const names = {
    both: "FlashAttention-1",
    both2: "FlashAttention-2, two kernels backward",
  };
  const lines = memories.flatMap((row) =>
    (["both", "both2"] as const).map((of) => ({
      kib: row.kib,
      schedule: names[of],
      ratio: row[of],
    }))
  );
  const sweep = blockSizes.map(({ keys, elements }) => ({
    keys,
    elements: elements / 1e6,
    line: "FlashAttention-1",
  }));
  const standard = totalTraffic(standardCost(LONG).traffic) / 1e6;
  const level = BLOCK_SIZES.map((keys) => ({
    keys,
    elements: standard,
    line: "standard",
  }));
  return panels({
    title: "Standard's traffic over FlashAttention's",
    subtitle: "forward and backward, GPT-2 medium; above 1 it saves",
    marks: {
      ...PANEL,
      data: { values: lines },
      encoding: {
        x: numbers("kib", "KiB of fast memory", {
          scale: { type: "log", base: 2, domain: [14, 190], nice: false },
          axis: { values: MEMORIES },
        }),
      },
      layer: [
        {
          mark: { type: "line", point: true },
          encoding: {
            y: numbers("ratio", null, { scale: { domainMin: 0 } }),
            color: colours("schedule", Object.values(names)),
          },
        },
        {
          mark: { type: "rule", strokeDash: [4, 4], color: "#555" },
          encoding: {
            x: { value: 0 },
            x2: { value: PANEL.width },
            y: { datum: 1 },
          },
        },
      ],
    },
  }, {
    title: "Traffic by block size",
    subtitle: "millions of elements, forward, 8192 tokens, head dim 64",
    marks: {
      ...PANEL,
      data: { values: [...sweep, ...level] },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("keys", "keys of a tile", BLOCK_SIZES),
        y: doublings("elements", null, [16, 32, 64, 128, 256, 512, 1024]),
        color: colours("line", ["FlashAttention-1", "standard"]),
      },
    },
  });
}

function reportOf(data: Flash1Data): Report {
  const { memories, blockSizes, flops, plans } = data;
  const { headDim: d } = LONG;
  const slope = fittedExponent(
    blockSizes.map(({ keys, elements }) => [keys, elements]),
  );
  const [smallest] = memories;
  const largest = memories[memories.length - 1];
  return {
    title: "FlashAttention-1: recomputation for traffic",
    paper:
      "GPT-2 medium, forward and backward: 66.6 -> 75.2 GFLOPs, 40.3 -> 4.4 GB, " +
      "41.7 -> 7.3 ms; blocks help up to about 256 (FlashAttention, figure 2)",
    setting: [
      "Exact counts of elements between slow and fast memory, each equal to an " +
      "instrumented run (`tests/planning`). Standard attention reads and writes " +
      "each operand of a dispatch once, which is the least it can; the paper's " +
      "40.3 GB are measured, and include what this count does not. So these " +
      "ratios are below the paper's 9.2 for the same memory.",
      `WebGPU's default of ${
        DEFAULT_WORKGROUP_BYTES / 1024
      } KiB makes tiles of 16 keys at head dim 64. There FlashAttention-1's own ` +
      "loop, which reads and writes O once a key tile, moves about three times " +
      "what standard attention must.",
      "The fused kernels here do better in the same 16 KiB, since they keep only " +
      "accumulators there: row tiles of 64 rows. They read keys and values once a " +
      "row tile, and queries again at every step, from a cache, which is not " +
      "counted (`explain().traffic.cachedBytes`).",
    ],
    tables: [{
      title: "Standard's elements over theirs, GPT-2 medium",
      columns: [
        "fast memory",
        "FA-1 tile",
        "forward",
        "with backward",
        "FA-2 rows",
        "forward",
        "with backward",
      ],
      rows: memories.map((row) => [
        `${row.kib} KiB`,
        `${row.tile.rows} x ${row.tile.keys}`,
        row.forward.toFixed(2),
        row.both.toFixed(2),
        row.rows2,
        row.forward2.toFixed(2),
        row.both2.toFixed(2),
      ]),
    }, {
      title: "Plans as they run here, forward, 16 KiB",
      columns: ["algorithm", "megabytes", "standard over it"],
      rows: Object.entries(plans).map(([name, bytes]) => [
        name,
        (bytes / 1e6).toFixed(1),
        (plans.standard / bytes).toFixed(2),
      ]),
    }, {
      title: "Products of forward and backward over standard's",
      columns: ["schedule", "ratio"],
      rows: [
        ["standard, P stored", "1.000"],
        ["FlashAttention-1, S once more", flops.fa1.toFixed(3)],
        ["FlashAttention-2 without atomics, S and dP", flops.fa2.toFixed(3)],
      ],
    }, {
      title: "FlashAttention-1's forward by block size, 8192 tokens",
      columns: ["keys of a tile", "million elements", "standard over it"],
      rows: blockSizes.map(({ keys, elements, ratio }) => [
        keys,
        (elements / 1e6).toFixed(1),
        ratio.toFixed(2),
      ]),
    }],
    checks: [
      {
        claim:
          "recomputation adds a tenth to a fifth of the products (paper: 13 %)",
        holds: flops.fa1 > 1.1 && flops.fa1 < 1.2,
      },
      {
        claim:
          "at WebGPU's default memory FlashAttention-1's loop moves more than standard attention",
        holds: smallest.kib === 16 && smallest.forward < 1 && smallest.both < 1,
      },
      {
        claim: "on an A100's 164 KiB it moves half or less",
        holds: largest.kib === 164 && largest.both > 2,
      },
      {
        claim: "with the same memory FlashAttention-2's forward moves less",
        holds: memories.every(({ forward, forward2 }) => forward2 > forward),
      },
      {
        claim:
          "as run here in 16 KiB, the fused kernels move less than standard attention must",
        holds: plans.fused < 4 * totalTraffic(standardCost(GPT2).traffic) &&
          plans.fused < plans.standard && plans.standard < plans.fa1,
      },
      {
        claim: `traffic falls as 1 / Bc: slope ${
          slope.toFixed(3)
        }, -1 within 0.05`,
        holds: Math.abs(slope + 1) < 0.05,
      },
      {
        claim: "standard / FA-1 is 4 Bc / (3d + 4) within 2 %, up to Bc = 128",
        holds: blockSizes.filter(({ keys }) => keys <= 128).every((
          { keys, ratio },
        ) => Math.abs(ratio / (4 * keys / (3 * d + 4)) - 1) < 0.02),
      },
    ],
    data,
    chart: chartOf(data),
  };
}

/** FlashAttention's first figures. */
export const flash1: Experiment = {
  count: () => reportOf(countFlash1()),
  timing: scheduleTimes,
};
