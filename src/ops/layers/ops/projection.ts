/**
 * Projections of rows and their gradients, as ops.
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
  projectionBiasTerms,
  projectionInputGradientKernel,
  projectionKernel,
  type ProjectionSpec,
  projectionWeightGradientKernel,
} from "../../../../kernels/layers/projection.ts";
import { PRODUCT_TILE, productTiles } from "../../../../kernels/product.ts";
import {
  checkBoolean,
  checkFinite,
  checkInteger,
  checkRange,
  checkType,
} from "../../../core/check.ts";
import type { KernelSource } from "../../../core/kernel.ts";
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
 * Elements along which one dispatch sums: four a turn of its loop, of which some
 * adapters take no more than 65,535.
 */
const MOST_DEPTH = 4 * 65000;

/**
 * What `project()` takes; `T` is where the rows are.
 *
 * @category Layers
 */
export interface ProjectionOptions<T = AnyTensor> {
  /** `[..., inFeatures]`, f32 or f16. */
  readonly input: T;
  /** `[outFeatures, inFeatures]`, f32 or f16. */
  readonly weight: AnyTensor;
  /** `[outFeatures]`, of the weight's type. */
  readonly bias?: AnyTensor | undefined;
  /** A factor of the products, not of the bias; 1 by default. */
  readonly scale?: number | undefined;
  /**
   * `["output"]` in a plan that adds its output to what is there, instead of
   * replacing it.
   */
  readonly accumulate?: readonly "output"[] | undefined;
}

/**
 * What `projectBackward()` takes.
 *
 * @category Layers
 */
export interface ProjectionBackwardOptions<T = AnyTensor>
  extends
    Omit<ProjectionOptions<T>, "bias" | "accumulate">,
    LayerBackwardOptions<keyof ProjectionGradients<unknown>> {
  /** Whether there was a bias, and so is its gradient; `false` by default. */
  readonly bias?: boolean | undefined;
  /**
   * Whether weight and bias are not trained, so that there is the gradient by the
   * rows alone; `false` by default.
   */
  readonly frozen?: boolean | undefined;
}

/**
 * The gradients of a projection.
 *
 * @category Layers
 */
export interface ProjectionGradients<T> {
  /** Like the input. */
  readonly inputGradient: T;
  /** `[outFeatures, inFeatures]`, f32; not where the weight is frozen. */
  readonly weightGradient: T;
  /** `[outFeatures]`, f32, where there is a bias. */
  readonly biasGradient?: T;
}

/** Options, checked. */
function projectionProblem(
  options: {
    readonly input: AnyTensor;
    readonly weight: AnyTensor;
    readonly scale?: number | undefined;
  },
  bias: boolean,
) {
  const { scale = 1 } = options;
  checkFinite("scale", scale);
  checkRange(
    Number.isFinite(Math.fround(scale)),
    "scale",
    "must be finite in float32",
    scale,
  );
  const input = describeRows("input", options.input);
  const weight = describeRows("weight", options.weight);
  const inFeatures = input.width;
  checkType(
    weight.shape.length === 2 && weight.width === inFeatures,
    "weight.shape",
    `must be [outFeatures, ${inFeatures}], a row for each output`,
    weight.shape,
  );
  const [outFeatures] = weight.shape;
  checkType(
    outFeatures > 0,
    "weight.shape",
    "must have at least one row",
    weight.shape,
  );
  checkInteger("inFeatures", inFeatures, 1, MOST_DEPTH);
  checkInteger("outFeatures", outFeatures, 1, MOST_DEPTH);
  const spec: ProjectionSpec = {
    input: rowFormat(input.dtype, inFeatures),
    weight: rowFormat(weight.dtype, inFeatures),
    output: rowFormat(input.dtype, outFeatures),
    bias,
  };
  const outputStride = rowStride(spec.output, outFeatures);
  return {
    spec,
    rows: input.rows,
    inFeatures,
    outFeatures,
    read: {
      input: { dtype: input.dtype, shape: input.shape },
      weight: { dtype: weight.dtype, shape: weight.shape },
    },
    output: {
      dtype: input.dtype,
      shape: [...input.shape.slice(0, -1), outFeatures],
    },
    uniforms: {
      scale,
      rows: input.rows,
      in_features: inFeatures,
      out_features: outFeatures,
      input_stride: rowStride(spec.input, inFeatures),
      weight_stride: rowStride(spec.weight, inFeatures),
      output_stride: outputStride,
      output_gradient_stride: outputStride,
    },
  };
}

