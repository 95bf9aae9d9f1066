/**
 * Sums over rows: what a weight that every row uses gets of them as a gradient.
 * Rows are summed in chunks, and then the chunks, each in order: the result is
 * repeatable, and no sum is as long as the rows are many.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { invocationEntry } from "../entry.ts";
import { type Fragment, kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/** What is summed. */
export interface ColumnTerms {
  /** A name for the label. */
  readonly name: string;
  /** Fragments of which one declares `fn term(row: u32, column: u32) -> vec4f`. */
  readonly fragments: readonly Fragment[];
}

/** Where sums go. */
export interface ColumnStore {
  /** A name for the label. */
  readonly name: string;
  /** Fragments of which one declares `fn store_sum(column: u32, sum: vec4f)`. */
  readonly fragments: readonly Fragment[];
}

/** Invocations of a workgroup. */
export const COLUMN_LANES = 64;

function sums(access: "read" | "read_write"): Fragment {
  return {
    bindings: [{ name: "sums", type: "array<vec4f>", access }],
    uniforms: { columns: "u32", chunks: "u32" },
  };
}

/** The sums of the chunks; one invocation a chunk and column of four. */
export function chunkSumsKernel(
  { name, fragments }: ColumnTerms,
): KernelSource {
  return kernelOf({
    label: `layers.column_sums.chunks/${name}`,
    fragments: [
      ...fragments,
      sums("read_write"),
      { uniforms: { rows: "u32", chunk_rows: "u32" } },
    ],
    main: invocationEntry(COLUMN_LANES, wgsl(CHUNKS)),
  });
}

/** The sum over chunks; one invocation a column of four. */
export function columnSumsKernel(
  { name, fragments }: ColumnStore,
): KernelSource {
  return kernelOf({
    label: `layers.column_sums.total/${name}`,
    fragments: [sums("read"), ...fragments],
    main: invocationEntry(COLUMN_LANES, wgsl(TOTAL)),
  });
}

const CHUNKS = `
let chunk = index / params.columns;
let column = index - chunk * params.columns;
if (chunk >= params.chunks) {
  return;
}
let end = min((chunk + 1u) * params.chunk_rows, params.rows);
var sum = vec4f(0.0);
for (var row = chunk * params.chunk_rows; row < end; row++) {
  sum += term(row, column);
}
sums[index] = sum;
`;

const TOTAL = `
if (index >= params.columns) {
  return;
}
var sum = vec4f(0.0);
for (var chunk = 0u; chunk < params.chunks; chunk++) {
  sum += sums[chunk * params.columns + index];
}
store_sum(index, sum);
`;
