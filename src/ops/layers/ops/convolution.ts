/**
 * Short convolutions and their gradients, as ops.
 *
 * @module
 */

import { rowFormat, rowStride } from "../../../../kernels/fragments/rows.ts";
import {
  convolutionInputGradientKernel,
  convolutionStore,
  convolutionTerms,
  preGradientKernel,
} from "../../../../kernels/layers/convolution/backward.ts";
import {
  convolutionKernel,
  convolutionStateKernel,
} from "../../../../kernels/layers/convolution/forward.ts";
import {
  CONVOLUTION_LANES,
  CONVOLUTION_SEQUENCE,
  type ConvolutionSpec,
} from "../../../../kernels/layers/convolution/spec.ts";
import { checkBoolean, checkInteger, checkType } from "../../../core/check.ts";
import { bytesPerElement } from "../../../core/dtype.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import { roundUp } from "../../../gpu/buffers/usage.ts";
import { flatGrid } from "../../../gpu/program/dispatch.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import {
  cumulativeSpans,
  type Indices,
} from "../../attention/options/spans.ts";
import type { AnyTensor } from "../../tensors.ts";
import { columnSums } from "../column_sums.ts";
import {
  accumulates,
  describeRows,
  type LayerBackwardOptions,
  type LayerOp,
} from "../op.ts";

/** Taps of a kernel at most. */
const MOST_TAPS = 8;

/**
 * What `shortConvolution()` takes; `T` is where the inputs are.
 *
 * @category Layers
 */
export interface ConvolutionOptions<T = AnyTensor> {
  /**
   * `[batch, sequence, channels]`, or ragged `[tokens, channels]` with
   * `cuSeqlens`; f32 or f16.
   */
  readonly input: T;
  /** `[channels, kernelSize]`, 2 to 8 taps, the last one the token's own. */
  readonly weight: AnyTensor;
  /** `[channels]`, of the weight's type. */
  readonly bias?: AnyTensor | undefined;
  /** Whether silu comes last; `false` by default. */
  readonly silu?: boolean | undefined;
  /** Where sequences begin and end: `batch + 1` numbers from 0 to all tokens. */
  readonly cuSeqlens?: Indices | undefined;
  /**
   * `[batch, kernelSize - 1, channels]`: the inputs before each sequence, the
   * oldest first, of the input's type; zeros by default.
   */
  readonly initialState?: AnyTensor | undefined;
  /**
   * Whether there is a `finalState`, like the initial one: what the next call
   * begins with. A plan may write it over the initial one. `false` by default.
   */
  readonly returnState?: boolean | undefined;
}

/**
 * What `shortConvolutionBackward()` takes.
 *
 * @category Layers
 */
export interface ConvolutionBackwardOptions<T = AnyTensor>
  extends
    Omit<ConvolutionOptions<T>, "returnState">,
    LayerBackwardOptions<keyof ConvolutionGradients<unknown>> {
  /**
   * The loss's derivative by the final state, where there is one; for a plan, its
   * shape.
   */
  readonly finalStateGradient?: AnyTensor | undefined;
}

/**
 * What a short convolution gives.
 *
 * @category Layers
 */
export interface ConvolutionResult<T> {
  /** Like the input. */
  readonly output: T;
  /** The last inputs of each sequence, where asked for. */
  readonly finalState?: T;
}

/**
 * The gradients of a short convolution.
 *
 * @category Layers
 */
export interface ConvolutionGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** `[channels, kernelSize]`, f32. */
  readonly weightGradient: T;
  /** `[channels]`, f32, where there is a bias. */
  readonly biasGradient?: T;
  /** Like the initial state, where there is one. */
  readonly initialStateGradient?: T;
}

/** Options, checked. */
function convolutionProblem(options: ConvolutionOptions) {
  const { bias, silu = false, cuSeqlens, initialState } = options;
  checkBoolean("silu", options.silu);
  const input = describeRows("input", options.input);
  const weight = describeRows("weight", options.weight);
  const { dtype, shape, rows: tokens, width } = input;
  checkType(
    shape.length === (cuSeqlens === undefined ? 3 : 2),
    "input.shape",
    cuSeqlens === undefined
      ? "must be [batch, sequence, channels]; give cuSeqlens with [tokens, channels]"
      : "must be [tokens, channels], as there are cuSeqlens",
    shape,
  );
  checkType(
    weight.shape.length === 2 && weight.shape[0] === width,
    "weight.shape",
    `must be [${width}, kernelSize], a row for each channel`,
    weight.shape,
  );
  const kernelSize = weight.width;
  checkInteger("kernelSize", kernelSize, 2, MOST_TAPS);
  const spans = cuSeqlens === undefined
    ? Array.from(
      { length: shape[0] },
      (_, b): [number, number] => [b * shape[1], shape[1]],
    )
    : cumulativeSpans("cuSeqlens", cuSeqlens, tokens);
  const format = rowFormat(dtype, width);
  const spec: ConvolutionSpec = {
    format,
    weight: weight.dtype,
    bias: bias !== undefined,
    silu,
    state: initialState !== undefined,
  };
  const before = kernelSize - 1;
  const widthVecs = Math.ceil(width / 4);
  const like = { dtype, shape };
  const state = { dtype, shape: [spans.length, before, width] };
  return {
    spec,
    tokens,
    before,
    width,
    widthVecs,
    /** Rows of states. */
    slots: spans.length * before,
    like,
    state,
    read: {
      input: like,
      weight: { dtype: weight.dtype, shape: weight.shape },
      ...(spec.bias && { bias: { dtype: weight.dtype, shape: [width] } }),
      ...(spec.state && { initialState: state }),
    },
    uniforms: {
      tokens_at: CONVOLUTION_SEQUENCE.words * spans.length,
      row_stride: rowStride(format, width),
      width,
      width_vecs: widthVecs,
      before,
    },
    schedule: () => scheduleOf(spans, tokens),
  };
}

