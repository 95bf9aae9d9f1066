// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * The dispatches of sums over rows.
 *
 * @module
 */

import {
  chunkSumsKernel,
  COLUMN_LANES,
  type ColumnStore,
  columnSumsKernel,
  type ColumnTerms,
} from "../../../kernels/layers/column_sums.ts";
import { checkInteger } from "../../core/check.ts";
import { flatGrid } from "../../gpu/program/dispatch.ts";
import type { Dispatch } from "../../gpu/mod.ts";

/** Rows of a chunk at least. */
const CHUNK_ROWS = 64;

/** Chunks at most, each of which the second sum reads. */
const MOST_CHUNKS = 1024;

/** Rows at most, so that a chunk is within any adapter's loops. */
const MOST_ROWS = 65000 * MOST_CHUNKS;

/** What is summed. */
export interface ColumnSums {
  /** Rows. */
  readonly rows: number;
  /** Columns of four elements. */
  readonly columns: number;
  /** What a row adds. */
  readonly terms: ColumnTerms;
  /** Where sums go. */
  readonly store: ColumnStore;
  /** Values of the uniforms of both. */
  readonly uniforms: Readonly<Record<string, number>>;
}

/**
 * The dispatches, and the bytes of the scratch `sums`.
 *
 * @throws {RangeError} for more rows than loops go through
 */
export function columnSums(
  { rows, columns, terms, store, uniforms }: ColumnSums,
  limits: GPUSupportedLimits,
): { readonly dispatches: Dispatch[]; readonly sums: number } {
  checkInteger("rows", rows, 0, MOST_ROWS);
  const chunkRows = Math.max(CHUNK_ROWS, Math.ceil(rows / MOST_CHUNKS));
  const chunks = Math.ceil(rows / chunkRows);
  const own = { ...uniforms, rows, columns, chunks, chunk_rows: chunkRows };
  const dispatch = (source: Dispatch["source"], count: number): Dispatch => ({
    source,
    uniforms: own,
    grid: flatGrid(count, COLUMN_LANES, limits),
  });
  const partial = chunks === 0
    ? []
    : [dispatch(chunkSumsKernel(terms), chunks * columns)];
  return {
    dispatches: [...partial, dispatch(columnSumsKernel(store), columns)],
    sums: Math.max(1, chunks) * columns * 16,
  };
}
