/**
 * One row of the kernel table: a workload, measured and set against the
 * adapter's own peaks and the standard baseline.
 *
 * @module
 */

import type { Column } from "../../src/cli/table.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import type { Peak } from "../../src/gpu/calibrate.ts";
import { timeInTurns } from "./gpu_time.ts";
import { significant, summarize, type Summary } from "./statistics.ts";
import {
  bytesOf,
  flopsOf,
  LoadedWorkload,
  type Workload,
  workloadName,
} from "./workload.ts";

/** What the adapter can do at most. */
export interface Peaks {
  /** Multiply-adds, which bound prefill. */
  readonly fma: Peak;
  /** Reads, which bound decode. */
  readonly read: Peak;
}

/** A measured workload. */
export interface KernelRow {
  /** Its readable name. */
  readonly workload: string;
  /** Labels of the fused kernels. */
  readonly kernels: readonly string[];
  /** The fused kernels together, in milliseconds. */
  readonly ms: Summary;
  /** Work over the median time. */
  readonly rate: number;
  /** What `rate` counts. */
  readonly unit: Peak["unit"];
  /** `rate` over the adapter's measured peak. */
  readonly fractionOfPeak: number;
  /** The standard baseline, in milliseconds. */
  readonly standardMs: Summary;
  /** Median time of the baseline over ours: more than 1 is faster. */
  readonly speedup: number;
  /** Bytes of scratch that the fused plan and the baseline hold. */
  readonly scratchBytes: { readonly fused: number; readonly standard: number };
}

/** A row before the peaks are known. */
export type RawRow = Omit<KernelRow, "fractionOfPeak">;

/** Sets a row against the adapter's peaks. */
export function withPeak(row: RawRow, { fma, read }: Peaks): KernelRow {
  const peak = [fma, read].find(({ unit }) => unit === row.unit)!;
  return { ...row, fractionOfPeak: significant(row.rate / peak.value, 3) };
}

/** Measures one workload. */
export async function measureRow(
  gpu: Gpu,
  workload: Workload,
  repeats: number,
): Promise<RawRow> {
  const loaded = await LoadedWorkload.create(gpu, workload);
  const fused = await loaded.plan();
  const standard = await loaded.plan({ algorithm: "standard" });
  try {
    const { tensors } = loaded;
    const contestants = [fused, standard].map((plan) => ({ plan, tensors }));
    const times = await timeInTurns(gpu, contestants, repeats);
    const [ms, standardMs] = times.map((each) => rounded(summarize(each)));
    const prefill = workload.kind === "prefill";
    const work = prefill ? flopsOf(workload) : bytesOf(workload);
    return {
      workload: workloadName(workload),
      kernels: fused.explain().dispatches.map(({ kernel }) => kernel),
      ms,
      rate: significant(work / ms.median / 1e6),
      unit: prefill ? "GFLOP/s" : "GB/s",
      standardMs,
      speedup: significant(standardMs.median / ms.median, 3),
      scratchBytes: {
        fused: fused.explain().scratchBytes,
        standard: standard.explain().scratchBytes,
      },
    };
  } finally {
    for (const made of [fused, standard, loaded]) made.destroy();
  }
}

function rounded({ median, min, max }: Summary): Summary {
  return {
    median: significant(median),
    min: significant(min),
    max: significant(max),
  };
}

/** The headings over {@linkcode rowCells}. */
export const ROW_COLUMNS: readonly Column[] = [
  { title: "workload" },
  { title: "ms", align: "right" },
  { title: "spread", align: "right" },
  { title: "rate", align: "right" },
  { title: "of peak", align: "right" },
  { title: "speed-up", align: "right" },
  { title: "kernels" },
];

/**
 * A kernel's name and its tile, of a label such as
 * `attention.decode/paged.f32.4x128`: the workload says the rest.
 */
function shortLabel(label: string): string {
  const [, name, tile = ""] = /^(?:attention\.)?([^/]+)(?:.*?(\d+x\d+)$)?/.exec(
    label,
  )!;
  return `${name} ${tile}`.trim();
}

/** A row for a reader. */
export function rowCells(row: KernelRow): string[] {
  return [
    row.workload,
    row.ms.median.toFixed(2),
    `${(50 * (row.ms.max - row.ms.min) / row.ms.median).toFixed(0)} %`,
    `${row.rate.toFixed(1)} ${row.unit}`,
    `${(100 * row.fractionOfPeak).toFixed(0)} %`,
    `${row.speedup.toFixed(2)}x`,
    row.kernels.map(shortLabel).join(" + "),
  ];
}
