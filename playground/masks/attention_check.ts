/**
 * Attention with some mods on a device, held against float64.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";
import { type Gpu, PassTimer, timingUnsupported } from "../../src/gpu/mod.ts";
import { maskFunction, scoreFunction } from "../../src/mods/mod.ts";
import { type AttentionTensors, planAttention } from "../../src/ops/mod.ts";
import {
  attention as inFloat64,
  compareWithBound,
  errorBound,
  GATES,
} from "../../reference/mod.ts";
import type { Mods } from "./evaluation.ts";
import type { Settings } from "./settings.ts";

/** Timed runs, of which the median is taken. */
const RUNS = 9;

/** The most pairs over all heads that float64 is asked for: seconds. */
export const MOST_PAIRS = 2 ** 23;

/** What a run showed. */
export interface Outcome {
  /** The adapter, in its own words. */
  readonly adapter: string;
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Largest error of an output element against float64. */
  readonly error: number;
  /** What the error rule allows. */
  readonly bound: number;
  /** Whether it is within that. */
  readonly ok: boolean;
  /** Output elements that were compared. */
  readonly elements: number;
  /** The kernel that ran, and its tile: query rows x keys. */
  readonly kernel: string;
  /** That tile's query rows. */
  readonly tileRows: number;
  /** That tile's keys. */
  readonly tileKeys: number;
  /** The device's own tiles, over all heads: visited, of these full, in all. */
  readonly tiles: {
    readonly visited: number;
    readonly full: number;
    readonly total: number;
  };
  /** Milliseconds of the first run, with compiling and reading back. */
  readonly first: number;
  /** Milliseconds of a later one: the median. */
  readonly later: number;
  /** Whose clock that was. */
  readonly clock: "device" | "host";
}

/**
 * Runs attention over random rows and compares with the oracle.
 *
 * @throws {RangeError} If there are more pairs than the oracle is asked for.
 */
export async function checkAttention(
  gpu: Gpu,
  { maskMods, scoreMods }: Mods,
  settings: Settings,
): Promise<Outcome> {
  const { queries, keys, heads, headDim } = settings;
  const pairs = queries * keys * heads;
  if (pairs > MOST_PAIRS) {
    throw new RangeError(
      `queries x keys x heads must be <= ${MOST_PAIRS} for the float64 oracle, which runs on one core of the CPU: current value is ${pairs}`,
    );
  }
  const random = new Prng(7);
  const noise = (tokens: number) => {
    const shape = [1, tokens, heads, headDim];
    const length = tokens * heads * headDim;
    const data = Float32Array.from({ length }, () => random.normal());
    return { data, shape };
  };
  const [query, key, value] = [noise(queries), noise(keys), noise(keys)];
  const started = performance.now();
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    made.push(one);
    return one;
  };
  try {
    const upload = ({ data, shape }: typeof query) =>
      keep(gpu.tensor(data, shape));
    const inputs = {
      query: upload(query),
      key: upload(key),
      value: upload(value),
    };
    const options = { ...inputs, maskMod: maskMods, scoreMod: scoreMods };
    const plan = keep(await planAttention(gpu, options));
    const output = keep(gpu.empty("f32", query.shape));
    const tensors = { ...inputs, output };
    gpu.submit("playground", (encoder) => plan.encode(encoder, tensors));
    const actual = await gpu.readOne(output) as Float32Array;
    const first = performance.now() - started;
    const timed = await timeRuns(gpu, plan, tensors);
    const { kernels, tileCounts } = plan.explain();
    const [[name, { tile }]] = Object.entries(kernels);
    const problem = {
      query: query.data,
      key: key.data,
      value: value.data,
      batch: 1,
      queryLength: queries,
      keyLength: keys,
      queryHeads: heads,
      kvHeads: heads,
      headDim,
      ...(maskMods.length > 0 && { mask: maskFunction(maskMods) }),
      ...(scoreMods.length > 0 && { score: scoreFunction(scoreMods) }),
    };
    const rule = { keys: tile.keys, gate: GATES.wgsl };
    const bound = errorBound(problem, rule).output;
    const expected = inFloat64(problem).output;
    const { max, ok } = compareWithBound({ actual, expected, bound });
    return {
      adapter: adapterName(gpu),
      software: gpu.software,
      error: max,
      bound,
      ok,
      elements: actual.length,
      kernel: name,
      tileRows: tile.rows,
      tileKeys: tile.keys,
      tiles: { ...tileCounts },
      first,
      ...timed,
    };
  } finally {
    for (const one of made) one.destroy();
  }
}

function adapterName(gpu: Gpu): string {
  const { vendor, architecture, device, description } = gpu.info;
  return description ||
    [vendor, architecture, device].filter((word) => word !== "").join(" ") ||
    "an adapter that does not say its name";
}

/** Milliseconds of one run, by the device's clock where it has one. */
async function timeRuns(
  gpu: Gpu,
  plan: Awaited<ReturnType<typeof planAttention>>,
  tensors: AttentionTensors,
): Promise<Pick<Outcome, "later" | "clock">> {
  if (timingUnsupported(gpu) === undefined) {
    const dispatches = plan.explain().dispatches.length;
    using timer = new PassTimer(gpu, RUNS * dispatches);
    gpu.submit("playground.timed", (encoder) => {
      for (let run = 0; run < RUNS; run++) {
        plan.encode(encoder, tensors, (label) => timer.pass(label));
      }
      timer.resolve(encoder);
    });
    const passes = await timer.read();
    const runs = Array.from(
      { length: RUNS },
      (_, run) =>
        passes.slice(run * dispatches, (run + 1) * dispatches)
          .reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e6,
    );
    const later = median(runs);
    // Browsers may round the device's clock, down to nothing for short passes.
    if (later > 0) return { later, clock: "device" };
  }
  const runs: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    gpu.submit("playground", (encoder) => plan.encode(encoder, tensors));
    await gpu.queue.onSubmittedWorkDone();
    runs.push(performance.now() - started);
  }
  return { later: median(runs), clock: "host" };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