/** Sequences, and of each token the sequence. */
function scheduleOf(
  spans: readonly (readonly [start: number, count: number])[],
  tokens: number,
): Uint32Array<ArrayBuffer> {
  const at = CONVOLUTION_SEQUENCE.words * spans.length;
  // A binding has a word at least.
  const schedule = new Uint32Array(Math.max(1, at + tokens));
  spans.forEach(([start, count], i) => {
    const words = CONVOLUTION_SEQUENCE.pack({ start, count });
    schedule.set(words, CONVOLUTION_SEQUENCE.words * i);
    schedule.fill(i, at + start, at + start + count);
  });
  return schedule;
}

/** A dispatch with an invocation for four channels of so many rows. */
function rowsDispatch(
  limits: GPUSupportedLimits,
  source: KernelSource,
  { rows, uniforms, aliases }: {
    readonly rows: number;
    readonly uniforms: Readonly<Record<string, number>>;
    readonly aliases?: Readonly<Record<string, string>> | undefined;
  },
): Dispatch[] {
  const count = rows * uniforms.width_vecs;
  return count === 0 ? [] : [{
    source,
    uniforms: { ...uniforms, row_count: rows },
    grid: flatGrid(count, CONVOLUTION_LANES, limits),
    aliases,
  }];
}

const shortConvolution: LayerOp<ConvolutionOptions> = {
  name: "shortConvolution",
  options: [
    "input",
    "weight",
    "bias",
    "silu",
    "cuSeqlens",
    "initialState",
    "returnState",
  ],
  hints: { activation: "write silu: true", x: "write input" },
  work(options) {
    const { returnState = false } = options;
    checkBoolean("returnState", options.returnState);
    const problem = convolutionProblem(options);
    const { spec, tokens, slots, like, state, uniforms, read } = problem;
    // Where the state is replaced, it is read as it was.
    const replaced = spec.state && returnState;
    const bytes = state.shape.reduce((product, size) => product * size, 1) *
      bytesPerElement(state.dtype);
    const aliases = replaced ? { initial_state: "state" } : undefined;
    return {
      read,
      written: { output: like, ...(returnState && { finalState: state }) },
      ...(replaced && { replaces: { finalState: "initialState" } }),
      parts: (limits) => ({
        dispatches: [
          ...rowsDispatch(limits, convolutionKernel(spec), {
            rows: tokens,
            uniforms,
            aliases,
          }),
          ...(returnState
            ? rowsDispatch(limits, convolutionStateKernel(spec), {
              rows: slots,
              uniforms,
              aliases,
            })
            : []),
        ],
        words: { schedule: problem.schedule() },
        ...(replaced && {
          scratch: { state: Math.max(16, roundUp(bytes, 16)) },
          copies: [{ from: "initial_state", to: "state", at: 0 }],
        }),
      }),
    };
  },
};

const shortConvolutionBackward: LayerOp<ConvolutionBackwardOptions> = {
  name: "shortConvolutionBackward",
  options: [
    "input",
    "weight",
    "bias",
    "silu",
    "cuSeqlens",
    "initialState",
    "outputGradient",
    "finalStateGradient",
    "accumulate",
  ],
  hints: { activation: "write silu: true", dy: "write outputGradient" },
  work({ outputGradient: _, finalStateGradient, accumulate, ...options }) {
    const problem = convolutionProblem(options);
    const { spec, tokens, slots, like, state, before, width } = problem;
    const finalState = finalStateGradient !== undefined;
    const written = {
      inputGradient: like,
      weightGradient: { dtype: "f32", shape: [width, before + 1] } as const,
      ...(spec.bias && {
        biasGradient: { dtype: "f32", shape: [width] } as const,
      }),
      ...(spec.state && { initialStateGradient: state }),
    };
    const uniforms = {
      ...problem.uniforms,
      ...accumulates(accumulate, Object.keys(written)),
    };
    return {
      read: {
        ...problem.read,
        outputGradient: like,
        ...(finalState && { finalStateGradient: state }),
      },
      written,
      parts(limits) {
        const tapCount = before + 1 + (spec.bias ? 1 : 0);
        const { dispatches, sums } = columnSums({
          rows: tokens,
          columns: tapCount * problem.widthVecs,
          terms: convolutionTerms(spec),
          store: convolutionStore(spec),
          uniforms,
        }, limits);
        const gradients = (of: "input" | "initial_state", rows: number) =>
          rowsDispatch(
            limits,
            convolutionInputGradientKernel(spec, { of, finalState }),
            { rows, uniforms },
          );
        return {
          dispatches: [
            ...(spec.silu
              ? rowsDispatch(limits, preGradientKernel(spec), {
                rows: tokens,
                uniforms,
              })
              : []),
            ...gradients("input", tokens),
            ...(spec.state ? gradients("initial_state", slots) : []),
            ...dispatches,
          ],
          words: { schedule: problem.schedule() },
          scratch: {
            sums,
            ...(spec.silu && {
              pre_gradient: Math.max(16, 16 * tokens * problem.widthVecs),
            }),
          },
        };
      },
    };
  },
};

/** The ops, for plans. */
export const CONVOLUTION_OPS: {
  readonly shortConvolution: LayerOp<ConvolutionOptions>;
  readonly shortConvolutionBackward: LayerOp<ConvolutionBackwardOptions>;
} = { shortConvolution, shortConvolutionBackward };
