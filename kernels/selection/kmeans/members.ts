/**
 * The rows that k-means groups, and the rows that it groups them by: what its
 * kernels share. All rows are f32; a row counts by its direction, so beside it
 * stands what it is to be multiplied by to be one long.
 *
 * ```text
 * rows [heads, members, headDim]     scales [heads, members]: 1 / |row|, or 0
 * centroids [heads, clusters, headDim]
 * ```
 *
 * @module
 */

import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../../fragments/rows.ts";
import type { Fragment } from "../../fragment.ts";

/**
 * What the source of the k-means kernels depends on.
 *
 * @category Kernels
 */
export interface KmeansSpec {
  /** The rows' format; f32. */
  readonly format: RowFormat;
}

/** `load_row(base, vec)`: four elements of a member's row. */
export function memberRows(format: RowFormat): Fragment {
  return rowsOf("row", "rows", format);
}

/** `load_centroid(base, vec)`. */
export function centroidRows(
  format: RowFormat,
  access: "read" | "read_write" = "read",
): Fragment {
  return rowsOf("centroid", "centroids", format, access);
}

/** `store_{name}(base, vec, value)`. */
export function storedRows(
  name: string,
  binding: string,
  format: RowFormat,
): Fragment {
  return storeRow({
    name: `store_${name}`,
    bindings: [rowBinding(binding, format, "read_write")],
    format,
    dim: "head_dim",
  });
}

function rowsOf(
  name: string,
  binding: string,
  format: RowFormat,
  access: "read" | "read_write" = "read",
): Fragment {
  return loadRow({
    name: `load_${name}`,
    bindings: [rowBinding(binding, format, access)],
    format,
    dim: "head_dim",
  });
}

/** What members are to be multiplied by to be one long. */
export const scales: Fragment = {
  bindings: [{ name: "scales", type: "array<f32>", access: "read" }],
};

/** How many heads and members there are, and how far their rows are apart. */
export const sizes: Fragment = {
  uniforms: {
    heads: "u32",
    members: "u32",
    row_stride: "u32",
    head_vecs: "u32",
  },
};

/** How many rows members are grouped by. */
export const clusterCount: Fragment = { uniforms: { clusters: "u32" } };
