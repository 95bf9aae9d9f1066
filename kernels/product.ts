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
 * A lane has 4 rows and some quads of columns, so a block of the left serves all
 * of these, weights and all. Where lanes go along rows alone, they read the
 * right alike. Sums go along depth in a fixed chain of `fma`, whatever the tile
 * is, so a row's bits do not depend on others.
 *
 * @module
 */

import type { KernelSource } from "../src/core/kernel.ts";
import { groupEntry } from "./entry.ts";
import { type Fragment, kernelOf } from "./fragment.ts";
import { wgsl } from "./wgsl.ts";

/**
 * How a workgroup's lanes share a tile of a product.
 *
 * @category Kernels
 */
export interface ProductTile {
  /** Lanes along rows, of 4 rows each. */
  readonly rowLanes: number;
  /** Lanes along columns. */
  readonly columnLanes: number;
  /** Columns of a lane, in quads. */
  readonly columnQuads: number;
}

/** The tile where nothing else is said: neighbours have neighbouring columns. */
export const PRODUCT_TILE: ProductTile = {
  rowLanes: 8,
  columnLanes: 8,
  columnQuads: 1,
};

/** How many tiles a product of so many rows and columns has: its uniforms. */
export function productTiles(
  tile: ProductTile,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): { readonly row_tiles: number; readonly column_tiles: number } {
  return {
    row_tiles: Math.ceil(rows / productRows(tile)),
    column_tiles: Math.ceil(columns / productColumns(tile)),
  };
}

/** Rows of a tile. */
export function productRows({ rowLanes }: ProductTile): number {
  return 4 * rowLanes;
}

/** Columns of a tile. */
export function productColumns(
  { columnLanes, columnQuads }: ProductTile,
): number {
  return 4 * columnLanes * columnQuads;
}

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
  /** 4 depths of one more column, whose 4 sums are `more`. */
  readonly more?: string;
}

/**
 * A kernel's main part. Names that it has are the first of a lane's `row`s, and `row_end`, one past the tile's last; of each
 * quad `$c` the first column, `column_$c`.
 */
export interface ProductParts {
  /** A readable name. */
  readonly label: string;
  /** The tile; {@linkcode PRODUCT_TILE} by default. */
  readonly tile?: ProductTile;
  /** What operands and epilogue need. */
  readonly fragments: readonly Fragment[];
  /** What the number `place` stands for; lanes of places past the end return. */
  readonly places: string;
  /** How many rows there are, in WGSL; lanes past them do nothing. */
  readonly rows: string;
  /** How many columns; quads past them are the last one again. */
  readonly columns: string;
  /** What stands before the products. */
  readonly begin?: string;
  /** The terms, in the order in which they are added. */
  readonly terms: readonly ProductTerm[];
  /**
   * What becomes of a quad's `sum_0` to `sum_3`, each of a row's 4 columns from
   * `column` on; not of one that is there again.
   */
  readonly epilogue: string;
}

/** The kernel of a product. */
export function productKernel(
  {
    label,
    tile = PRODUCT_TILE,
    fragments,
    places,
    rows,
    columns,
    begin = "",
    terms,
    epilogue,
  }: ProductParts,
): KernelSource {
  const { rowLanes, columnLanes, columnQuads } = tile;
  return kernelOf({
    label: `${label}.${rowLanes}x${columnLanes}x${columnQuads}`,
    fragments: [
      ...fragments,
      { uniforms: { row_tiles: "u32", column_tiles: "u32" } },
    ],
    main: groupEntry(
      rowLanes * columnLanes,
      wgsl(PRODUCT, {
        along: columnLanes === 1,
        rowLanes,
        columnLanes,
        quads: columnQuads,
        four: 4,
        tileRows: productRows(tile),
        tileColumns: productColumns(tile),
        places,
        rows,
        columns,
        begin,
        terms: terms.map((term) => sumOf(term, tile)).join("\n"),
        more: terms.some(({ more }) => more !== undefined),
        epilogue,
      }),
    ),
  });
}

/** Adds a term to the sums. */
export function sumOf(
  { first = "0u", depth, left, right, more }: ProductTerm,
  { columnQuads }: ProductTile,
): string {
  return wgsl(
    `
    for (var depth = $first; depth < $depth; depth += 4u) {
      let left = $left;
      @if more
      let column_more = $columnMore;
      @each k in four
      more = fma(left[$k], vec4f(column_more[$k]), more);
      @end
      @end
      @each c in quads
      {
        let column = column_$c;
        let right = $right;
        @each k in four
        @each r in four
        sum_$r_$c = fma(vec4f(left[$k][$r]), right[$k], sum_$r_$c);
        @end
        @end
      }
      @end
    }
    `,
    {
      first,
      depth,
      left,
      right,
      more: more !== undefined,
      columnMore: more ?? "",
      quads: columnQuads,
      four: 4,
    },
  );
}

const PRODUCT = `
let column_tile = group % params.column_tiles;
let row_tile = group / params.column_tiles % params.row_tiles;
let place = group / (params.column_tiles * params.row_tiles);
$places
let row_end = (row_tile + 1u) * $tileRows;
let columns = $columns;
if (column_tile * $tileColumns >= columns) {
  return;
}
let last_column = (columns - 1u) / 4u * 4u;
@if along
let row = row_tile * $tileRows + 4u * lane;
let first_column = column_tile * $tileColumns;
@else
let row = row_tile * $tileRows + 4u * (lane / $columnLanes);
let first_column = column_tile * $tileColumns + 4u * (lane % $columnLanes);
@end
if (row >= $rows) {
  return;
}
@each c in quads
let column_$c = min(first_column + $c * 4u * $columnLanes, last_column);
@each r in four
var sum_$r_$c = vec4f(0.0);
@end
@end
@if more
var more = vec4f(0.0);
@end
$begin
$terms
@each c in quads
if (first_column + $c * 4u * $columnLanes <= last_column) {
  let column = column_$c;
  @each r in four
  let sum_$r = sum_$r_$c;
  @end
  $epilogue
}
@end
`;
