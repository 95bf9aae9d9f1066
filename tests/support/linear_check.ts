/**
 * Runs many cases of linear attention with one submit and one read, and holds
 * what they gave against float64.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  compareWithBound,
  LINEAR_GATES,
  linearErrorBound,
  recurrentLinearAttention,
} from "../../reference/mod.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";
import { type Gpu, type GpuTensor, Program } from "../../src/gpu/mod.ts";
import { linearProblem } from "../../src/ops/mod.ts";
import type { LinearAttentionOptions } from "../../src/ops/mod.ts";
import type { LinearDevice } from "../../src/ops/linear_attention/work/context.ts";
import { linearParts } from "../../src/ops/linear_attention/parts.ts";
import {
  checkLinearTensors,
  linearResources,
  type LinearTensors,
  RESOURCE_NAMES,
} from "../../src/ops/linear_attention/plan_tensors.ts";
import { type LinearCase, linearProblemOf } from "./linear_cases.ts";
import { linearOptionsOf } from "./linear_runner.ts";

/** Options on the host, and what the plan is to take the device for. */
export interface LinearRun {
  /** What is computed; states are returned in any case. */
  readonly options: LinearAttentionOptions;
  /** Limits and kind of another device; those of the device by default. */
  readonly device?: Partial<LinearDevice>;
}

/** What a run gave, widened to float32. */
export interface LinearResult {
  readonly output: Float32Array;
  readonly state: Float32Array;
}

const INPUTS = ["query", "key", "value", "decay", "beta", "initialState"];

/** The options of a case by chunks, in its dtype. */
export function chunkedOptionsOf(
  c: LinearCase,
  choices: Partial<LinearAttentionOptions> = {},
): LinearAttentionOptions {
  const options = linearOptionsOf(c);
  const half = c.dtype === "f16";
  const stored = <T extends { data: Float32Array }>(rows: T) =>
    half ? { ...rows, data: Float16Array.from(rows.data) } : rows;
  return {
    ...options,
    query: stored(options.query),
    key: stored(options.key),
    value: stored(options.value),
    form: "chunked",
    ...choices,
  };
}

/** Runs all of them. What is written is NaN before. */
export async function linearResults(
  gpu: Gpu,
  runs: readonly LinearRun[],
): Promise<LinearResult[]> {
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    made.push(one);
    return one;
  };
  const poisoned = (dtype: "f32" | "f16", shape: readonly number[]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = dtype === "f16"
      ? new Float16Array(size).fill(NaN)
      : new Float32Array(size).fill(NaN);
    return keep(gpu.tensor(data, shape));
  };
  try {
    const ready: { program: Program; tensors: LinearTensors }[] = [];
    for (const { options, device } of runs) {
      const problem = linearProblem({ ...options, returnState: true });
      const { dtype, stateHeads, headDim, valueHeadDim } = problem;
      const given: Record<string, GpuTensor> = {};
      for (const name of INPUTS) {
        const own = options[name as keyof LinearAttentionOptions];
        if (own === undefined) continue;
        const { data, shape } = own as { data: Float32Array; shape: number[] };
        given[name] = keep(gpu.tensor(data, shape));
      }
      const tensors = {
        ...given as Record<"query" | "key" | "value", GpuTensor>,
        output: poisoned(dtype, problem.outputShape),
        state: poisoned("f32", [
          problem.sequences.length,
          stateHeads,
          headDim,
          valueHeadDim,
        ]),
      };
      checkLinearTensors(gpu, problem, tensors);
      const { parts } = linearParts(problem, {
        software: device?.software ?? gpu.software,
        limits: device?.limits ?? gpu.limits,
      });
      const program = await Program.create(gpu, "linear.test", parts);
      ready.push({ program: keep(program), tensors });
    }
    gpu.submit("linear.test", (encoder) => {
      for (const { program, tensors } of ready) {
        program.encode(encoder, linearResources(tensors), {
          names: RESOURCE_NAMES,
        });
      }
    });
    const arrays = await gpu.read(
      ready.flatMap(({ tensors: { output, state } }) => [output, state!]),
    );
    return ready.map((_, i) => ({
      output: Float32Array.from(arrays[2 * i] as Float32Array),
      state: Float32Array.from(arrays[2 * i + 1] as Float32Array),
    }));
  } finally {
    for (const one of made) one.destroy();
  }
}

/**
 * Throws unless two arrays are bitwise alike, NaN or not: with the first place
 * where they are not, as a picture of thousands of elements takes minutes.
 */
export function assertSameBits(
  actual: Float32Array,
  expected: Float32Array,
  name = "element",
): void {
  assertEquals(actual.length, expected.length, `${name}.length`);
  const at = actual.findIndex((x, i) => !Object.is(x, expected[i]));
  assert(at < 0, `${name} ${at} is ${actual[at]}, not ${expected[at]}`);
}

/** The same of what two runs gave. */
export function assertSameResult(
  actual: LinearResult,
  expected: LinearResult,
): void {
  for (const part of ["output", "state"] as const) {
    assertSameBits(actual[part], expected[part], part);
  }
}

/**
 * Throws unless a case's result is within its bound of float64's.
 *
 * @param chunk Tokens of a chunk.
 */
export function assertLinear(
  c: LinearCase,
  { result, chunk }: { readonly result: LinearResult; readonly chunk: number },
): void {
  const problem = linearProblemOf(c);
  const expected = recurrentLinearAttention(problem);
  const bound = linearErrorBound(problem, {
    chunk,
    gate: LINEAR_GATES.wgsl,
    stored: c.dtype,
  });
  for (const part of ["output", "state"] as const) {
    const arrays = { actual: result[part], expected: expected[part] };
    const { ok, where } = compareWithBound({ ...arrays, bound: bound[part] });
    if (ok) continue;
    const table = mismatchTable({ ...arrays, where, bound: bound[part] });
    throw new Error(`${part} of ${JSON.stringify(c)}: ${table}`);
  }
}
