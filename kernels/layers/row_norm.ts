/**
 * Rows divided by their length: RMSNorm (Zhang and Sennrich 2019), and the
 * l2-normalised queries and keys of the delta rule.
 *
 * ```text
 * r = 1 / sqrt(c sum(x^2) + eps)    n = r x    y = n w
 * g = dy w    dx = r (g - c n <g, n>)    dw = sum over rows of dy n
 * ```
 *
 * with c one over the width for RMSNorm, and 1 for the l2 norm. A row is summed
 * by the lanes of its own, in their order: its bits depend on the row alone.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { accumulatedRows } from "../fragments/accumulate.ts";
import { dot4 } from "../fragments/dot.ts";
import { laneSum } from "../fragments/lane_sum.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { groupEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import type { ColumnTerms } from "./column_sums.ts";

/**
 * What the source of a row norm's kernels depends on.
 *
 * @category Kernels
 */
export interface RowNormSpec {
  /** Rows of input and output, and of their gradients. */
  readonly format: RowFormat;
  /** The weight, a row of its own; without one, rows are just divided. */
  readonly weight?: RowFormat | undefined;
}

/** Invocations of a workgroup. */
export const ROW_NORM_LANES = 64;

/** Those of them that have a row together. */
export const LANES_PER_ROW = 16;

/** Rows of a workgroup. */
export const NORM_ROWS: number = ROW_NORM_LANES / LANES_PER_ROW;

/** Rows of an input, by their binding. */
function rows(name: string, format: RowFormat): Fragment {
  return loadRow({
    name: `load_${name}`,
    bindings: [rowBinding(name, format)],
    format,
    dim: "width",
  });
}

function writtenRows(name: string, format: RowFormat): Fragment {
  return storeRow({
    name: `store_${name}`,
    bindings: [rowBinding(name, format, "read_write")],
    format,
    dim: "width",
  });
}

function weightRow(weight: RowFormat | undefined): Fragment[] {
  return weight ? [rows("weight", weight)] : [];
}

const SIZES: Fragment = {
  uniforms: {
    row_count: "u32",
    row_stride: "u32",
    width_vecs: "u32",
    /** c of the equations. */
    mean: "f32",
    eps: "f32",
  },
};

function label(kernel: string, { format, weight }: RowNormSpec): string {
  return `layers.row_norm.${kernel}/${format.dtype}` +
    (weight ? `.${weight.dtype}` : "");
}

function main(body: string, { weight }: RowNormSpec): string {
  const scope = {
    width: LANES_PER_ROW,
    rows: NORM_ROWS,
    weight: weight !== undefined,
  };
  return groupEntry(ROW_NORM_LANES, wgsl(BEGIN + body, scope));
}

/**
 * Normalises rows; four of them a workgroup.
 *
 * @example Rows with a weight
 * ```ts
 * import { rowFormat, rowNormKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const format = rowFormat("f16", 64);
 * const { bindings } = rowNormKernel({ format, weight: rowFormat("f32", 64) });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "input",
 *   "weight",
 *   "output",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function rowNormKernel(spec: RowNormSpec): KernelSource {
  return kernelOf({
    label: label("forward", spec),
    fragments: [
      rows("input", spec.format),
      ...weightRow(spec.weight),
      writtenRows("output", spec.format),
      dot4,
      laneSum({ lanes: ROW_NORM_LANES, width: LANES_PER_ROW, type: "f32" }),
      SIZES,
    ],
    main: main(FORWARD, spec),
  });
}

/**
 * The gradient by the rows; with a weight also the factor r of each row, for
 * the gradient by the weight.
 */
export function rowNormBackwardKernel(spec: RowNormSpec): KernelSource {
  return kernelOf({
    label: label("backward", spec),
    fragments: [
      rows("input", spec.format),
      rows("output_gradient", spec.format),
      ...weightRow(spec.weight),
      accumulatedRows({
        name: "input_gradient",
        format: spec.format,
        dim: "width",
      }),
      ...(spec.weight ? [rowFactors("read_write")] : []),
      dot4,
      laneSum({ lanes: ROW_NORM_LANES, width: LANES_PER_ROW, type: "vec2f" }),
      SIZES,
    ],
    main: main(BACKWARD, spec),
  });
}

function rowFactors(access: "read" | "read_write"): Fragment {
  return { bindings: [{ name: "row_factors", type: "array<f32>", access }] };
}

/** What a row adds to the gradient by the weight. */
export function rowNormTerms({ format }: RowNormSpec): ColumnTerms {
  return {
    name: `row_norm.${format.dtype}`,
    fragments: [
      rows("input", format),
      rows("output_gradient", format),
      rowFactors("read"),
      {
        uniforms: { row_stride: "u32" },
        code: wgsl(`
          fn term(row: u32, column: u32) -> vec4f {
            let at = row * params.row_stride;
            return load_output_gradient(at, column) * load_input(at, column) * row_factors[row];
          }
        `),
      },
    ],
  };
}

const BEGIN = `
let own = lane % $width;
let row = group * $rows + lane / $width;
let live = row < params.row_count;
// Lanes past the last row go along with it: all must reach the barriers.
let at = min(row, params.row_count - 1u) * params.row_stride;
`;

const FORWARD = `
var squares = 0.0;
for (var vec = own; vec < params.width_vecs; vec += $width) {
  let x = load_input(at, vec);
  squares = dot4(squares, x, x);
}
let factor = inverseSqrt(sum_lanes(squares, lane) * params.mean + params.eps);
if (live) {
  for (var vec = own; vec < params.width_vecs; vec += $width) {
    @if weight
    store_output(at, vec, load_input(at, vec) * factor * load_weight(0u, vec));
    @else
    store_output(at, vec, load_input(at, vec) * factor);
    @end
  }
}
`;

const BACKWARD = `
var sums = vec2f(0.0);
for (var vec = own; vec < params.width_vecs; vec += $width) {
  let x = load_input(at, vec);
  @if weight
  let g = load_output_gradient(at, vec) * load_weight(0u, vec);
  @else
  let g = load_output_gradient(at, vec);
  @end
  sums = vec2f(dot4(sums.x, x, x), dot4(sums.y, g, x));
}
let total = sum_lanes(sums, lane);
let factor = inverseSqrt(total.x * params.mean + params.eps);
// What <g, n> n is of x, with one r for each n; the third is before the whole.
let along = params.mean * factor * factor * total.y;
if (live) {
  for (var vec = own; vec < params.width_vecs; vec += $width) {
    @if weight
    let g = load_output_gradient(at, vec) * load_weight(0u, vec);
    @else
    let g = load_output_gradient(at, vec);
    @end
    add_input_gradient(at, vec, factor * (g - along * load_input(at, vec)));
  }
  @if weight
  if (own == 0u) {
    row_factors[row] = factor;
  }
  @end
}
`;
