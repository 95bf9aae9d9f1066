/**
 * S2-Attention on a device, by stride and length. Times, so only reported.
 *
 * @module
 */

import { type Contestant, timeInTurns } from "../../bench/support/gpu_time.ts";
import { normals } from "../../bench/support/inputs.ts";
import { median } from "../../bench/support/statistics.ts";
import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import { planAttention } from "../../src/ops/mod.ts";
import { s2 } from "../../src/policies/mod.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Report, Timing } from "../experiment.ts";
import { countDensity, HEAD_DIM, HEADS, LOCAL_BLOCKS } from "./s2_counts.ts";

const STRIDES: readonly number[] = [4, 16, 64];
const REPEATS = 5;

/** Median milliseconds of one pattern at one length. */
interface TimedRow {
  readonly stride: number;
  readonly length: number;
  readonly milliseconds: number;
  /** Of causal attention. */
  readonly causal: number;
  /** Times that S2 is faster, over `1 / density`. */
  readonly efficiency: number;
}

async function timeLength(gpu: Gpu, length: number): Promise<TimedRow[]> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shape = [1, length, HEADS, HEAD_DIM];
  const size = length * HEADS * HEAD_DIM;
  const upload = (seed: number) =>
    own(gpu.tensor(normals("f32", size, seed), shape));
  try {
    const [query, key, value] = [upload(1), upload(2), upload(3)];
    const output = own(gpu.empty("f32", shape));
    const inputs = { query, key, value, causal: true };
    const contestants: Contestant[] = [];
    const policies = STRIDES.map((stride) =>
      s2({ localBlocks: LOCAL_BLOCKS, stride })
    );
    for (const select of [undefined, ...policies]) {
      const plan = own(
        await planAttention(gpu, { ...inputs, ...(select && { select }) }),
      );
      contestants.push({ plan, tensors: { query, key, value, output } });
    }
    const [causal, ...times] = (await timeInTurns(gpu, contestants, REPEATS))
      .map(median);
    return STRIDES.map((stride, i) => ({
      stride,
      length,
      milliseconds: times[i],
      causal,
      efficiency: causal / times[i] * countDensity(stride, length),
    }));
  } finally {
    for (const made of owned) made.destroy();
  }
}

async function time(gpu: Gpu): Promise<Report> {
  const lengths = gpu.software
    ? [512, 1024, 2048]
    : [1024, 2048, 4096, 8192, 16_384];
  const rows: TimedRow[] = [];
  for (const length of lengths) rows.push(...await timeLength(gpu, length));
  const names = STRIDES.map((stride) => `stride ${stride}`);
  return {
    title: "S2-Attention: time by stride and length",
    paper: "attention up to 25.3x faster than FlashAttention-2 at 128k tokens",
    setting: [
      `On ${gpu.info.description}: ${HEADS} heads of ${HEAD_DIM}, float32, a ` +
      `band of ${LOCAL_BLOCKS} blocks of 64. Median of ${REPEATS} rounds in ` +
      "which all take turns.",
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [{
      title: "Milliseconds",
      columns: ["stride", "tokens", "S2", "causal", "faster", "x density"],
      rows: rows.map(({ stride, length, milliseconds, causal, efficiency }) => [
        stride,
        length,
        milliseconds.toFixed(2),
        causal.toFixed(2),
        `${(causal / milliseconds).toFixed(2)}x`,
        efficiency.toFixed(2),
      ]),
    }],
    checks: [],
    data: { rows },
    chart: panels({
      title: "Times faster than causal attention, over 1 / density",
      subtitle: "1 where all that is left out is saved",
      marks: {
        ...PANEL,
        data: {
          values: rows.map(({ stride, ...row }) => ({
            ...row,
            of: `stride ${stride}`,
          })),
        },
        mark: { type: "line", point: true },
        encoding: {
          x: doublings("length", "tokens", lengths),
          y: numbers("efficiency", null),
          color: colours("of", names),
        },
      },
    }),
  };
}

/** Time by stride and length. */
export const s2Times: Timing = { name: "s2-times", time };
