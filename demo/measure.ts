/**
 * The demo's own work, measured: tiled against the 3-dispatch baseline, paged
 * against contiguous, and the kernels against float64.
 *
 * @module
 */

import {
  AttentionPlan,
  attentionProblem,
  type BlockTable,
  type Gpu,
  type KvCache,
} from "../mod.ts";
import { PassTimer, timingUnsupported } from "../src/gpu/mod.ts";
import { attention as attention64 } from "../reference/mod.ts";
import {
  HEAD_DIM,
  keyValueRows,
  KV_HEADS,
  QUERY_HEADS,
  queryRows,
  SCALE,
  VALUE_HEAD_DIM,
} from "./encoding.ts";
import { chunkAttention } from "./prefill.ts";
import { StepTensors } from "./step_tensors.ts";
import { cachedAttention, joined } from "./text_cache.ts";

/** One way to run a step. */
export interface Measured {
  /** Milliseconds. */
  readonly time: number;
  /** Bytes of scratch that the plan holds. */
  readonly scratch: number;
  /** What came out. */
  readonly output: Float32Array;
}

/** Queries of the measured chunk: the baseline's scratch must fit a binding. */
const MEASURED_QUERIES = 256;
/** Keys of it: no adapter ends the baseline's loops before it has seen them. */
const MEASURED_KEYS = 4096;
const REPEATS = 3;
/** Queries that are compared with float64. */
const SAMPLES = 8;

/** The shortest of some runs: by the device's clock, or else the host's. */
async function timed(
  gpu: Gpu,
  plan: AttentionPlan,
  tensors: StepTensors,
): Promise<number> {
  const passes = plan.explain().dispatches.length;
  if (timingUnsupported(gpu) !== undefined) {
    const begin = performance.now();
    await tensors.run(plan);
    return performance.now() - begin;
  }
  using timer = new PassTimer(gpu, passes * REPEATS);
  gpu.submit("measure", (encoder) => {
    for (let i = 0; i < REPEATS; i++) {
      plan.encode(encoder, tensors, (label) => timer.pass(label));
    }
    timer.resolve(encoder);
  });
  const times = await timer.read();
  const runs = Array.from(
    { length: REPEATS },
    (_, i) =>
      times.slice(i * passes, (i + 1) * passes).reduce((a, b) => a + b, 0),
  );
  return Math.min(...runs) / 1e6;
}

async function measure(
  gpu: Gpu,
  plan: AttentionPlan,
  tensors: StepTensors,
): Promise<Measured> {
  const { output } = await tensors.run(plan);
  const time = await timed(gpu, plan, tensors);
  return { time, output, scratch: plan.explain().scratchBytes };
}

/** A chunk of a prefill, tiled and by the 3-dispatch baseline. */
export async function measurePrefill(
  gpu: Gpu,
  cache: KvCache,
  { sequence, text }: { sequence: BlockTable; text: Uint8Array },
): Promise<{
  start: number;
  end: number;
  tiled: Measured;
  standard: Measured;
}> {
  const end = Math.min(text.length, MEASURED_KEYS);
  const start = Math.max(0, end - MEASURED_QUERIES);
  const beginning = sequence.fork();
  beginning.truncate(end);
  const problem = attentionProblem(
    chunkAttention(cache, beginning, { start, end }),
  );
  beginning.free();
  using tensors = new StepTensors(gpu, {
    query: queryRows(text, start, end),
    arenas: cache.arenas(),
  });
  using tiled = await AttentionPlan.create(gpu, problem);
  using standard = await AttentionPlan.create(gpu, problem, {
    algorithm: "standard",
  });
  return {
    start,
    end,
    tiled: await measure(gpu, tiled, tensors),
    standard: await measure(gpu, standard, tensors),
  };
}

/** The last step of the completions, over the blocks and over plain arrays. */
export async function measureDecode(
  gpu: Gpu,
  cache: KvCache,
  { sequences, texts }: {
    sequences: readonly BlockTable[];
    texts: readonly Uint8Array[];
  },
): Promise<{ paged: Measured; contiguous: Measured }> {
  const query = joined(
    texts.map((text) => queryRows(text, text.length, text.length + 1)),
  );
  const rows = texts.map((text) => keyValueRows(text, 0, text.length));
  const cuSeqlensKey = [0];
  for (const { length } of texts) {
    cuSeqlensKey.push(cuSeqlensKey.at(-1)! + length);
  }
  const tokens = cuSeqlensKey.at(-1)!;
  using key = gpu.tensor(joined(rows.map((row) => row.key)), [
    tokens,
    KV_HEADS,
    HEAD_DIM,
  ]);
  using value = gpu.tensor(joined(rows.map((row) => row.value)), [
    tokens,
    KV_HEADS,
    VALUE_HEAD_DIM,
  ]);
  using pagedTensors = new StepTensors(gpu, { query, arenas: cache.arenas() });
  using plainTensors = new StepTensors(gpu, { query, key, value });
  using paged = await AttentionPlan.create(
    gpu,
    attentionProblem(cachedAttention(cache, sequences, 1)),
  );
  using contiguous = await AttentionPlan.create(
    gpu,
    attentionProblem({
      query: plainTensors.query,
      key,
      value,
      cuSeqlens: Array.from({ length: texts.length + 1 }, (_, i) => i),
      cuSeqlensKey,
      scale: SCALE,
      returnLse: true,
    }),
  );
  return {
    paged: await measure(gpu, paged, pagedTensors),
    contiguous: await measure(gpu, contiguous, plainTensors),
  };
}

/**
 * The largest difference from float64's of the outputs for the queries from
 * position `start` of a text on, over a sample of them.
 *
 * @param output `[queries, QUERY_HEADS, VALUE_HEAD_DIM]`.
 */
export function maxError({ text, start, output }: {
  text: Uint8Array;
  start: number;
  output: Float32Array;
}): number {
  const width = QUERY_HEADS * VALUE_HEAD_DIM;
  const queries = output.length / width;
  const { key, value } = keyValueRows(text, 0, text.length);
  const step = Math.max(1, Math.floor(queries / SAMPLES));
  let error = 0;
  for (let i = 0; i < queries; i += step) {
    const position = start + i;
    const { output: exact } = attention64({
      query: queryRows(text, position, position + 1),
      key: key.subarray(0, position * KV_HEADS * HEAD_DIM),
      value: value.subarray(0, position * KV_HEADS * VALUE_HEAD_DIM),
      batch: 1,
      queryLength: 1,
      keyLength: position,
      queryHeads: QUERY_HEADS,
      kvHeads: KV_HEADS,
      headDim: HEAD_DIM,
      valueHeadDim: VALUE_HEAD_DIM,
      scale: SCALE,
    });
    exact.forEach((x, c) => {
      error = Math.max(error, Math.abs(x - output[i * width + c]));
    });
  }
  return error;
}
