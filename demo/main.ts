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
import { footprints, sharing } from "../src/cache/mod.ts";
import { complete, type Completions } from "./completions.ts";
import { MAX_POSITIONS, QUERY_HEADS, VALUE_HEAD_DIM } from "./encoding.ts";
import {
  DemoError,
  type Input,
  MAX_TEXT,
  parseDemoArguments,
  promptsOf,
  readInput,
  shortPath,
} from "./input.ts";
import { checkCompletions, checkPredictions } from "./check.ts";
import { maxError, measureDecode, measurePrefill } from "./measure.ts";
import { type Prefill, prefill } from "./prefill.ts";
import { BLOCK_SIZE, textCache } from "./text_cache.ts";
import { bytesText, CompletionView, type Sink, table } from "./view.ts";

/** Elements of one query's output. */
const WIDTH = QUERY_HEADS * VALUE_HEAD_DIM;

/** Prompts that are taken from the file. */
const PLACES = 4;

const out: Sink = {
  write: (text) => void Deno.stdout.writeSync(new TextEncoder().encode(text)),
  terminal: Deno.stdout.isTerminal(),
  columns: Deno.stdout.isTerminal() ? Deno.consoleSize().columns : 80,
};

interface Job {
  readonly input: Input;
  readonly name: string;
  readonly prompts: readonly Uint8Array[];
  readonly count: number;
}

async function jobOf(args: readonly string[]): Promise<Job> {
  const { file, prompts, count } = parseDemoArguments(args);
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
  console.log(`Adapter   ${gpu.info.description}`);
  console.log(
    `Text      ${job.name}: ${text.length} bytes${
      truncated ? `, the first of more: the cache holds ${MAX_TEXT}` : ""
    }`,
  );
  using cache = await textCache(gpu, blocksOf(job));
  const read = await prefill(gpu, cache, text, (done) => {
    if (!out.terminal) return;
    out.write(`\rPrefill   ${done} of ${text.length} bytes`);
  });
  if (out.terminal) out.write("\r\x1b[2K");
  reportPrefill(text, read);

  console.log(
    `Complete  ${prompts.length} prompts at once, ${count} bytes each`,
  );
  const view = new CompletionView(out, prompts);
  const completions = await complete(gpu, cache, {
    text,
    prefix: read.sequence,
    prompts,
    count,
    onStep: (bytes) => view.push(bytes),
  });
  view.end();
  checkCompletions({ text, prompts, count, texts: completions.texts });
  console.log(
    `Proved    all ${prompts.length} completions equal a plain look-up of the longest context`,
  );
  console.log(
    `Kernels   ${[...read.kernels, ...completions.kernels].join(", ")}`,
  );
  console.log(await summary(gpu, cache, { job, read, completions }));
}

function reportPrefill(text: Uint8Array, { predictions }: Prefill): void {
  const right = predictions.filter((p, i) => p?.byte === text[i]).length;
  checkPredictions(text, predictions);
  console.log(
    `Prefill   ${right} of ${text.length} bytes foretold from those before (${
      (100 * right / text.length).toFixed(0)
    } %), each answer as looked up`,
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
  const { queries, tiled, standard } = await measurePrefill(gpu, cache, {
    sequence,
    text,
  });
  const { paged, contiguous } = await measureDecode(gpu, cache, completions);
  if (paged.output.some((x, i) => x !== contiguous.output[i])) {
    throw new DemoError("Paged and contiguous decode differ");
  }
  const error = Math.max(
    maxError({ text, start: text.length - queries, output: tiled.output }),
    ...completions.texts.map((whole, i) =>
      maxError({
        text: whole,
        start: whole.length,
        output: paged.output.subarray(i * WIDTH, (i + 1) * WIDTH),
      })
    ),
  );
  const ms = (time: number) => `${time.toFixed(2)} ms`;
  const tables = [sequence, ...completions.sequences];
  const { logicalBlocks, uniqueBlocks, sharedBlocks } = sharing(
    tables.map(({ blocks }) => blocks),
  );
  const { max } = footprints({
    lengths: tables.map(({ length }) => length),
    blockSize: BLOCK_SIZE,
    maxLength: MAX_POSITIONS,
  });
  return [
    "",
    table([
      ["", "time", "scratch"],
      [
        `prefill of ${queries} queries, tiled`,
        ms(tiled.time),
        bytesText(tiled.scratch),
      ],
      [
        "  the same in 3 dispatches",
        ms(standard.time),
        bytesText(standard.scratch),
      ],
      [
        `decode of ${job.prompts.length} sequences, paged`,
        ms(paged.time),
        bytesText(paged.scratch),
      ],
      [
        "  the same over contiguous keys",
        ms(contiguous.time),
        bytesText(contiguous.scratch),
      ],
    ]),
    "",
    table([
      ["largest error against float64", error.toExponential(1)],
      ["blocks used", `${uniqueBlocks}`],
      ["  with nothing shared", `${logicalBlocks}`],
      [`  reserving ${MAX_POSITIONS} tokens a sequence`, `${max.blocks}`],
      ["blocks shared", `${sharedBlocks}`],
      ["copies made on write", `${completions.copies}`],
    ]),
  ].join("\n");
}

/** Runs the demo; returns its exit code. */
async function main(): Promise<number> {
  try {
    const job = await jobOf(Deno.args);
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
