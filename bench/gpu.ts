// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task bench`: the attention kernels by the device's own clock, beside
 * the adapter's measured peaks and the standard baseline.
 *
 * @module
 */

import { formatTable } from "../src/cli/table.ts";
import { standardOutput } from "../src/cli/terminal.ts";
import { type Gpu, openGpu, timingUnsupported } from "../src/gpu/mod.ts";
import {
  measureFmaPeak,
  measureReadBandwidth,
  type Peak,
} from "../src/gpu/calibrate.ts";
import {
  type KernelRow,
  measureRow,
  type Peaks,
  type RawRow,
  ROW_COLUMNS,
  rowCells,
  withPeak,
} from "./support/kernel_row.ts";
import {
  BACKWARD_COLUMNS,
  backwardCells,
  type BackwardRow,
  measureBackward,
} from "./support/backward_row.ts";
import {
  measureSkipped,
  type SkippedExtent,
  skippedTables,
  type SkippedWork,
} from "./support/skipped_work.ts";
import { quickAsked } from "./support/quick.ts";
import { writeSection } from "./support/results.ts";
import type { Workload } from "./support/workload.ts";

/** How much is measured. */
interface Extent extends SkippedExtent {
  readonly headDims: readonly number[];
  readonly prefill: number;
  readonly decodeKeys: number;
}

const FULL: Extent = {
  headDims: [64, 128],
  prefill: 512,
  decodeKeys: 4096,
  sparseLength: 1024,
  texts: 8,
  cutOffs: [512, 1024],
  repeats: 7,
};
const QUICK: Extent = {
  headDims: [64],
  prefill: 256,
  decodeKeys: 1024,
  sparseLength: 512,
  texts: 4,
  cutOffs: [512],
  repeats: 3,
};

function* workloads(gpu: Gpu, extent: Extent): Generator<Workload> {
  const { headDims, prefill, decodeKeys } = extent;
  const dtypes = gpu.features.has("shader-f16")
    ? ["f32", "f16"] as const
    : ["f32"] as const;
  const sources = ["dense", "paged"] as const;
  for (const headDim of headDims) {
    for (const dtype of dtypes) {
      for (const source of sources) {
        const shape = { source, dtype, headDim, kvHeads: 8 };
        for (const causal of [false, true]) {
          yield {
            ...shape,
            kind: "prefill",
            causal,
            queryHeads: 8,
            queries: prefill,
            keys: prefill,
          };
        }
        for (const queryHeads of [8, 32]) {
          yield {
            ...shape,
            kind: "decode",
            causal: false,
            queryHeads,
            queries: 1,
            keys: decodeKeys,
          };
        }
      }
    }
  }
}

/** The better of two looks at a peak: other load only ever lowers it. */
function better(a: Peak, b: Peak): Peak {
  return b.value > a.value ? b : a;
}

async function measurePeaks(gpu: Gpu, before?: Peaks): Promise<Peaks> {
  const fma = await measureFmaPeak(gpu);
  const read = await measureReadBandwidth(gpu);
  if (before === undefined) return { fma, read };
  return { fma: better(before.fma, fma), read: better(before.read, read) };
}

interface Measured {
  readonly clock: "timestamps" | "wall";
  readonly peaks: Peaks;
  readonly rows: readonly KernelRow[];
  /** Backward beside forward. */
  readonly backward: readonly BackwardRow[];
  /** What is not computed. */
  readonly skipped: SkippedWork;
}

/** Peaks are looked for before and after the rows. */
async function measure(gpu: Gpu, extent: Extent): Promise<Measured> {
  const before = await measurePeaks(gpu);
  const raw: RawRow[] = [];
  for (const workload of workloads(gpu, extent)) {
    raw.push(await measureRow(gpu, workload, extent.repeats));
  }
  const gradients: Omit<BackwardRow, "fractionOfPeak">[] = [];
  for (const headDim of extent.headDims) {
    for (const causal of [false, true]) {
      const tokens = extent.prefill;
      const sizes = { tokens, headDim, causal };
      gradients.push(await measureBackward(gpu, sizes, extent.repeats));
    }
  }
  const skipped = await measureSkipped(gpu, extent);
  const peaks = await measurePeaks(gpu, before);
  return {
    clock: timingUnsupported(gpu) ? "wall" : "timestamps",
    peaks,
    rows: raw.map((row) => withPeak(row, peaks)),
    backward: gradients.map((row) => ({
      ...row,
      fractionOfPeak: row.rate / peaks.fma.value,
    })),
    skipped,
  };
}

function report(
  gpu: Gpu,
  { peaks, rows, backward, skipped }: Measured,
): string {
  const why = timingUnsupported(gpu);
  const width = standardOutput().columns;
  return `${why ? `Timed by bursts and the host's clock: ${why}.\n` : ""}` +
    `${gpu.info.description}: ${peaks.fma.value.toFixed(1)} GFLOP/s ` +
    `of f32 multiply-adds, ${peaks.read.value.toFixed(1)} GB/s of reads\n\n` +
    [
      formatTable(ROW_COLUMNS, rows.map(rowCells), { width }),
      formatTable(BACKWARD_COLUMNS, backward.map(backwardCells), { width }),
      skippedTables(skipped, width),
    ].join("\n\n");
}

async function main(): Promise<void> {
  const quick = quickAsked(
    "bench",
    "Times the attention kernels beside this adapter's own peaks",
  );
  const gpu = await openGpu({ label: "bench" });
  try {
    const result = await measure(gpu, quick ? QUICK : FULL);
    console.log(report(gpu, result));
    if (quick) return console.log("\n--quick: nothing is written.");
    console.log(`\nWritten: ${await writeSection(gpu, "kernels", result)}`);
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();
