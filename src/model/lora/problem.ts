/**
 * What a projection with a low-rank update is.
 *
 * @module
 */

import { checkFinite, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { AnyTensor, TensorShape } from "../../ops/mod.ts";
import { checkLike, describeTensor } from "../../ops/tensors.ts";

/**
 * A low-rank update's two matrices, or their gradients.
 *
 * @category Layers
 */
export interface LoraWeights<T> {
  /** `[rank, inFeatures]`. */
  readonly a: T;
  /** `[outFeatures, rank]`; zeros before training. */
  readonly b: T;
}

/**
 * What {@linkcode loraProject} takes, and for a plan, whose tensors may be shapes;
 * `T` is where the rows are, `W` where the weights are.
 *
 * @category Layers
 */
export interface LoraOptions<T = AnyTensor, W = AnyTensor>
  extends LoraWeights<W> {
  /** `[..., inFeatures]`, f32 or f16. */
  readonly input: T;
  /** `[outFeatures, inFeatures]`, f32 or f16: not trained. */
  readonly weight: W;
  /** `[outFeatures]`, of the weight's type: not trained. */
  readonly bias?: W | undefined;
  /** The update's factor, by the rank; 16 by default. */
  readonly alpha?: number | undefined;
}

/** Options, checked. */
export interface LoraProblem {
  readonly input: TensorShape;
  readonly weight: TensorShape;
  readonly bias: TensorShape | undefined;
  readonly a: TensorShape;
  readonly b: TensorShape;
  /** Like the input, of `outFeatures`. */
  readonly output: TensorShape;
  /** Like the input, of `rank`. */
  readonly low: TensorShape;
  /** alpha / rank. */
  readonly scale: number;
}

const HINTS = {
  x: "write input",
  loraA: "write a",
  loraB: "write b",
  loraAlpha: "write alpha",
  scaling: "write alpha, which is divided by the rank",
  rank: "leave it out, as a has it",
  r: "leave it out, as a has it",
};

/** The factor of an update of a rank. */
export function loraScale(alpha: number, rank: number): number {
  checkFinite("alpha", alpha);
  checkRange(
    Number.isFinite(Math.fround(alpha / rank)),
    "alpha",
    `must be finite in float32, by the rank (${rank})`,
    alpha,
  );
  return alpha / rank;
}

/** Options of a plan or call, checked; `owner` is whose they are. */
export function loraProblem(owner: string, options: LoraOptions): LoraProblem {
  checkOptions(owner, options, {
    known: ["input", "weight", "bias", "a", "b", "alpha"],
    hints: HINTS,
  });
  const { alpha = 16 } = options;
  const input = describeGiven("input", options.input);
  const weight = describeGiven("weight", options.weight);
  const a = describeGiven("a", options.a);
  const inFeatures = input.shape.at(-1) ?? 0;
  const matrix = (
    name: string,
    { shape }: TensorShape,
    [rows, columns]: readonly [string, number],
  ) =>
    checkType(
      shape.length === 2 && shape[0] > 0 && shape[1] > 0 &&
        shape[1] === columns,
      `${name}.shape`,
      `must be [${rows}, ${columns}], as rows of the input have ${columns}`,
      shape,
    );
  matrix("weight", weight, ["outFeatures", inFeatures]);
  matrix("a", a, ["rank", inFeatures]);
  const [outFeatures] = weight.shape;
  const [rank] = a.shape;
  checkType(options.b !== undefined, "b", "must be given", options.b);
  const b = { dtype: a.dtype, shape: [outFeatures, rank] };
  checkLike("b", options.b, b);
  const bias = options.bias &&
    { dtype: weight.dtype, shape: [outFeatures] };
  if (bias) checkLike("bias", options.bias, bias);
  const rows = (width: number): TensorShape => ({
    dtype: input.dtype,
    shape: [...input.shape.slice(0, -1), width],
  });
  return {
    input,
    weight,
    bias,
    a,
    b,
    output: rows(outFeatures),
    low: rows(rank),
    scale: loraScale(alpha, rank),
  };
}

function describeGiven(name: string, tensor: unknown): TensorShape {
  checkType(tensor !== undefined, name, "must be given", tensor);
  const { dtype, shape } = describeTensor(name, tensor);
  return { dtype, shape };
}
