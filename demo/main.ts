// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task demo [FILE]`: paged attention at work on a text of yours.
 *
 * The file goes through the tiled kernel into a paged cache; prompts from it
 * are completed, each on a fork of the cached text; every byte that the
 * attention said is then looked up by plain search, and must be the same.
 *
 * @module
 */

import {
  DeviceLostError,
  type Gpu,
  type KvCache,
  openGpu,
  UnsupportedError,
} from "../mod.ts";
import { readCommand } from "../src/cli/arguments.ts";
import { formatTable } from "../src/cli/table.ts";
import { standardOutput } from "../src/cli/terminal.ts";
import { footprints, sharing } from "../src/cache/mod.ts";
import { complete, type Completions } from "./completions.ts";
import { MAX_POSITIONS, QUERY_HEADS, VALUE_HEAD_DIM } from "./encoding.ts";
import {
  COMMAND,
  type DemoArguments,
  demoArguments,
  DemoError,
  type Input,
  MAX_TEXT,
  promptsOf,
  readInput,
  shortPath,
} from "./input.ts";
import { checkCompletions, checkPredictions } from "./check.ts";
import { maxError, measureDecode, measurePrefill } from "./measure.ts";
import { type Prefill, prefill } from "./prefill.ts";
import { BLOCK_SIZE, textCache } from "./text_cache.ts";
import {
  bytesText,
  CompletionView,
  Progress,
  type Sink,
  writeEntry,
} from "./view.ts";

/** Elements of one query's output. */
const WIDTH = QUERY_HEADS * VALUE_HEAD_DIM;

/** Prompts that are taken from the file. */
const PLACES = 4;

/** What is shown, in one line. */
const WHAT =
  "Paged attention completes your text by its longest matches, and proves it.";

const out: Sink = {
  ...standardOutput(),
  write: (text) => void Deno.stdout.writeSync(new TextEncoder().encode(text)),
};

interface Job {
  readonly input: Input;
  readonly name: string;
  readonly prompts: readonly Uint8Array[];
  readonly count: number;
}

async function jobOf(
  { file, prompts, count }: DemoArguments,
): Promise<Job> {
  const input = await readInput(file);
  const given = prompts.map((prompt) => new TextEncoder().encode(prompt));
  return {
    input,
    name: shortPath(file),
    prompts: [...promptsOf(input.text, PLACES), ...given],
    count,
  };
}

/** Blocks that a job takes at most, copies included. */
function blocksOf({ input, prompts, count }: Job): number {
  const blocks = (bytes: number) => Math.ceil(bytes / BLOCK_SIZE);
  return prompts.reduce(
    (sum, prompt) => sum + 1 + blocks(prompt.length + count),
    blocks(input.text.length),
  );
}

async function run(gpu: Gpu, job: Job): Promise<void> {
  const { input: { text, truncated }, prompts, count } = job;
  out.write(`${WHAT}\n\n`);
  writeEntry(out, "Adapter", gpu.info.description);
  const cut = `, the first of more: the cache holds ${MAX_TEXT}`;
  writeEntry(
    out,
    "Text",
    `${job.name}: ${text.length} bytes${truncated ? cut : ""}`,
  );
  using cache = await textCache(gpu, blocksOf(job));
  const progress = new Progress(out, "Prefill", "bytes");
  const read = await prefill(
    gpu,
    cache,
    text,
    (done) => progress.tell(done, text.length),
  );
  progress.end();
  reportPrefill(text, read);

  writeEntry(
    out,
    "Complete",
    `${prompts.length} prompts at once, ${count} bytes each`,
  );
  const view = new CompletionView(out, prompts, count);
  const completions = await complete(gpu, cache, {
    text,
    prefix: read.sequence,
    prompts,
    count,
    onStep: (bytes) => view.push(bytes),
  });
  view.end();
  checkCompletions({ text, prompts, count, texts: completions.texts });
  writeEntry(
    out,
    "Proved",
    `all ${prompts.length} completions equal a plain look-up of the longest context`,
  );
  const kernels = [...read.kernels, ...completions.kernels].join(", ");
  writeEntry(out, "Kernels", kernels);
  out.write(`${await summary(gpu, cache, { job, read, completions })}\n`);
}

function reportPrefill(text: Uint8Array, { predictions }: Prefill): void {
  const right = predictions.filter((p, i) => p?.byte === text[i]).length;
  checkPredictions(text, predictions);
  const fraction = `${(100 * right / text.length).toFixed(0)} %`;
  writeEntry(
    out,
    "Predicted",
    `${right} of ${text.length} bytes right (${fraction}), each answer as looked up`,
  );
}

async function summary(
  gpu: Gpu,
  cache: KvCache,
  { job, read, completions }: {
    job: Job;
    read: Prefill;
    completions: Completions;
  },
): Promise<string> {
  const { text } = job.input;
  const { sequence } = read;
  const { start, end, tiled, standard } = await measurePrefill(gpu, cache, {
    sequence,
    text,
  });
  const { paged, contiguous } = await measureDecode(gpu, cache, completions);
  if (paged.output.some((x, i) => x !== contiguous.output[i])) {
    throw new DemoError("Paged and contiguous decode differ");
  }
  const error = Math.max(
    maxError({ text, start, output: tiled.output }),
    ...completions.texts.map((whole, i) =>
      maxError({
        text: whole,
        start: whole.length,
        output: paged.output.subarray(i * WIDTH, (i + 1) * WIDTH),
      })
    ),
  );
  const tables = [sequence, ...completions.sequences];
  const { logicalBlocks, uniqueBlocks, sharedBlocks } = sharing(
    tables.map(({ blocks }) => blocks),
  );
  const { max } = footprints({
    lengths: tables.map(({ length }) => length),
    blockSize: BLOCK_SIZE,
    maxLength: MAX_POSITIONS,
  });
  const number = (title: string) => ({ title, align: "right" as const });
  const layout = { width: out.columns, indent: "  " };
  const times = [
    [`prefill of ${end - start} queries over ${end} keys, tiled`, tiled],
    ["  the same in 3 dispatches", standard],
    [`decode of ${job.prompts.length} sequences, paged`, paged],
    ["  the same over contiguous keys", contiguous],
  ] as const;
  return [
    "",
    formatTable(
      [{ title: "measured here" }, number("time"), number("scratch")],
      times.map(([name, { time, scratch }]) => [
        name,
        `${time.toFixed(2)} ms`,
        bytesText(scratch),
      ]),
      layout,
    ),
    "",
    formatTable([{ title: "" }, number("")], [
      ["largest error against float64", error.toExponential(1)],
      ["blocks used", `${uniqueBlocks}`],
      ["  with nothing shared", `${logicalBlocks}`],
      [`  reserving ${MAX_POSITIONS} tokens a sequence`, `${max.blocks}`],
      ["blocks shared", `${sharedBlocks}`],
      ["copies made on write", `${completions.copies}`],
    ], layout),
  ].join("\n");
}

/** Runs the demo; returns its exit code. */
async function main(): Promise<number> {
  const given = readCommand(COMMAND, demoArguments);
  try {
    const job = await jobOf(given);
    using gpu = await openGpu();
    await run(gpu, job);
    return 0;
  } catch (error) {
    // Whoever read the output has gone: there is no one to tell.
    if (error instanceof Deno.errors.BrokenPipe) return 1;
    const expected = [DemoError, UnsupportedError, DeviceLostError];
    if (!expected.some((known) => error instanceof known)) throw error;
    console.error((error as Error).message);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
