// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task bench:serving`: decode as a service has it. How the time grows
 * with the context and by partition, what a block table costs, and what
 * sequences behind one prompt save by reading it together.
 *
 * @module
 */

import { type Column, formatTable } from "../src/cli/table.ts";
import { standardOutput } from "../src/cli/terminal.ts";
import { type Gpu, openGpu, timingUnsupported } from "../src/gpu/mod.ts";
import { measureReadBandwidth } from "../src/gpu/calibrate.ts";
import type { PlanChoices } from "../src/ops/mod.ts";
import { Prng } from "../src/core/prng.ts";
import { type Contestant, timeInTurns } from "./support/gpu_time.ts";
import { quickAsked } from "./support/quick.ts";
import { writeSection } from "./support/results.ts";
import {
  distinctBytes,
  LoadedBatch,
  readBytes,
  type ServingBatch,
} from "./support/serving_batch.ts";
import { median, significant } from "./support/statistics.ts";

/** How much is measured. */
interface Extent {
  readonly contexts: readonly number[];
  readonly blockSizes: readonly number[];
  readonly sequences: number;
  readonly prompt: number;
  readonly repeats: number;
}

const FULL: Extent = {
  contexts: [1024, 4096, 32768, 131072],
  blockSizes: [16, 32, 64, 128],
  sequences: 64,
  prompt: 4096,
  repeats: 15,
};
const QUICK: Extent = {
  contexts: [1024, 4096],
  blockSizes: [16],
  sequences: 8,
  prompt: 1024,
  repeats: 3,
};

const SHAPE = { prompt: 0, headDim: 64, blockSize: 16 } as const;
const SHAPES = [
  { ...SHAPE, dtype: "f32", queryHeads: 1, kvHeads: 1 },
  { ...SHAPE, dtype: "f32", queryHeads: 8, kvHeads: 2 },
  { ...SHAPE, dtype: "f16", queryHeads: 8, kvHeads: 2 },
] as const;

/** How the keys are partitioned; the first is the default. */
const PARTITIONS: Readonly<Record<string, PlanChoices>> = {
  "fixed splits": {},
  unsplit: { splits: 1 },
  "stream-K": { splits: "stream-k" },
  "cost model": { splits: "auto" },
};

/** Median milliseconds of each way, measured in turns. */
type Times = Readonly<Record<string, number>>;

/** One row of a table. */
interface Row {
  readonly name: string;
  readonly ms: Times;
  /** Bytes of keys and values that are there, each read once. */
  readonly bytes: number;
  /** What the cost model took, where it was asked. */
  readonly chosen?: string;
}

async function timed(
  gpu: Gpu,
  contestants: Readonly<Record<string, Contestant>>,
  repeats: number,
): Promise<Times> {
  const times = await timeInTurns(gpu, Object.values(contestants), repeats);
  return Object.fromEntries(
    Object.keys(contestants).map((name, i) => [
      name,
      significant(median(times[i])),
    ]),
  );
}

async function withBatch<T>(
  gpu: Gpu,
  batch: ServingBatch,
  use: (loaded: LoadedBatch) => Promise<T>,
): Promise<T> {
  const loaded = await LoadedBatch.create(gpu, batch);
  try {
    return await use(loaded);
  } finally {
    loaded.destroy();
  }
}

function nameOf({ queryHeads, kvHeads, headDim, dtype }: ServingBatch): string {
  return `${queryHeads}/${kvHeads} heads d${headDim} ${dtype}`;
}

async function partitionRow(
  gpu: Gpu,
  name: string,
  batch: ServingBatch,
  repeats: number,
): Promise<Row> {
  return await withBatch(gpu, batch, async (loaded) => {
    const contestants: Record<string, Contestant> = {};
    for (const [partition, choices] of Object.entries(PARTITIONS)) {
      contestants[partition] = await loaded.paged(choices);
    }
    const { kernels } = contestants["cost model"].plan.explain();
    return {
      name: `${name}, ${nameOf(batch)}`,
      ms: await timed(gpu, contestants, repeats),
      bytes: readBytes(batch),
      chosen: (kernels.decode ?? kernels.forward).splits,
    };
  });
}

