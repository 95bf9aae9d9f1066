/**
 * Linear against softmax attention on a device: prefill by length, and one more
 * token by what came before it. Times, so only reported.
 *
 * @module
 */

import {
  type Gpu,
  type GpuTensor,
  timingUnsupported,
} from "../../src/gpu/mod.ts";
import {
  type PassDescriptor,
  planAttention,
  planLinearAttention,
} from "../../src/ops/mod.ts";
import { timeInTurns } from "../../bench/support/gpu_time.ts";
import { normals } from "../../bench/support/inputs.ts";
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

const LENGTHS: readonly number[] = [128, 256, 512, 1024, 2048, 4096];
const HEADS = 2;
const REPEATS = 5;
const NAMES = Object.keys(KERNELS) as KernelName[];

/** Milliseconds of one length. */
interface TimesRow {
  /** Tokens, or those before the one that is decoded. */
  readonly length: number;
  /** By kernel. */
  readonly times: Readonly<Record<KernelName, number>>;
}

/** What takes turns. */
interface Recorded {
  readonly plan: {
    explain(): { readonly dispatches: readonly unknown[] };
    encode(
      encoder: GPUCommandEncoder,
      tensors: undefined,
      describe?: PassDescriptor,
    ): void;
  };
  readonly tensors: undefined;
}

/** What a run owns. */
class Bench {
  readonly gpu: Gpu;
  readonly #owned: { destroy(): void }[] = [];

  constructor(gpu: Gpu) {
    this.gpu = gpu;
  }

  own<T extends { destroy(): void }>(made: T): T {
    this.#owned.push(made);
    return made;
  }

  rows(tokens: number, dim: number, of: (x: number) => number = (x) => x) {
    const size = tokens * HEADS * dim;
    const data = normals("f32", size, size) as Float32Array;
    return this.own(
      this.gpu.tensor(data.map(of), [1, tokens, HEADS, dim]),
    );
  }

  /** A plan of softmax attention, of the last of so many tokens or of all. */
  async softmax(tokens: number, last: boolean): Promise<Recorded> {
    const query = this.rows(last ? 1 : tokens, HEAD_DIM);
    const [key, value] = [0, 1].map(() => this.rows(tokens, HEAD_DIM));
    const output = this.own(this.gpu.empty("f32", query.shape));
    const plan = this.own(
      await planAttention(this.gpu, { query, key, value, causal: true }),
    );
    const tensors = { query, key, value, output };
    return recorded(
      plan,
      (encoder, describe) => plan.encode(encoder, tensors, describe),
    );
  }

  /** A plan of linear attention; of one token with the state of others. */
  async linear(
    name: Exclude<KernelName, "softmax">,
    tokens: number,
    last: boolean,
  ): Promise<Recorded> {
    const based = name === "based";
    const dim = based ? BASED_DIM : HEAD_DIM;
    const count = last ? 1 : tokens;
    const [query, key] = [0, 1].map(() => this.rows(count, dim));
    const value = this.rows(count, HEAD_DIM);
    const decay = name === "gla"
      ? this.rows(count, dim, (x) => -Math.abs(x) / 16)
      : undefined;
    const shape = [
      1,
      HEADS,
      based ? 1 + dim + dim * (dim + 1) / 2 : dim,
      HEAD_DIM + (based ? 1 : 0),
    ];
    const states: GpuTensor | undefined = last
      ? this.own(
        this.gpu.tensor(
          new Float32Array(shape.reduce((a, b) => a * b)).fill(1),
          shape,
        ),
      )
      : undefined;
    const output = this.own(this.gpu.empty("f32", value.shape));
    const plan = this.own(
      await planLinearAttention(this.gpu, {
        query,
        key,
        value,
        ...decay && { decay },
        ...based && { featureMap: "taylor", normalize: { eps: 1e-6 } },
        ...states && { states, stateIndices: [0] },
      }),
    );
    const tensors = { query, key, value, decay, states, output };
    return recorded(
      plan,
      (encoder, describe) => plan.encode(encoder, tensors, describe),
    );
  }

