// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * RMSNorm and l2 normalisation of rows, and their gradients, as ops.
 *
 * @module
 */

import { accumulatedRows } from "../../../../kernels/fragments/accumulate.ts";
import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../../../kernels/fragments/rows.ts";
import type { ColumnStore } from "../../../../kernels/layers/column_sums.ts";
import {
  LANES_PER_ROW,
  ROW_NORM_LANES,
  rowNormBackwardKernel,
  rowNormKernel,
  type RowNormSpec,
  rowNormTerms,
} from "../../../../kernels/layers/row_norm.ts";
import {
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import { flatGrid } from "../../../gpu/program/dispatch.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import type { AnyTensor } from "../../tensors.ts";
import { columnSums } from "../column_sums.ts";
import {
  accumulates,
  describeRows,
  type LayerBackwardOptions,
  type LayerOp,
} from "../op.ts";

/**
 * Rows to be l2-normalised; `T` is where they are.
 *
 * @category Layers
 */
export interface L2NormalizeOptions<T = AnyTensor> {
  /** `[..., width]`, f32 or f16. */
  readonly input: T;
  /** Added to the sum of squares, so that no row divides by 0; 1e-6 by default. */
  readonly eps?: number | undefined;
}

/**
 * What `rmsNorm()` normalises; `T` is where the rows are.
 *
 * @category Layers
 */
export interface RmsNormOptions<T = AnyTensor> {
  /** `[..., width]`, f32 or f16: for a norm per head, its width is the head dim. */
  readonly input: T;
  /** `[width]`, f32 or f16. */
  readonly weight: AnyTensor;
  /** Added to the mean of squares; 1e-5 by default. */
  readonly eps?: number | undefined;
}

/**
 * What `l2NormalizeBackward()` takes.
 *
 * @category Layers
 */
export interface L2NormalizeBackwardOptions<T = AnyTensor>
  extends L2NormalizeOptions<T>, LayerBackwardOptions<"inputGradient"> {}

/**
 * What `rmsNormBackward()` takes.
 *
 * @category Layers
 */
export interface RmsNormBackwardOptions<T = AnyTensor>
  extends
    RmsNormOptions<T>,
    LayerBackwardOptions<keyof RmsNormGradients<unknown>> {}

/**
 * The gradients of a row norm with a weight.
 *
 * @category Layers
 */
export interface RmsNormGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** `[width]`, f32. */
  readonly weightGradient: T;
}

/** Which of the two norms. */
type Norm = "l2" | "rms";

interface AnyNormOptions {
  readonly input: AnyTensor;
  readonly weight?: AnyTensor;
  readonly eps?: number | undefined;
  readonly accumulate?: readonly string[] | undefined;
}

/**
 * Elements of a row at most. Its lanes go through it twice, and some adapters end
 * an invocation's loops after 65,535 turns of them all.
 */
const MOST_WIDTH = 4 * LANES_PER_ROW * 32000;

/** Options of a norm, checked. */
function normProblem(norm: Norm, { input, weight, eps }: AnyNormOptions) {
  const { dtype, shape, rows, width } = describeRows("input", input);
  checkInteger("width", width, 1, MOST_WIDTH);
  const added = eps ?? (norm === "rms" ? 1e-5 : 1e-6);
  checkFinite("eps", added);
  checkRange(
    Math.fround(added) > 0 && Math.fround(added) < Infinity,
    "eps",
    "must be > 0 and finite in float32, so that a row of zeros divides by something",
    added,
  );
  checkType(
    norm === "l2" || weight !== undefined,
    "weight",
    "must be given",
    weight,
  );
  const weightType = weight === undefined
    ? undefined
    : describeRows("weight", weight).dtype;
  const format = rowFormat(dtype, width);
  const weightFormat: RowFormat | undefined = weightType &&
    { dtype: weightType, vector: format.vector };
  const spec: RowNormSpec = { format, weight: weightFormat };
  const widthVecs = Math.ceil(width / 4);
  const uniforms = {
    row_count: rows,
    row_stride: rowStride(format, width),
    width,
    width_vecs: widthVecs,
    mean: norm === "rms" ? Math.fround(1 / width) : 1,
    eps: added,
  };
  const read = {
    input: { dtype, shape },
    ...(weightType && { weight: { dtype: weightType, shape: [width] } }),
  };
  const like = { dtype, shape };
  return { spec, rows, width, widthVecs, uniforms, read, like };
}

