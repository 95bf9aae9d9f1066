/**
 * Linear against softmax attention on a device: prefill and training by
 * length, and one more token by what came before it. Times, so only reported.
 *
 * @module
 */

import { type Gpu, timingUnsupported } from "../../src/gpu/mod.ts";
import { timeInTurns } from "../../bench/support/gpu_time.ts";
import { median } from "../../bench/support/statistics.ts";
import { colours, doublings, numbers, PANEL, panels } from "../axes.ts";
import type { Report, Timing } from "../experiment.ts";
import { fittedExponent } from "../fit.ts";
import {
  BASED_DIM,
  HEAD_DIM,
  type KernelName,
  KERNELS,
} from "./growth_counts.ts";
import {
  Contestants,
  HEADS,
  type Recorded,
  type Stage,
} from "./contestants.ts";

const LENGTHS: readonly number[] = [128, 256, 512, 1024, 2048, 4096];
const REPEATS = 5;
const NAMES = Object.keys(KERNELS) as KernelName[];

const STAGES: readonly Stage[] = ["prefill", "training", "decode"];

/** Milliseconds of one length. */
interface TimesRow {
  /** Tokens, or those before the one that is decoded. */
  readonly length: number;
  /** By kernel. */
  readonly times: Readonly<Partial<Record<KernelName, number>>>;
}

async function rowOf(
  gpu: Gpu,
  length: number,
  stage: Stage,
): Promise<TimesRow> {
  const made = new Contestants(gpu);
  try {
    const names: KernelName[] = [];
    const contestants: Recorded[] = [];
    for (const name of NAMES) {
      const one = await made.of(name, length, stage);
      if (one === undefined) continue;
      names.push(name);
      contestants.push(one);
    }
    const times = (await timeInTurns(gpu, contestants, REPEATS)).map(median);
    return {
      length,
      times: Object.fromEntries(names.map((name, i) => [name, times[i]])),
    };
  } finally {
    made.destroy();
  }
}

/** The least length from which on it is faster than softmax attention. */
function passing(
  rows: readonly TimesRow[],
  name: KernelName,
): number | undefined {
  const slower = rows.findLastIndex(({ times }) =>
    times[name]! >= times.softmax!
  );
  return rows[slower + 1]?.length;
}

async function timeLinear(gpu: Gpu): Promise<Report> {
  const rows: Record<Stage, TimesRow[]> = {
    prefill: [],
    training: [],
    decode: [],
  };
  for (const length of LENGTHS) {
    for (const stage of STAGES) {
      rows[stage].push(await rowOf(gpu, length, stage));
    }
  }
  return reportOf(gpu, rows);
}

/** Those that were timed in it. */
function namesOf(rows: readonly TimesRow[]): KernelName[] {
  return NAMES.filter((name) => rows[0].times[name] !== undefined);
}

function reportOf(
  gpu: Gpu,
  rows: Readonly<Record<Stage, readonly TimesRow[]>>,
): Report {
  const table = (title: string, first: string, rows: readonly TimesRow[]) => ({
    title,
    columns: [first, ...namesOf(rows).map((name) => KERNELS[name])],
    rows: rows.map(({ length, times }) => [
      length,
      ...namesOf(rows).map((name) => times[name]!.toFixed(3)),
    ]),
  });
  // The longest half, where what does not grow is lost.
  const long = (rows: readonly TimesRow[], name: KernelName) =>
    fittedExponent(
      rows.slice(rows.length / 2)
        .map(({ length, times }) => [length, times[name]!]),
    );
  const found = STAGES.flatMap((stage) =>
    namesOf(rows[stage]).map((name) => ({
      stage,
      name,
      exponent: long(rows[stage], name),
      passes: name === "softmax" ? undefined : passing(rows[stage], name),
    }))
  );
  const panel = (title: string, axis: string, rows: readonly TimesRow[]) => ({
    title,
    subtitle: "milliseconds",
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ length, times }) =>
          namesOf(rows).map((name) => ({
            length,
            kernel: KERNELS[name],
            milliseconds: times[name],
          }))
        ),
      },
      mark: { type: "line", point: true },
      encoding: {
        x: doublings("length", axis, LENGTHS),
        y: numbers("milliseconds", null, {
          scale: { type: "log", base: 10, nice: false },
        }),
        color: colours("kernel", NAMES.map((name) => KERNELS[name])),
      },
    },
  });
  return {
    title: "Linear against softmax attention: times",
    paper:
      "GLA trains faster than FlashAttention-2 beyond 4096 tokens; BASED " +
      "decodes 24x faster at 1024 tokens; JRT-RNN's prefill is 19.2x faster at " +
      "32k tokens",
    setting: [
      `On ${gpu.info.description}: ${HEADS} heads with values of ` +
      `${HEAD_DIM}, queries and keys of ${HEAD_DIM}, BASED's of ${BASED_DIM}, ` +
      `float32. Median of ${REPEATS} rounds in which all take turns.`,
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [
      table("Milliseconds of prefill", "tokens", rows.prefill),
      table(
        "Milliseconds of forward and backward",
        "tokens",
        rows.training,
      ),
      table("Milliseconds of one more token", "after", rows.decode),
      {
        title: "From which length on it is faster, and the time's exponent",
        columns: ["", "", "faster from", "exponent"],
        rows: found.map(({ stage, name, passes, exponent }) => [
          stage,
          KERNELS[name],
          passes ?? "",
          exponent.toFixed(2),
        ]),
      },
    ],
    checks: [],
    data: { ...rows, found },
    chart: panels(
      panel("Prefill", "tokens", rows.prefill),
      panel("Forward and backward", "tokens", rows.training),
      panel("One more token", "tokens before it", rows.decode),
    ),
  };
}

/** Time by length. */
export const linearTimes: Timing = { name: "linear-times", time: timeLinear };