/** The dispatch of a product of so many rows and columns. */
function product(
  limits: GPUSupportedLimits,
  source: KernelSource,
  { rows, columns, uniforms }: {
    readonly rows: number;
    readonly columns: number;
    readonly uniforms: Readonly<Record<string, number>>;
  },
): Dispatch[] {
  const tiles = productTiles(PRODUCT_TILE, { rows, columns });
  return rows === 0 ? [] : [{
    source,
    uniforms: { ...uniforms, ...tiles },
    grid: flatGrid(tiles.row_tiles * tiles.column_tiles, 1, limits),
  }];
}

const project: LayerOp<ProjectionOptions> = {
  name: "project",
  options: ["input", "weight", "bias", "scale", "accumulate"],
  hints: { x: "write input", alpha: "write scale" },
  work({ accumulate, ...options }) {
    const problem = projectionProblem(options, options.bias !== undefined);
    const { spec, rows, outFeatures: columns } = problem;
    const uniforms = {
      ...problem.uniforms,
      ...accumulates(accumulate, ["output"]),
    };
    return {
      read: {
        ...problem.read,
        ...(spec.bias && {
          bias: { dtype: spec.weight.dtype, shape: [columns] },
        }),
      },
      written: { output: problem.output },
      parts: (limits) => ({
        dispatches: product(limits, projectionKernel(spec), {
          rows,
          columns,
          uniforms,
        }),
      }),
    };
  },
};

const projectBackward: LayerOp<ProjectionBackwardOptions> = {
  name: "projectBackward",
  options: [
    "input",
    "weight",
    "bias",
    "scale",
    "frozen",
    "outputGradient",
    "accumulate",
  ],
  hints: { x: "write input", dy: "write outputGradient", alpha: "write scale" },
  work({ accumulate, bias: biased = false, frozen = false, ...options }) {
    checkBoolean("bias", biased);
    checkBoolean("frozen", frozen);
    const bias = biased && !frozen;
    const problem = projectionProblem(options, bias);
    const { spec, rows, inFeatures, outFeatures, read } = problem;
    const written = {
      inputGradient: read.input,
      ...(!frozen && {
        weightGradient: { dtype: "f32", shape: read.weight.shape } as const,
      }),
      ...(bias && {
        biasGradient: { dtype: "f32", shape: [outFeatures] } as const,
      }),
    };
    const uniforms = {
      ...problem.uniforms,
      ...accumulates(accumulate, Object.keys(written)),
    };
    return {
      read: { ...read, outputGradient: problem.output },
      written,
      parts(limits) {
        const { dispatches: biases, sums } = columnSums({
          rows,
          columns: Math.ceil(outFeatures / 4),
          terms: projectionBiasTerms(spec),
          store: biasStore(spec.output),
          uniforms,
        }, limits);
        return {
          dispatches: [
            ...product(limits, projectionInputGradientKernel(spec), {
              rows,
              columns: inFeatures,
              uniforms,
            }),
            // Of no rows it is 0 all the same; of very many, one part after
            // the other.
            ...Array.from(
              {
                length: frozen ? 0 : Math.max(1, Math.ceil(rows / MOST_DEPTH)),
              },
              (_, part) =>
                product(limits, projectionWeightGradientKernel(spec), {
                  rows: outFeatures,
                  columns: inFeatures,
                  uniforms: {
                    ...uniforms,
                    first_row: part * MOST_DEPTH,
                    own_rows: Math.min(MOST_DEPTH, rows - part * MOST_DEPTH),
                    ...(part > 0 && { accumulate_weight_gradient: 1 }),
                  },
                }),
            ).flat(),
            ...(bias ? biases : []),
          ],
          scratch: bias ? { sums } : {},
        };
      },
    };
  },
};

/** The gradient of a bias, a row in f32. */
function biasStore({ vector }: RowFormat): ColumnStore {
  return {
    name: vector ? "bias" : "bias.tail",
    fragments: [
      accumulatedRows({
        name: "bias_gradient",
        format: { dtype: "f32", vector },
        dim: "out_features",
      }),
      {
        code: `fn store_sum(column: u32, sum: vec4f) {
          add_bias_gradient(0u, column, sum);
        }`,
      },
    ],
  };
}

/** The ops, for plans. */
export const PROJECTION_OPS: {
  readonly project: LayerOp<ProjectionOptions>;
  readonly projectBackward: LayerOp<ProjectionBackwardOptions>;
} = { project, projectBackward };
