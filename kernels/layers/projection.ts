/**
 * A projection of rows, and its gradients, as products of matrices:
 *
 * ```text
 * Y = c X W^T + b    dX = c dY W    dW = c dY^T X
 * ```
 *
 * with a factor c, X `[rows, in]`, W `[out, in]` and Y `[rows, out]`.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import type { Fragment } from "../fragment.ts";
import { accumulatedRows } from "../fragments/accumulate.ts";
import { loadRow, rowBinding, type RowFormat } from "../fragments/rows.ts";
import { productKernel } from "../product.ts";
import { wgsl } from "../wgsl.ts";
import type { ColumnTerms } from "./column_sums.ts";

/**
 * What the source of a projection's kernels depends on.
 *
 * @category Kernels
 */
export interface ProjectionSpec {
  /** Rows of the input, and of the gradient by it. */
  readonly input: RowFormat;
  /** Rows of the weight: of `in` elements. */
  readonly weight: RowFormat;
  /** Rows of the output, and of the gradient by it. */
  readonly output: RowFormat;
  /** Whether there is a bias, of the weight's type. */
  readonly bias: boolean;
}

/** A matrix: its binding, and the uniforms of its sizes. */
interface Matrix {
  readonly name: string;
  readonly format: RowFormat;
  /** How many rows there are. */
  readonly rows: "rows" | "out_features";
  /** How many elements a row has. */
  readonly dim: "in_features" | "out_features";
}

const INPUT = { name: "input", rows: "rows", dim: "in_features" } as const;
const WEIGHT = {
  name: "weight",
  rows: "out_features",
  dim: "in_features",
} as const;
const OUTPUT_GRADIENT = {
  name: "output_gradient",
  rows: "rows",
  dim: "out_features",
} as const;

/** Sizes and strides; strides are in storage units. */
function sizes({ rows, dim, name }: Omit<Matrix, "format">): Fragment {
  return {
    uniforms: { [rows]: "u32", [dim]: "u32", [`${name}_stride`]: "u32" },
  };
}

/** `{name}_block(row, vec)`: 4 rows, each of the `vec`-th 4 elements. */
function blocks({ name, format, rows, dim }: Matrix): Fragment {
  return {
    needs: [
      loadRow({
        name: `load_${name}`,
        bindings: [rowBinding(name, format)],
        format,
        dim,
      }),
      sizes({ name, rows, dim }),
    ],
    code: wgsl(
      `
      fn $block(row: u32, vec: u32) -> mat4x4f {
        var block = mat4x4f();
        @each j in quad
        if (row + $j < params.$rows) {
          block[$j] = $load((row + $j) * params.$stride, vec);
        }
        @end
        return block;
      }
      `,
      {
        block: `${name}_block`,
        load: `load_${name}`,
        stride: `${name}_stride`,
        rows,
        quad: 4,
      },
    ),
  };
}

/** One place alone. */
const ONE_PLACE = `
if (place > 0u) {
  return;
}
`;

/** The factor of all products. */
const SCALE: Fragment = { uniforms: { scale: "f32" } };

/** What becomes of sums: `{call}(base, vec, scale * sum)` of each row. */
function stored(
  { rows, name, call, bias = false }: {
    readonly rows: Matrix["rows"];
    readonly name: string;
    readonly call: string;
    readonly bias?: boolean;
  },
): string {
  return wgsl(
    `
    @each r in quad
    if (row + $r < params.$rows) {
      @if bias
      $call((row + $r) * params.$stride, column / 4u, params.scale * sum_$r + load_bias(0u, column / 4u));
      @else
      $call((row + $r) * params.$stride, column / 4u, params.scale * sum_$r);
      @end
    }
    @end
    `,
    { quad: 4, rows, call, stride: `${name}_stride`, bias },
  );
}

function label(kernel: string, { input, weight }: ProjectionSpec): string {
  return `layers.projection.${kernel}/${input.dtype}.${weight.dtype}`;
}

