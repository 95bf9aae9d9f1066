/**
 * FlashAttention-1, FlashAttention-2 and standard attention on a device, by
 * heads and by block size. Times, so only reported.
 *
 * @module
 */

import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import { planAttention, type PlanChoices } from "../../src/ops/mod.ts";
import { type Contestant, timeInTurns } from "../../bench/support/gpu_time.ts";
import { normals } from "../../bench/support/inputs.ts";
import { median } from "../../bench/support/statistics.ts";
import { doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Report, Timing } from "../experiment.ts";

const LENGTH = 512;
const HEAD_DIM = 64;
const HEADS: readonly number[] = [1, 2, 4, 8, 16];
const KEYS: readonly number[] = [4, 8, 16, 32];
const REPEATS = 7;

const ALGORITHMS = {
  fa1: "FlashAttention-1",
  fused: "FlashAttention-2",
  standard: "standard",
} as const;

/** Median milliseconds of plans that take turns. */
async function timesOf(
  gpu: Gpu,
  heads: number,
  all: readonly PlanChoices[],
): Promise<number[]> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shape = [1, LENGTH, heads, HEAD_DIM];
  const upload = (seed: number) =>
    own(gpu.tensor(normals("f32", LENGTH * heads * HEAD_DIM, seed), shape));
  try {
    const [query, key, value] = [upload(1), upload(2), upload(3)];
    const output = own(gpu.empty("f32", shape));
    const tensor = { dtype: "f32", shape } as const;
    const contestants: Contestant[] = [];
    for (const choices of all) {
      const plan = own(
        await planAttention(gpu, {
          query: tensor,
          key: tensor,
          value: tensor,
          splits: 1,
          ...choices,
        }),
      );
      contestants.push({ plan, tensors: { query, key, value, output } });
    }
    return (await timeInTurns(gpu, contestants, REPEATS)).map(median);
  } finally {
    for (const made of owned) made.destroy();
  }
}

async function timeSchedules(gpu: Gpu): Promise<Report> {
  const names = Object.keys(ALGORITHMS) as (keyof typeof ALGORITHMS)[];
  const byHeads = [];
  for (const heads of HEADS) {
    const [fa1, fused, standard] = await timesOf(
      gpu,
      heads,
      names.map((algorithm) => ({ algorithm })),
    );
    byHeads.push({ heads, fa1, fused, standard });
  }
  const times = await timesOf(
    gpu,
    8,
    KEYS.map((keys) => ({ algorithm: "fa1", tiles: { forward: { keys } } })),
  );
  const byKeys = KEYS.map((keys, i) => ({ keys, milliseconds: times[i] }));
  return {
    title: "FlashAttention-1 against FlashAttention-2: times",
    paper: "FlashAttention-2 takes about half the time of FlashAttention-1; " +
      "larger blocks help up to about 256 keys",
    setting: [
      `On ${gpu.info.description}: ${LENGTH} tokens, head dim ${HEAD_DIM}, ` +
      `float32, no mask. Median of ${REPEATS} rounds in which all take turns.`,
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: "Milliseconds",
      columns: ["heads", "FA-1", "FA-2", "standard", "FA-1 / FA-2"],
      rows: byHeads.map(({ heads, fa1, fused, standard }) => [
        heads,
        fa1.toFixed(3),
        fused.toFixed(3),
        standard.toFixed(3),
        (fa1 / fused).toFixed(2),
      ]),
    }, {
      title: "FlashAttention-1 by keys of a tile, 8 heads",
      columns: ["keys", "milliseconds"],
      rows: byKeys.map(({ keys, milliseconds }) => [
        keys,
        milliseconds.toFixed(3),
      ]),
    }],
    checks: [],
    data: { byHeads, byKeys },
    chart: panels({
      title: "FlashAttention-1's time over FlashAttention-2's",
      subtitle: "above 1 it is slower",
      marks: {
        ...PANEL,
        data: {
          values: byHeads.map(({ heads, fa1, fused }) => ({
            heads,
            ratio: fa1 / fused,
          })),
        },
        mark: { type: "line", point: { color: "#0072b2" }, color: "#0072b2" },
        encoding: {
          x: doublings("heads", "batch x heads", HEADS),
          y: numbers("ratio", null),
        },
      },
    }, {
      title: "FlashAttention-1 by block size",
      subtitle: "milliseconds, 8 heads",
      marks: {
        ...PANEL,
        data: { values: byKeys },
        mark: { type: "line", point: { color: "#009e73" }, color: "#009e73" },
        encoding: {
          x: doublings("keys", "keys of a tile", KEYS),
          y: numbers("milliseconds", null),
        },
      },
    }),
  };
}

/** The three schedules on a device. */
export const scheduleTimes: Timing = {
  name: "schedules",
  time: timeSchedules,
};
