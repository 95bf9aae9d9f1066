/**
 * The one product of matrices that projections and linear attention's kernels
 * are instances of:
 *
 * ```text
 * sum[row, column] = sum over terms, over depth of left[row, depth] right[depth, column]
 * ```
 *
 * at each of several places. What is multiplied comes in blocks of 4 x 4, which
 * operands load, weigh and fill with zeros past their ends; what becomes of the
 * sums is the kernel's.
 *
 * A lane has a block of 4 rows and 4 columns, a workgroup 8 x 8 lanes. Sums go
 * along depth in a fixed chain of `fma`, so a row's bits do not depend on others.
 *
 * @module
 */

import type { KernelSource } from "../src/core/kernel.ts";
import { type Fragment, kernelOf } from "./fragment.ts";
import { wgsl } from "./wgsl.ts";

/** Lanes of a workgroup along rows, and along columns. */
const SIDE = 8;

/** Rows of a workgroup's tile, and its columns. */
export const PRODUCT_TILE: number = 4 * SIDE;

/** A product that is added to the sums. */
export interface ProductTerm {
  /** Where its depth begins, a multiple of 4, in WGSL; at 0 by default. */
  readonly first?: string;
  /** The end of its depth, in WGSL; sums go in steps of 4. */
  readonly depth: string;
  /** A block of 4 depths, each of 4 rows: at `row` and `depth`. */
  readonly left: string;
  /** A block of 4 depths, each of 4 columns: at `depth` and `column`. */
  readonly right: string;
}

/**
 * A kernel's main part: names that it has are the first of its 4 `row`s and of
 * its 4 `column`s.
 */
export interface ProductParts {
  /** A readable name. */
  readonly label: string;
  /** What operands and epilogue need. */
  readonly fragments: readonly Fragment[];
  /** What the number `place` stands for; lanes of places past the end return. */
  readonly places: string;
  /** How many rows and columns there are, in WGSL; lanes past them do nothing. */
  readonly rows: string;
  readonly columns: string;
  /** What stands before the products. */
  readonly begin?: string;
  /** The terms, in the order in which they are added. */
  readonly terms: readonly ProductTerm[];
  /** What becomes of `sum_0` to `sum_3`, each of a row's 4 columns. */
  readonly epilogue: string;
}

/** The kernel of a product. */
export function productKernel(
  { label, fragments, places, rows, columns, begin = "", terms, epilogue }:
    ProductParts,
): KernelSource {
  return kernelOf({
    label,
    fragments: [
      ...fragments,
      { uniforms: { row_tiles: "u32", column_tiles: "u32" } },
    ],
    main: wgsl(PRODUCT, {
      lanes: SIDE * SIDE,
      side: SIDE,
      places,
      rows,
      columns,
      begin,
      terms: terms.map(sumOf).join("\n"),
      epilogue,
    }),
  });
}

/** Adds a term to the sums. */
export function sumOf(
  { first = "0u", depth, left, right }: ProductTerm,
): string {
  return wgsl(
    `
    for (var depth = $first; depth < $depth; depth += 4u) {
      let left = $left;
      let right = $right;
      @each k in quad
      @each r in quad
      sum_$r = fma(vec4f(left[$k][$r]), right[$k], sum_$r);
      @end
      @end
    }
    `,
    { first, depth, left, right, quad: 4 },
  );
}

const PRODUCT = `
@compute @workgroup_size($lanes)
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let group = group_id.x + grid.x * (group_id.y + grid.y * group_id.z);
  let column_tile = group % params.column_tiles;
  let row_tile = group / params.column_tiles % params.row_tiles;
  let place = group / (params.column_tiles * params.row_tiles);
  $places
  let row = 4u * (row_tile * $side + lane / $side);
  let column = 4u * (column_tile * $side + lane % $side);
  if (row >= $rows || column >= $columns) {
    return;
  }
  var sum_0 = vec4f(0.0);
  var sum_1 = vec4f(0.0);
  var sum_2 = vec4f(0.0);
  var sum_3 = vec4f(0.0);
  $begin
  $terms
  $epilogue
}
`;