/**
 * Projects rows.
 *
 * @example Weights in f16 for rows in f32
 * ```ts
 * import { projectionKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = projectionKernel({
 *   input: rowFormat("f32", 64),
 *   weight: rowFormat("f16", 64),
 *   output: rowFormat("f32", 30),
 *   bias: false,
 * });
 * assertEquals(bindings.map(({ type }) => type), [
 *   "array<vec4<f32>>",
 *   "array<vec4<f16>>",
 *   "array<f32>",
 *   "Params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function projectionKernel(spec: ProjectionSpec): KernelSource {
  const { input, weight, output, bias } = spec;
  return productKernel({
    label: label("forward", spec) + (bias ? ".bias" : ""),
    fragments: [
      blocks({ ...INPUT, format: input }),
      blocks({ ...WEIGHT, format: weight }),
      ...(bias ? [biasRow({ weight, output })] : []),
      accumulatedRows({ name: "output", format: output, dim: "out_features" }),
      sizes({ name: "output", rows: "rows", dim: "out_features" }),
      SCALE,
    ],
    places: ONE_PLACE,
    rows: "params.rows",
    columns: "params.out_features",
    terms: [{
      depth: "params.in_features",
      left: "transpose(input_block(row, depth / 4u))",
      right: "transpose(weight_block(column, depth / 4u))",
    }],
    epilogue: stored({
      rows: "rows",
      name: "output",
      call: "add_output",
      bias,
    }),
  });
}

function biasRow(
  { weight, output }: Pick<ProjectionSpec, "weight" | "output">,
): Fragment {
  const format = { dtype: weight.dtype, vector: output.vector };
  return loadRow({
    name: "load_bias",
    bindings: [rowBinding("bias", format)],
    format,
    dim: "out_features",
  });
}

/** The gradient by the rows. */
export function projectionInputGradientKernel(
  spec: ProjectionSpec,
): KernelSource {
  const { input, weight, output } = spec;
  return productKernel({
    label: label("input_gradient", spec),
    fragments: [
      blocks({ ...OUTPUT_GRADIENT, format: output }),
      blocks({ ...WEIGHT, format: weight }),
      accumulatedRows({
        name: "input_gradient",
        format: input,
        dim: "in_features",
      }),
      sizes(INPUT),
      SCALE,
    ],
    places: ONE_PLACE,
    rows: "params.rows",
    columns: "params.in_features",
    terms: [{
      depth: "params.out_features",
      left: "transpose(output_gradient_block(row, depth / 4u))",
      right: "weight_block(depth, column / 4u)",
    }],
    epilogue: stored({
      rows: "rows",
      name: "input",
      call: "add_input_gradient",
    }),
  });
}

/** The gradient by the weight, of the rows from `first_row` on, in f32. */
export function projectionWeightGradientKernel(
  spec: ProjectionSpec,
): KernelSource {
  const { input, output } = spec;
  return productKernel({
    label: label("weight_gradient", spec),
    fragments: [
      blocks({ ...OUTPUT_GRADIENT, format: output }),
      blocks({ ...INPUT, format: input }),
      accumulatedRows({
        name: "weight_gradient",
        format: { dtype: "f32", vector: input.vector },
        dim: "in_features",
      }),
      sizes(WEIGHT),
      SCALE,
      { uniforms: { first_row: "u32", own_rows: "u32" } },
    ],
    places: ONE_PLACE,
    rows: "params.out_features",
    columns: "params.in_features",
    terms: [{
      depth: "params.own_rows",
      left: "output_gradient_block(params.first_row + depth, row / 4u)",
      right: "input_block(params.first_row + depth, column / 4u)",
    }],
    epilogue: stored({
      rows: "out_features",
      name: "weight",
      call: "add_weight_gradient",
    }),
  });
}

/** What a row adds to the gradient by the bias. */
export function projectionBiasTerms({ output }: ProjectionSpec): ColumnTerms {
  return {
    name: `projection.${output.dtype}`,
    fragments: [
      loadRow({
        name: "load_output_gradient",
        bindings: [rowBinding("output_gradient", output)],
        format: output,
        dim: "out_features",
      }),
      {
        uniforms: { output_gradient_stride: "u32" },
        code: wgsl(`
          fn term(row: u32, column: u32) -> vec4f {
            return load_output_gradient(row * params.output_gradient_stride, column);
          }
        `),
      },
    ],
  };
}