/** By context, one sequence; and one ragged batch. */
async function byContext(gpu: Gpu, extent: Extent): Promise<Row[]> {
  const rows: Row[] = [];
  for (const shape of SHAPES) {
    for (const keys of extent.contexts) {
      const batch = { ...shape, keys: [keys] };
      rows.push(await partitionRow(gpu, `${keys} keys`, batch, extent.repeats));
    }
  }
  const random = new Prng(7);
  const longest = extent.contexts[extent.contexts.length - 2];
  const keys = Array.from(
    { length: 7 },
    () => Math.ceil(longest ** random.uniform()),
  );
  const ragged = { ...SHAPES[1], keys: [longest, ...keys] };
  rows.push(
    await partitionRow(gpu, `8 of up to ${longest}`, ragged, extent.repeats),
  );
  return rows;
}

async function byBlockSize(gpu: Gpu, extent: Extent): Promise<Row[]> {
  const rows: Row[] = [];
  for (const shape of SHAPES) {
    for (const blockSize of extent.blockSizes) {
      const batch = { ...shape, blockSize, keys: [extent.contexts[1]] };
      rows.push(
        await withBatch(gpu, batch, async (loaded) => ({
          name: `blocks of ${blockSize}, ${nameOf(batch)}`,
          ms: await timed(gpu, {
            contiguous: await loaded.contiguous(),
            paged: await loaded.paged(),
          }, extent.repeats),
          bytes: readBytes(batch),
        })),
      );
    }
  }
  return rows;
}

/** Sequences of 65 to 128 tokens of their own behind one prompt. */
async function behindOnePrompt(gpu: Gpu, extent: Extent): Promise<Row[]> {
  const { sequences, prompt } = extent;
  const rows: Row[] = [];
  for (const shape of SHAPES) {
    const keys = Array.from(
      { length: sequences },
      (_, i) => prompt + 65 + i % 64,
    );
    const batch = { ...shape, prompt, keys };
    rows.push(
      await withBatch(gpu, batch, async (loaded) => ({
        name: `${sequences} behind ${prompt}, ${nameOf(batch)}`,
        ms: await timed(gpu, {
          flat: await loaded.paged(),
          shared: await loaded.paged({ sharedPrefix: "always" }),
          "cost model": await loaded.paged({ invariant: false }),
        }, extent.repeats),
        bytes: distinctBytes(batch),
      })),
    );
  }
  return rows;
}

function report(title: string, rows: readonly Row[], peak: number): string {
  const ways = Object.keys(rows[0].ms);
  const number = (title: string): Column => ({ title, align: "right" });
  const columns: Column[] = [
    { title },
    ...ways.map((way) => number(`${way} ms`)),
    number(`${ways[0]} over ${ways[1]}`),
    number("GB/s"),
    number("of peak"),
    ...(rows[0].chosen ? [{ title: "the cost model took" }] : []),
  ];
  const cells = rows.map(({ name, ms, bytes, chosen }) => {
    const best = Math.min(...Object.values(ms));
    const rate = bytes / best / 1e6;
    return [
      name,
      ...ways.map((way) => ms[way].toFixed(2)),
      `${(ms[ways[0]] / ms[ways[1]]).toFixed(2)}x`,
      rate.toFixed(2),
      `${(100 * rate / peak).toFixed(0)} %`,
      ...(chosen ? [chosen] : []),
    ];
  });
  return formatTable(columns, cells, { width: standardOutput().columns });
}

async function main(): Promise<void> {
  const quick = quickAsked(
    "bench:serving",
    "Times decode by context, block size and shared prompt",
  );
  const extent = quick ? QUICK : FULL;
  const gpu = await openGpu({ label: "bench" });
  try {
    const before = await measureReadBandwidth(gpu);
    const tables = {
      context: await byContext(gpu, extent),
      blockSize: await byBlockSize(gpu, extent),
      sharedPrompt: await behindOnePrompt(gpu, extent),
    };
    const after = await measureReadBandwidth(gpu);
    const read = after.value > before.value ? after : before;
    const clock = timingUnsupported(gpu) ? "wall" : "timestamps";
    console.log(
      `${gpu.info.description}: ${read.value.toFixed(1)} GB/s of reads\n`,
    );
    const { context, blockSize, sharedPrompt } = tables;
    console.log(report("one token each", context, read.value), "\n");
    console.log(report("block table", blockSize, read.value), "\n");
    console.log(report("shared prompt", sharedPrompt, read.value));
    if (quick) return console.log("\n--quick: nothing is written.");
    const result = { clock, read, ...tables };
    console.log(`\nWritten: ${await writeSection(gpu, "serving", result)}`);
  } finally {
    gpu.destroy();
  }
}

if (import.meta.main) await main();