function forwardOp<Options extends AnyNormOptions>(
  name: string,
  norm: Norm,
): LayerOp<Options> {
  return {
    name,
    options: ["input", ...(norm === "rms" ? ["weight"] : []), "eps"],
    hints: { epsilon: "write eps", x: "write input" },
    work(options) {
      const { spec, rows, uniforms, read, like } = normProblem(norm, options);
      const source = rowNormKernel(spec);
      return {
        read,
        written: { output: like },
        parts: (limits) => ({
          dispatches: rows === 0 ? [] : [{
            source,
            uniforms,
            grid: flatGrid(rows * LANES_PER_ROW, ROW_NORM_LANES, limits),
          }],
        }),
      };
    },
  };
}

function backwardOp<Options extends AnyNormOptions>(
  name: string,
  norm: Norm,
): LayerOp<Options> {
  const weighted = norm === "rms";
  return {
    name,
    options: [
      "input",
      ...(weighted ? ["weight"] : []),
      "eps",
      "outputGradient",
      "accumulate",
    ],
    hints: {
      epsilon: "write eps",
      x: "write input",
      dy: "write outputGradient",
    },
    work(options) {
      const problem = normProblem(norm, options);
      const { spec, rows, width, widthVecs, uniforms, read, like } = problem;
      const written = {
        inputGradient: like,
        ...(weighted && {
          weightGradient: { dtype: "f32", shape: [width] } as const,
        }),
      };
      const accumulate = accumulates(options.accumulate, Object.keys(written));
      return {
        read: { ...read, outputGradient: like },
        written,
        parts(limits) {
          const rowsOf: Dispatch[] = rows === 0 ? [] : [{
            source: rowNormBackwardKernel(spec),
            uniforms: { ...uniforms, ...accumulate },
            grid: flatGrid(rows * LANES_PER_ROW, ROW_NORM_LANES, limits),
          }];
          if (!weighted) return { dispatches: rowsOf };
          const { dispatches, sums } = columnSums({
            rows,
            columns: widthVecs,
            terms: rowNormTerms(spec),
            store: weightStore(spec),
            uniforms: { ...uniforms, ...accumulate },
          }, limits);
          return {
            dispatches: [...rowsOf, ...dispatches],
            scratch: { row_factors: Math.max(4, 4 * rows), sums },
          };
        },
      };
    },
  };
}

/** The gradient of a weight, a row in f32. */
function weightStore({ format: { vector } }: RowNormSpec): ColumnStore {
  return {
    name: vector ? "row" : "row.tail",
    fragments: [
      accumulatedRows({
        name: "weight_gradient",
        format: { dtype: "f32", vector },
        dim: "width",
      }),
      {
        code: `fn store_sum(column: u32, sum: vec4f) {
          add_weight_gradient(0u, column, sum);
        }`,
      },
    ],
  };
}

/** The ops, for plans. */
export const ROW_NORM_OPS: {
  readonly rmsNorm: LayerOp<RmsNormOptions>;
  readonly rmsNormBackward: LayerOp<RmsNormBackwardOptions>;
  readonly l2Normalize: LayerOp<L2NormalizeOptions>;
  readonly l2NormalizeBackward: LayerOp<L2NormalizeBackwardOptions>;
} = {
  rmsNorm: forwardOp("rmsNorm", "rms"),
  rmsNormBackward: backwardOp("rmsNormBackward", "rms"),
  l2Normalize: forwardOp("l2Normalize", "l2"),
  l2NormalizeBackward: backwardOp("l2NormalizeBackward", "l2"),
};
