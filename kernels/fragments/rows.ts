/**
 * Rows of a tensor, read and written four elements at a time whatever the head
 * dim and the storage type are: the loops above only ever see `vec4f`.
 *
 * @module
 */

import type { DType } from "../../src/core/dtype.ts";
import type { Binding } from "../../src/core/kernel.ts";
import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * How the rows of a tensor lie in its buffer.
 *
 * @category Kernels
 */
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

/**
 * The format of rows of `dim` elements (or of several dims in one buffer).
 *
 * @example Rows of 64, and keys of 64 beside values of 30
 * ```ts
 * import { rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(rowFormat("f16", 64), { dtype: "f16", vector: true });
 * assertEquals(rowFormat("f32", 64, 30), { dtype: "f32", vector: false });
 * ```
 *
 * @category Kernels
 */
export function rowFormat(dtype: DType, ...dims: number[]): RowFormat {
  return { dtype, vector: dims.every((dim) => dim % 4 === 0) };
}

/** Storage units (vec4s, or elements) from one row to the next. */
export function rowStride({ vector }: RowFormat, dim: number): number {
  return vector ? dim / 4 : dim;
}

/** The binding of a buffer of such rows. */
export function rowBinding(
  name: string,
  { dtype, vector }: RowFormat,
  access: "read" | "read_write" = "read",
): Binding {
  return {
    name,
    type: vector ? `array<vec4<${dtype}>>` : `array<${dtype}>`,
    access,
  };
}

/** A function that reads or writes rows. */
export interface RowAccess {
  /** Its name. */
  readonly name: string;
  /** Storage bindings; with several, the base's upper bits choose one. */
  readonly bindings: readonly Binding[];
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
export function loadRow({ name, bindings, format, dim }: RowAccess): Fragment {
  const buffers = bindings.map((binding) => binding.name);
  const several = buffers.length > 1;
  const cases = buffers.slice(0, -1).map((buffer, segment) =>
    `case ${segment}u: { ${readVec(format, buffer)} }`
  );
  return {
    needs: format.vector ? [] : [tailVec],
    bindings,
    uniforms: format.vector ? {} : { [dim]: "u32" },
    code: wgsl(
      `
      fn $name(base: u32, vec: u32) -> vec4f {
        @if not vector
        let i = 4u * vec;
        let last = params.$dim - 1u;
        @end
        @if several
        let at = base & $mask;
        switch base >> $shift {
          $cases
          default: { $read }
        }
        @else
        let at = base;
        $read
        @end
      }
      `,
      {
        name,
        dim,
        several,
        vector: format.vector,
        mask: `${2 ** SEGMENT_SHIFT - 1}u`,
        shift: `${SEGMENT_SHIFT}u`,
        cases: cases.join("\n"),
        read: readVec(format, buffers.at(-1)!),
      },
    ),
  };
}

function readVec({ vector }: RowFormat, buffer: string): string {
  if (vector) return `return vec4f(${buffer}[at + vec]);`;
  const elements = ["i", "min(i + 1u, last)", "min(i + 2u, last)"]
    .concat("min(i + 3u, last)")
    .map((i) => `f32(${buffer}[at + ${i}])`);
  return `return tail_vec(vec4f(${elements.join(", ")}), last - i);`;
}

/** Four elements of which those past the row's end become zero. */
const tailVec: Fragment = {
  code: wgsl(`
    fn tail_vec(value: vec4f, more: u32) -> vec4f {
      return select(vec4f(0.0), value, vec4u(0u, 1u, 2u, 3u) <= vec4u(more));
    }
  `),
};

/** `fn name(base, vec, value: vec4f)`: writes what {@linkcode loadRow} reads. */
export function storeRow(
  { name, bindings, format, dim }: RowAccess,
): Fragment {
  const { vector, dtype } = format;
  return {
    bindings,
    uniforms: vector ? {} : { [dim]: "u32" },
    code: wgsl(
      `
      fn $name(base: u32, vec: u32, value: vec4f) {
        @if vector
        $buffer[base + vec] = vec4<$dtype>(value);
        @else
        let i = 4u * vec;
        $buffer[base + i] = $dtype(value[0]);
        @each c in tail
        if (i + $c < params.$dim) { $buffer[base + i + $c] = $dtype(value[$c]); }
        @end
        @end
      }
      `,
      { name, buffer: bindings[0].name, dtype, dim, vector, tail: [1, 2, 3] },
    ),
  };
}

/** Where the rows of a tensor are. */
export interface RowPlaces {
  /** The function is `{name}_place`. */
  readonly name: string;
  /** By whose strides; by its own, `{name}_token_stride` and so on, by default. */
  readonly strides?: string;
  /** Whether the first row is at `{strides}_at`, not at 0. */
  readonly offset?: boolean;
  /**
   * Whether sequences are apart by a stride, and tokens count from the
   * sequence's first.
   */
  readonly batches?: boolean;
}

/** A call of the function that {@linkcode rowPlaces} declares. */
export function placeOf(
  { name, batches = false }: Pick<RowPlaces, "name" | "batches">,
  { batch, token, head }: {
    readonly batch: string;
    readonly token: string;
    readonly head: string;
  },
): string {
  const of = [...batches ? [batch] : [], token, head];
  return `${name}_place(${of.join(", ")})`;
}

/** `fn {name}_place([batch,] token, head) -> u32`: a row's base. */
export function rowPlaces(
  { name, strides = name, offset = false, batches = false }: RowPlaces,
): Fragment {
  const parameters = [
    ...batches ? ["batch: i32"] : [],
    "token: u32",
    "head: u32",
  ];
  const terms = [
    ...(offset ? [`params.${strides}_at`] : []),
    ...(batches ? [`u32(batch) * params.${strides}_batch_stride`] : []),
    `token * params.${strides}_token_stride`,
    `head * params.${strides}_head_stride`,
  ];
  return {
    uniforms: {
      ...(offset && { [`${strides}_at`]: "u32" }),
      [`${strides}_token_stride`]: "u32",
      [`${strides}_head_stride`]: "u32",
      ...(batches && { [`${strides}_batch_stride`]: "u32" }),
    },
    code: wgsl(
      `
      fn $function($parameters) -> u32 {
        return $sum;
      }
      `,
      {
        function: `${name}_place`,
        parameters: parameters.join(", "),
        sum: terms.join(" + "),
      },
    ),
  };
}
