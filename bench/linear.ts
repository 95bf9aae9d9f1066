// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task bench:linear`: linear attention by chunks, beside causal attention
 * on the same shapes and this adapter's own peak of multiply-adds.
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
  LINEAR_COLUMNS,
  linearCells,
  type LinearRow,
  measureLinear,
} from "./support/linear_row.ts";
import {
  measureStep,
  STEP_COLUMNS,
  stepCells,
  type StepRow,
} from "./support/linear_step_row.ts";
import { quickAsked } from "./support/quick.ts";
import { writeSection } from "./support/results.ts";

/** How much is measured. */
interface Extent {
  readonly lengths: readonly number[];
  readonly headDims: readonly number[];
  /** Sequences of a decode step. */
  readonly batches: readonly number[];
  /** Keys that attention has of each. */
  readonly contexts: readonly number[];
  readonly repeats: number;
}

const FULL: Extent = {
  lengths: [512, 1024, 2048, 4096],
  headDims: [64, 128],
  batches: [1, 16],
  contexts: [1024, 4096],
  repeats: 7,
};
const QUICK: Extent = {
  lengths: [512, 1024],
  headDims: [64],
  batches: [16],
  contexts: [1024],
  repeats: 3,
};

interface Measured {
  readonly clock: "timestamps" | "wall";
  readonly peak: Peak;
  readonly bandwidth: Peak;
  readonly rows: readonly LinearRow[];
  readonly steps: readonly StepRow[];
}

async function measure(gpu: Gpu, extent: Extent): Promise<Measured> {
  const before = await measureFmaPeak(gpu);
  const rows: Omit<LinearRow, "fractionOfPeak">[] = [];
  for (const headDim of extent.headDims) {
    for (const tokens of extent.lengths) {
      for (const gates of ["none", "head", "channel"] as const) {
        const sizes = { tokens, headDim, gates };
        rows.push(await measureLinear(gpu, sizes, extent.repeats));
      }
    }
  }
  const bandwidth = await measureReadBandwidth(gpu);
  const steps: StepRow[] = [];
  for (const batch of extent.batches) {
    for (const context of extent.contexts) {
      for (const rule of ["gated", "gated_delta"] as const) {
        const sizes = { batch, context, rule };
        const row = await measureStep(gpu, sizes, extent.repeats);
        const fractionOfBandwidth = row.bandwidth / bandwidth.value;
        steps.push({ ...row, fractionOfBandwidth });
      }
    }
  }
  // Other load only ever lowers a peak.
  const after = await measureFmaPeak(gpu);
  const peak = after.value > before.value ? after : before;
  return {
    clock: timingUnsupported(gpu) ? "wall" : "timestamps",
    peak,
    bandwidth,
    steps,
    rows: rows.map((row) => ({
      ...row,
      fractionOfPeak: row.rate / peak.value,
    })),
  };
}

async function main(): Promise<void> {
  const quick = quickAsked(
    "bench:linear",
    "Times linear attention beside causal attention",
  );
  const gpu = await openGpu({ label: "bench" });
  try {
    const result = await measure(gpu, quick ? QUICK : FULL);
    const width = standardOutput().columns;
    console.log(
      `${gpu.info.description}: ${
        result.peak.value.toFixed(1)
      } GFLOP/s of f32 multiply-adds, ${
        result.bandwidth.value.toFixed(1)
      } GB/s of reads\n\n` +
        formatTable(LINEAR_COLUMNS, result.rows.map(linearCells), { width }) +
        "\n\n" +
        formatTable(STEP_COLUMNS, result.steps.map(stepCells), { width }),
    );
    if (quick) return console.log("\n--quick: nothing is written.");
    console.log(`\nWritten: ${await writeSection(gpu, "linear", result)}`);
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();
