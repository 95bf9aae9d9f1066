/**
 * Rows of a tensor, read and written four elements at a time whatever the head
 * dim and the storage type are: the loops above only ever see `vec4f`.
 *
 * @module
 */

import type { DType } from "../../src/core/dtype.ts";

/** How the rows of a tensor lie in its buffer. */
export interface RowFormat {
  /** The storage type; arithmetic is always f32. */
  readonly dtype: DType;
  /** Whether rows are whole vec4s (the head dim is a multiple of 4). */
  readonly vector: boolean;
}

/** Bits of a base address that hold the offset; those above hold the segment. */
export const SEGMENT_SHIFT = 28;

/** Segments that fit into those bits. */
export const MOST_SEGMENTS: number = 2 ** (32 - SEGMENT_SHIFT);

/** The format of rows of `dim` elements (or of several dims in one buffer). */
export function rowFormat(dtype: DType, ...dims: number[]): RowFormat {
  return { dtype, vector: dims.every((dim) => dim % 4 === 0) };
}

/** The WGSL type of a buffer of such rows. */
export function storageType({ dtype, vector }: RowFormat): string {
  return vector ? `array<vec4<${dtype}>>` : `array<${dtype}>`;
}

/** Storage units (vec4s, or elements) from one row to the next. */
export function rowStride({ vector }: RowFormat, dim: number): number {
  return vector ? dim / 4 : dim;
}

/** A WGSL function and the buffers and dimension it works on. */
export interface RowAccess {
  /** The function's name. */
  readonly name: string;
  /** Storage bindings; with several, the base's upper bits choose one. */
  readonly bindings: readonly string[];
  /** The rows' format. */
  readonly format: RowFormat;
  /** The uniform that holds the row's element count. */
  readonly dim: string;
}

/**
 * `fn name(base, vec) -> vec4f`: the `vec`-th four elements of the row at
 * `base` (in storage units). Elements past the row's end read as zero, so a
 * dot product over whole vec4s is exact for any head dim.
 */
export function loadRow({ name, bindings, format, dim }: RowAccess): string {
  const [first] = bindings;
  const load = (buffer: string, at: string) =>
    format.vector
      ? `return vec4f(${buffer}[${at} + vec]);`
      : `return load_tail(f32(${buffer}[${at} + i]), f32(${buffer}[${at} + min(i + 1u, last)]),
    f32(${buffer}[${at} + min(i + 2u, last)]), f32(${buffer}[${at} + min(i + 3u, last)]), i, last);`;
  const prologue = format.vector
    ? ""
    : `  let i = 4u * vec;\n  let last = params.${dim} - 1u;\n`;
  if (bindings.length === 1) {
    return `fn ${name}(base: u32, vec: u32) -> vec4f {
${prologue}  ${load(first, "base")}
}`;
  }
  const cases = bindings.map((buffer, s) =>
    `    ${s === bindings.length - 1 ? "default" : `case ${s}u`}: { ${
      load(buffer, "at")
    } }`
  );
  return `fn ${name}(base: u32, vec: u32) -> vec4f {
${prologue}  let at = base & ${2 ** SEGMENT_SHIFT - 1}u;
  switch base >> ${SEGMENT_SHIFT}u {
${cases.join("\n")}
  }
}`;
}

/** The helper that {@linkcode loadRow} needs for rows that are not vec4s. */
export const loadTailFragment: string =
  `fn load_tail(x: f32, y: f32, z: f32, w: f32, i: u32, last: u32) -> vec4f {
  return vec4f(x, select(0.0, y, i + 1u <= last), select(0.0, z, i + 2u <= last),
    select(0.0, w, i + 3u <= last));
}`;

/** `fn name(base, vec, value: vec4f)`: writes what {@linkcode loadRow} reads. */
export function storeRow({ name, bindings, format, dim }: RowAccess): string {
  const [buffer] = bindings;
  if (format.vector) {
    return `fn ${name}(base: u32, vec: u32, value: vec4f) {
  ${buffer}[base + vec] = vec4<${format.dtype}>(value);
}`;
  }
  const tail = [1, 2, 3].map((c) =>
    `  if (i + ${c}u < params.${dim}) { ${buffer}[base + i + ${c}u] = ${format.dtype}(value[${c}]); }`
  ).join("\n");
  return `fn ${name}(base: u32, vec: u32, value: vec4f) {
  let i = 4u * vec;
  ${buffer}[base + i] = ${format.dtype}(value[0]);
${tail}
}`;
}
