/**
 * Runs many cases of linear attention's gradients with one submit and one read,
 * and holds what they gave against float64.
 *
 * @module
 */

import {
  compareErrors,
  LINEAR_GATES,
  linearAttentionBackward,
  type LinearAttentionProblem,
  type LinearBackwardProblem,
  naiveLinearAttentionBackward,
} from "../../reference/mod.ts";
import { differenceOf } from "../../reference/error.ts";
import { mismatchTable } from "../../reference/mismatch_table.ts";
import { type Gpu, type GpuTensor, Program } from "../../src/gpu/mod.ts";
import {
  type LinearAttentionOptions,
  type LinearBackwardTensors,
  linearProblem,
} from "../../src/ops/mod.ts";
import { gradientShape } from "../../src/ops/linear_attention/backward/gradient_rows.ts";
import { linearBackwardParts } from "../../src/ops/linear_attention/backward/parts.ts";
import {
  checkLinearBackwardTensors,
  GRADIENT_NAMES,
  gradientResources,
} from "../../src/ops/linear_attention/backward/plan_tensors.ts";
import type { LinearDevice } from "../../src/ops/linear_attention/work/context.ts";
import {
  type LinearCase,
  linearDataOf,
  linearProblemOf,
  type LinearUpstream,
  linearUpstreamOf,
} from "./linear_cases.ts";
import { chunkedOptionsOf } from "./linear_check.ts";

/** The tensors that have gradients. */
export const LINEAR_GRADIENTS = [
  "query",
  "key",
  "value",
  "decay",
  "beta",
  "initialState",
] as const;

/** A tensor that has a gradient. */
export type LinearGradientName = typeof LINEAR_GRADIENTS[number];

/** Options on the host, what comes back, and what the device is taken for. */
export interface LinearBackwardRun {
  readonly options: LinearAttentionOptions;
  readonly upstream: Pick<LinearUpstream, "outputGradient"> & {
    readonly stateGradient?: Float32Array;
  };
  /** Limits and kind of another device; those of the device by default. */
  readonly device?: Partial<LinearDevice>;
}

/** Gradients, widened to float32. */
export type LinearBackwardResult = Partial<
  Record<LinearGradientName, Float32Array>
>;

/** Runs all of them. What is written is NaN before. */
export async function linearGradients(
  gpu: Gpu,
  runs: readonly LinearBackwardRun[],
): Promise<LinearBackwardResult[]> {
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    made.push(one);
    return one;
  };
  const tensor = (
    dtype: "f32" | "f16",
    shape: readonly number[],
    data?: Float32Array,
  ) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = data ?? new Float32Array(size).fill(NaN);
    return keep(
      gpu.tensor(dtype === "f16" ? Float16Array.from(values) : values, shape),
    );
  };
  try {
    const ready: { program: Program; tensors: LinearBackwardTensors }[] = [];
    const written: (readonly [LinearGradientName, GpuTensor])[][] = [];
    for (const { options, upstream, device } of runs) {
      const problem = linearProblem(options);
      const { dtype, stateHeads, headDim, valueHeadDim } = problem;
      const states = [
        problem.sequences.length,
        stateHeads,
        headDim,
        valueHeadDim,
      ];
      const given: Record<string, GpuTensor> = {
        outputGradient: tensor(
          dtype,
          problem.outputShape,
          upstream.outputGradient,
        ),
      };
      const { stateGradient } = upstream;
      if (stateGradient) {
        given.stateGradient = tensor("f32", states, stateGradient);
      }
      const own: (readonly [LinearGradientName, GpuTensor])[] = [];
      for (const name of LINEAR_GRADIENTS) {
        if (options[name] === undefined) continue;
        const { data, shape } = options[name] as {
          data: Float32Array;
          shape: number[];
        };
        given[name] = keep(gpu.tensor(data, shape));
        const rows = name === "query" || name === "key" || name === "value";
        const gradient = tensor(
          rows ? dtype : "f32",
          rows ? gradientShape(problem, name) : shape,
        );
        given[`${name}Gradient`] = gradient;
        own.push([name, gradient]);
      }
      written.push(own);
      const backward = { problem, stateGradient: stateGradient !== undefined };
      const tensors = given as unknown as LinearBackwardTensors;
      checkLinearBackwardTensors(gpu, backward, tensors);
      const { parts } = linearBackwardParts(backward, {
        software: device?.software ?? gpu.software,
        limits: device?.limits ?? gpu.limits,
      });
      const program = await Program.create(gpu, "linear.backward.test", parts);
      ready.push({ program: keep(program), tensors });
    }
    gpu.submit("linear.backward.test", (encoder) => {
      for (const { program, tensors } of ready) {
        program.encode(encoder, gradientResources(tensors), {
          names: GRADIENT_NAMES,
        });
      }
    });
    const arrays = await gpu.read(
      written.flatMap((own) => own.map(([, gradient]) => gradient)),
    );
    return written.map((own) =>
      Object.fromEntries(
        own.map(([name]) => [
          name,
          Float32Array.from(arrays.shift() as Float32Array),
        ]),
      )
    );
  } finally {
    for (const one of made) one.destroy();
  }
}

/** A case as a run, by chunks. */
export function backwardRunOf(
  c: LinearCase,
  choices: Partial<LinearAttentionOptions> = {},
): LinearBackwardRun {
  return {
    options: chunkedOptionsOf(c, choices),
    upstream: linearUpstreamOf(c),
  };
}

