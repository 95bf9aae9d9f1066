/**
 * Runs many ops of layers on the device: everything is recorded, submitted once
 * and read once. What is written holds NaN before.
 *
 * @module
 */

import { compareErrors } from "../../reference/mod.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";
import { roundAll } from "../../reference/naive.ts";
import { differenceOf } from "../../reference/error.ts";
import {
  EXACT,
  roundAtRandom,
  type Rounding,
} from "../../reference/layers/rounding.ts";
import type { DType, HostArray } from "../../src/core/dtype.ts";
import { Prng } from "../../src/core/prng.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  type LayerOptions,
  type LayerPlan,
  type LayerTensors,
  planLayer,
} from "../../src/ops/mod.ts";

/** A tensor on the host, of any type. */
export interface HostValue {
  readonly data: HostArray;
  readonly shape: readonly number[];
}

/** One run of an op. */
export interface LayerCase {
  /** The op. */
  readonly op: keyof LayerOptions;
  /** Its options, with tensors on the host. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What tensors have that options do not take. */
  readonly tensors?: Readonly<Record<string, HostValue>>;
  /** What there is to be, in given numbers; names as the op has them. */
  readonly expect?: Expectation;
}

/** What a run gave, by name. */
export type LayerResult = Readonly<Record<string, HostArray>>;

/** Normal numbers, as a storage type has them. */
export function stored(
  shape: readonly number[],
  { dtype, random, scale = 1 }: {
    readonly dtype: DType;
    readonly random: Prng;
    readonly scale?: number;
  },
): HostValue & { readonly data: Float32Array | Float16Array } {
  const size = shape.reduce((product, length) => product * length, 1);
  const data = Float32Array.from(
    { length: size },
    () => scale * random.normal(),
  );
  return { data: dtype === "f16" ? Float16Array.from(data) : data, shape };
}

/** Runs cases and gives what they wrote. */
export async function runLayers(
  gpu: Gpu,
  cases: readonly LayerCase[],
): Promise<LayerResult[]> {
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  const runs: [LayerPlan<object>, LayerTensors][] = [];
  const results: [name: string, tensor: GpuTensor][][] = [];
  for (const { op, options, tensors = {} } of cases) {
    const plan = keep(
      await planLayer(gpu, op, options as unknown as LayerOptions[typeof op]),
    );
    const { read, written } = plan.tensors;
    const own: Record<string, GpuTensor> = {};
    for (const name of Object.keys(read)) {
      const { data, shape } = (tensors[name] ?? options[name]) as HostValue;
      own[name] = keep(gpu.tensor(data, shape));
    }
    const outputs: [string, GpuTensor][] = [];
    for (const [name, { dtype, shape }] of Object.entries(written)) {
      const size = shape.reduce((product, length) => product * length, 1);
      const data = tensors[name]?.data ??
        (dtype === "f16"
          ? new Float16Array(size).fill(NaN)
          : new Float32Array(size).fill(NaN));
      own[name] = keep(gpu.tensor(data, shape));
      outputs.push([name, own[name]]);
    }
    runs.push([plan as LayerPlan<object>, own]);
    results.push(outputs);
  }
  try {
    gpu.submit("layers", (encoder) => {
      for (const [plan, tensors] of runs) plan.encode(encoder, tensors);
    });
    const arrays = await gpu.read(
      results.flatMap((outputs) => outputs.map(([, tensor]) => tensor)),
    );
    return results.map((outputs) =>
      Object.fromEntries(outputs.map(([name]) => [name, arrays.shift()!]))
    );
  } finally {
    for (const one of owned) one.destroy();
  }
}

/** Runs of the naive version whose roundings go by chance. */
const RANDOM_RUNS = 4;

/** A reference, in given numbers; names as results have them. */
export type Expectation = (
  round: Rounding,
) => Readonly<Record<string, ArrayLike<number>>>;

/**
 * Fails with a table unless a result is the reference's, by the error rule. The
 * naive version is the reference in float32; where its luck counts, the worst of
 * some that round by chance.
 */
export function checkResult(
  label: string,
  result: LayerResult,
  expect: Expectation,
): void {
  const random = new Prng(1);
  const atRandom = roundAtRandom(() => random.uniform());
  const expected = expect(EXACT);
  const naive = expect(Math.fround);
  const runs = Array.from({ length: RANDOM_RUNS }, () => expect(atRandom));
  for (const [name, actual] of Object.entries(result)) {
    const precision = actual instanceof Float16Array ? "f16" : "f32";
    const arrays = { actual, expected: expected[name] };
    const stored = roundAll(precision, naive[name]);
    const lucky = differenceOf(stored, expected[name]);
    const lost = { max: 0, mean: 0 };
    for (const run of runs) {
      const one = roundAll(precision, run[name]);
      const { max, mean } = differenceOf(one, expected[name]);
      lost.max = Math.max(lost.max, 2 * (max - lucky.max));
      lost.mean = Math.max(lost.mean, 1.1 * (mean - lucky.mean));
    }
    const comparison = compareErrors({
      ...arrays,
      naive: stored,
      precision,
      lost,
    });
    if (comparison.ok) continue;
    const { where, maxBound: bound } = comparison;
    const table = mismatchTable({ ...arrays, where, bound });
    throw new Error(
      `${label}: ${name} ${JSON.stringify(comparison)}\n${table}`,
    );
  }
}

/** Runs cases and holds each result against its reference. */
export async function checkLayers(
  gpu: Gpu,
  cases: readonly LayerCase[],
): Promise<void> {
  const results = await runLayers(gpu, cases);
  cases.forEach(({ op, options, expect }, i) => {
    const shapes = Object.entries(options).map(([key, value]) =>
      `${key} ${(value as HostValue)?.shape ?? value}`
    );
    checkResult(`${op} of ${shapes.join(", ")}`, results[i], expect!);
  });
}
