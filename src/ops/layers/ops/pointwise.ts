// deno-lint-ignore-file camelcase -- functions have the names of WGSL
/**
 * Gates: functions of single elements, and their gradients, as ops.
 *
 * @module
 */

import { rowFormat } from "../../../../kernels/fragments/rows.ts";
import {
  POINTWISE_LANES,
  pointwiseBackwardKernel,
  type PointwiseFunction,
  pointwiseKernel,
} from "../../../../kernels/layers/pointwise.ts";
import { checkFinite, checkRange, checkType } from "../../../core/check.ts";
import { flatGrid } from "../../../gpu/program/dispatch.ts";
import { type AnyTensor, describeTensor } from "../../tensors.ts";
import { accumulates, type LayerBackwardOptions, type LayerOp } from "../op.ts";

/**
 * What `sigmoid()` takes; `T` is where it is.
 *
 * @category Layers
 */
export interface SigmoidOptions<T = AnyTensor> {
  /** Of any shape, f32 or f16. */
  readonly input: T;
}

/**
 * What `logGate()` takes; `T` is where it is.
 *
 * @category Layers
 */
export interface LogGateOptions<T = AnyTensor> {
  /** Of any shape, f32 or f16. */
  readonly input: T;
  /** What the logarithm is divided by; 16 by default, as in GLA. */
  readonly normalizer?: number | undefined;
}

/**
 * What `swishGate()` takes; `T` is where it is.
 *
 * @category Layers
 */
export interface SwishGateOptions<T = AnyTensor> {
  /** Of any shape, f32 or f16. */
  readonly input: T;
  /** Like the input. */
  readonly gate: AnyTensor;
}

/**
 * What `sigmoidBackward()` takes.
 *
 * @category Layers
 */
export interface SigmoidBackwardOptions<T = AnyTensor>
  extends SigmoidOptions<T>, LayerBackwardOptions<"inputGradient"> {}

/**
 * What `logGateBackward()` takes; its `outputGradient` is f32.
 *
 * @category Layers
 */
export interface LogGateBackwardOptions<T = AnyTensor>
  extends LogGateOptions<T>, LayerBackwardOptions<"inputGradient"> {}

/**
 * What `swishGateBackward()` takes.
 *
 * @category Layers
 */
export interface SwishGateBackwardOptions<T = AnyTensor>
  extends
    SwishGateOptions<T>,
    LayerBackwardOptions<keyof SwishGateGradients<unknown>> {}

/**
 * The gradients of a swish gate.
 *
 * @category Layers
 */
export interface SwishGateGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** Like the gate. */
  readonly gateGradient: T;
}

interface AnyOptions {
  readonly input: AnyTensor;
  readonly gate?: AnyTensor;
  readonly normalizer?: number | undefined;
  readonly accumulate?: readonly string[] | undefined;
}

/** The options that a function has besides its input. */
const OWN_OPTIONS: Readonly<Record<PointwiseFunction, readonly string[]>> = {
  sigmoid: [],
  log_gate: ["normalizer"],
  swish_gate: ["gate"],
};

/** Options of a function, checked. */
function pointwiseProblem(
  name: PointwiseFunction,
  { input, gate, normalizer = 16 }: AnyOptions,
) {
  checkType(input !== undefined, "input", "must be given", input);
  const { dtype, shape } = describeTensor("input", input);
  const elements = shape.reduce((product, length) => product * length, 1);
  const gated = name === "swish_gate";
  checkType(!gated || gate !== undefined, "gate", "must be given", gate);
  checkFinite("normalizer", normalizer);
  checkRange(
    Math.fround(normalizer) > 0 && Math.fround(normalizer) < Infinity,
    "normalizer",
    "must be > 0 and finite in float32, so that no gate is above 1",
    normalizer,
  );
  const outputType = name === "log_gate" ? "f32" : dtype;
  const vecs = Math.ceil(elements / 4);
  const like = { dtype, shape };
  return {
    spec: {
      name,
      input: rowFormat(dtype, elements),
      output: rowFormat(outputType, elements),
    },
    vecs,
    uniforms: { elements, vecs, normalizer },
    inputs: { input: like, ...(gated && { gate: like }) },
    output: { dtype: outputType, shape } as const,
  };
}

function forwardOp<Options extends AnyOptions>(
  name: string,
  kernel: PointwiseFunction,
): LayerOp<Options> {
  return {
    name,
    options: ["input", ...OWN_OPTIONS[kernel]],
    hints: { x: "write input" },
    work(options) {
      const { spec, vecs, uniforms, inputs, output } = pointwiseProblem(
        kernel,
        options,
      );
      return {
        read: inputs,
        written: { output },
        parts: (limits) => ({
          dispatches: vecs === 0 ? [] : [{
            source: pointwiseKernel(spec),
            uniforms,
            grid: flatGrid(vecs, POINTWISE_LANES, limits),
          }],
        }),
      };
    },
  };
}

function backwardOp<Options extends AnyOptions>(
  name: string,
  kernel: PointwiseFunction,
): LayerOp<Options> {
  return {
    name,
    options: ["input", ...OWN_OPTIONS[kernel], "outputGradient", "accumulate"],
    hints: { x: "write input", dy: "write outputGradient" },
    work(options) {
      const { spec, vecs, uniforms, inputs, output } = pointwiseProblem(
        kernel,
        options,
      );
      const written = Object.fromEntries(
        Object.entries(inputs).map(([own, like]) => [`${own}Gradient`, like]),
      );
      const accumulate = accumulates(options.accumulate, Object.keys(written));
      return {
        read: { ...inputs, outputGradient: output },
        written,
        parts: (limits) => ({
          dispatches: vecs === 0 ? [] : [{
            source: pointwiseBackwardKernel(spec),
            uniforms: { ...uniforms, ...accumulate },
            grid: flatGrid(vecs, POINTWISE_LANES, limits),
          }],
        }),
      };
    },
  };
}

/** The ops, for plans. */
export const POINTWISE_OPS: {
  readonly sigmoid: LayerOp<SigmoidOptions>;
  readonly sigmoidBackward: LayerOp<SigmoidBackwardOptions>;
  readonly logGate: LayerOp<LogGateOptions>;
  readonly logGateBackward: LayerOp<LogGateBackwardOptions>;
  readonly swishGate: LayerOp<SwishGateOptions>;
  readonly swishGateBackward: LayerOp<SwishGateBackwardOptions>;
} = {
  sigmoid: forwardOp("sigmoid", "sigmoid"),
  sigmoidBackward: backwardOp("sigmoidBackward", "sigmoid"),
  logGate: forwardOp("logGate", "log_gate"),
  logGateBackward: backwardOp("logGateBackward", "log_gate"),
  swishGate: forwardOp("swishGate", "swish_gate"),
  swishGateBackward: backwardOp("swishGateBackward", "swish_gate"),
};