  destroy(): void {
    for (const made of this.#owned) made.destroy();
  }
}

function recorded(
  plan: Pick<Recorded["plan"], "explain">,
  encode: (encoder: GPUCommandEncoder, describe?: PassDescriptor) => void,
): Recorded {
  return {
    plan: {
      explain: () => plan.explain(),
      encode: (encoder, _, describe) => encode(encoder, describe),
    },
    tensors: undefined,
  };
}

async function rowOf(
  gpu: Gpu,
  length: number,
  last: boolean,
): Promise<TimesRow> {
  const bench = new Bench(gpu);
  try {
    const contestants: Recorded[] = [];
    for (const name of NAMES) {
      contestants.push(
        name === "softmax"
          ? await bench.softmax(length, last)
          : await bench.linear(name, length, last),
      );
    }
    const times = (await timeInTurns(gpu, contestants, REPEATS)).map(median);
    return {
      length,
      times: Object.fromEntries(
        NAMES.map((name, i) => [name, times[i]]),
      ) as Record<KernelName, number>,
    };
  } finally {
    bench.destroy();
  }
}

/** The least length from which on it is faster than softmax attention. */
function passing(
  rows: readonly TimesRow[],
  name: KernelName,
): number | undefined {
  const slower = rows.findLastIndex(({ times }) =>
    times[name] >= times.softmax
  );
  return rows[slower + 1]?.length;
}

async function timeLinear(gpu: Gpu): Promise<Report> {
  const prefill: TimesRow[] = [];
  const decode: TimesRow[] = [];
  for (const length of LENGTHS) {
    prefill.push(await rowOf(gpu, length, false));
    decode.push(await rowOf(gpu, length, true));
  }
  return reportOf(gpu, prefill, decode);
}

function reportOf(
  gpu: Gpu,
  prefill: readonly TimesRow[],
  decode: readonly TimesRow[],
): Report {
  const table = (title: string, first: string, rows: readonly TimesRow[]) => ({
    title,
    columns: [first, ...NAMES.map((name) => KERNELS[name])],
    rows: rows.map(({ length, times }) => [
      length,
      ...NAMES.map((name) => times[name].toFixed(3)),
    ]),
  });
  // The longest half, where what does not grow is lost.
  const long = (rows: readonly TimesRow[], name: KernelName) =>
    fittedExponent(
      rows.slice(rows.length / 2)
        .map(({ length, times }) => [length, times[name]]),
    );
  const found = NAMES.map((name) => ({
    name,
    prefill: long(prefill, name),
    decode: long(decode, name),
    passes: name === "softmax" ? undefined : passing(prefill, name),
    passesDecode: name === "softmax" ? undefined : passing(decode, name),
  }));
  const panel = (title: string, axis: string, rows: readonly TimesRow[]) => ({
    title,
    subtitle: "milliseconds",
    marks: {
      ...PANEL,
      data: {
        values: rows.flatMap(({ length, times }) =>
          NAMES.map((name) => ({
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
      `On ${gpu.info.description}: forward, ${HEADS} heads with values of ` +
      `${HEAD_DIM}, queries and keys of ${HEAD_DIM}, BASED's of ${BASED_DIM}, ` +
      `float32. Median of ${REPEATS} rounds in which all take turns.`,
      timingUnsupported(gpu) ?? "By the device's clock.",
      ...(gpu.software
        ? ["A software adapter: its times say nothing of GPUs."]
        : []),
    ],
    tables: [
      table("Milliseconds of prefill", "tokens", prefill),
      table("Milliseconds of one more token", "after", decode),
      {
        title: "From which length on it is faster, and exponents of the time",
        columns: ["", "prefill", "one more token", "exponent", "exponent"],
        rows: found.map((row) => [
          KERNELS[row.name],
          row.passes ?? "",
          row.passesDecode ?? "",
          row.prefill.toFixed(2),
          row.decode.toFixed(2),
        ]),
      },
    ],
    checks: [],
    data: { prefill, decode, found },
    chart: panels(
      panel("Prefill", "tokens", prefill),
      panel("One more token", "tokens before it", decode),
    ),
  };
}

/** Time by length. */
export const linearTimes: Timing = { name: "linear-times", time: timeLinear };
