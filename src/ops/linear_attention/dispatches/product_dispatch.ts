/**
 * Dispatches of products, of which there is one for each chunk and head.
 *
 * @module
 */

import { type ProductTile, productTiles } from "../../../../kernels/product.ts";
import type { KernelSource } from "../../../core/kernel.ts";
import { foldGrid } from "../../../gpu/program/dispatch.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import type { Segment } from "../work/chunks.ts";
import type { LinearContext, LinearDispatch } from "../work/context.ts";

/** A dispatch of a product for each chunk and head of a segment. */
export function productDispatch(
  { spec, values, device }: LinearContext,
  segment: Segment,
  { source, tile = spec.tile, heads, rows, columns, uniforms, aliases, does }: {
    readonly source: KernelSource;
    /** Its tile; that of the spec by default. */
    readonly tile?: ProductTile;
    /** Heads that it is for. */
    readonly heads: number;
    /** Rows at most. */
    readonly rows: number;
    /** Columns at most. */
    readonly columns: number;
    /** Values that are its own. */
    readonly uniforms?: Readonly<Record<string, number>>;
    readonly aliases?: Dispatch["aliases"];
    readonly does: string;
  },
): LinearDispatch {
  const tiles = productTiles(tile, { rows, columns });
  const groups = segment.chunks.count * heads * tiles.row_tiles *
    tiles.column_tiles;
  return {
    source,
    uniforms: {
      ...values,
      ...segmentUniforms(segment),
      grid_heads: heads,
      ...tiles,
      ...uniforms,
    },
    grid: foldGrid(groups, device.limits),
    aliases,
    does,
  };
}

/** Values of the uniforms that say which chunks are worked on. */
export function segmentUniforms({ chunks }: Segment): Record<string, number> {
  return { chunks_at: chunks.at, chunk_count: chunks.count };
}