/**
 * Throws unless a case's gradients keep the error rule against float64. What
 * chunks lose besides is what the naive version loses by gates that are
 * differences of their sums, as far as these are float32 (where strong gates
 * stand beside weak ones, that is most of it), and what chains of sums in a chunk
 * and over channels do as a random walk, by the working bound of forward. Of
 * gates' gradients, it is besides a rounding of what is added up along chunks, of
 * which most may cancel.
 *
 * @param chunk Tokens of a chunk.
 */
export function assertLinearGradients(
  c: LinearCase,
  { result, chunk, stateGradient = true }: {
    readonly result: LinearBackwardResult;
    readonly chunk: number;
    /** Whether a gradient flows into the last states. */
    readonly stateGradient?: boolean;
  },
): void {
  const upstream = linearUpstreamOf(c);
  const problem: LinearBackwardProblem = {
    ...linearProblemOf(c, linearDataOf(c)),
    outputGradient: upstream.outputGradient,
    ...stateGradient && { stateGradient: upstream.stateGradient },
  };
  const expected = linearAttentionBackward(problem);
  const naive = naiveLinearAttentionBackward({
    ...problem,
    precision: c.dtype,
  });
  const lost = problem.decay && bySums(problem, chunk);
  // The roundings that the bound of forward counts, over both dims.
  const chain = 4 + chunk + c.headDim + c.valueHeadDim;
  for (const name of LINEAR_GRADIENTS) {
    const actual = result[name];
    if (actual === undefined) continue;
    const key = `${name}Gradient` as const;
    const stored = name === "query" || name === "key" || name === "value";
    const arrays = { actual, expected: expected[key] };
    const gated = lost
      ? LINEAR_GATES.wgsl * differenceOf(lost[key], arrays.expected).max
      : 0;
    const added = name === "decay" ? addedUp(problem, expected, chunk) : 0;
    const largest = arrays.expected.reduce(
      (a, x) => Math.max(a, Math.abs(x)),
      0,
    );
    const besides = gated + 2 ** -23 * (added + Math.sqrt(chain) * largest);
    const compared = compareErrors({
      ...arrays,
      naive: naive[key],
      precision: stored ? c.dtype : "f32",
      lost: { max: besides, mean: besides },
    });
    if (compared.ok) continue;
    const { where, maxBound: bound } = compared;
    throw new Error(`the gradient of ${name} of ${JSON.stringify(c)}
${mismatchTable({ ...arrays, where, bound })}
${JSON.stringify(compared)}`);
  }
}

/** Gradients by gates that are differences of float32 sums along chunks. */
function bySums(
  problem: LinearBackwardProblem,
  chunk: number,
): Record<`${LinearGradientName}Gradient`, ArrayLike<number>> {
  const { decay, decayShape, headDim, valueHeads } = problem;
  const channels = decayShape!.endsWith("channel") ? headDim : 1;
  const width = valueHeads * channels;
  const constant = decayShape!.startsWith("constant");
  const starts = startsOf(problem);
  const tokens = starts.at(-1)!;
  const gates = new Float32Array(tokens * width);
  for (let n = 0; n + 1 < starts.length; n++) {
    const sums = new Float32Array(width);
    for (let token = starts[n]; token < starts[n + 1]; token++) {
      if ((token - starts[n]) % chunk === 0) sums.fill(0);
      for (let i = 0; i < width; i++) {
        const gate = decay![constant ? i : token * width + i];
        const before = sums[i];
        sums[i] += Math.max(gate, -104);
        gates[token * width + i] = sums[i] - before;
      }
    }
  }
  const gradients = naiveLinearAttentionBackward({
    ...problem,
    decay: gates,
    decayShape: channels > 1 ? "channel" : "head",
    precision: "f32",
  });
  if (!constant) return gradients;
  const summed = new Float64Array(width);
  gradients.decayGradient.forEach((x, i) => summed[i % width] += x);
  return { ...gradients, decayGradient: summed };
}

/**
 * The most that `|q dq| + |k dk|` add up to from a token to its chunk's end; of
 * constant gates, the sum of that over tokens.
 */
function addedUp(
  problem: LinearBackwardProblem,
  { queryGradient, keyGradient }: {
    readonly queryGradient: ArrayLike<number>;
    readonly keyGradient: ArrayLike<number>;
  },
  chunk: number,
): number {
  const { query, key, headDim, decayShape } = problem;
  const channels = decayShape!.endsWith("channel");
  const starts = startsOf(problem);
  const tokens = starts.at(-1)!;
  const magnitude = (
    rows: ArrayLike<number>,
    gradient: ArrayLike<number>,
    token: number,
  ) => {
    const width = rows.length / tokens;
    let all = 0;
    for (let head = 0; head < width; head += headDim) {
      let own = 0;
      for (let d = 0; d < headDim; d++) {
        const at = token * width + head + d;
        const product = Math.abs(rows[at] * gradient[at]);
        own = channels ? Math.max(own, product) : own + product;
      }
      all += own;
    }
    return all;
  };
  let [most, total] = [0, 0];
  for (let n = 0; n + 1 < starts.length; n++) {
    let sum = 0;
    for (let token = starts[n + 1] - 1; token >= starts[n]; token--) {
      sum += magnitude(query, queryGradient, token) +
        magnitude(key, keyGradient, token);
      most = Math.max(most, sum);
      total += sum;
      if ((token - starts[n]) % chunk === 0) sum = 0;
    }
  }
  return decayShape!.startsWith("constant") ? total : most;
}

/** Where sequences start, and where the last one ends. */
function startsOf(
  { batch, sequence, cuSeqlens }: LinearAttentionProblem,
): number[] {
  return cuSeqlens
    ? Array.from(cuSeqlens)
    : Array.from({ length: batch! + 1 }, (_, n) => n * sequence!);
}
