/**
 * Rotates rows (RoPE), each at the position of its token: queries, as the append
 * kernel rotates keys.
 *
 * An invocation has no loop but that over four elements.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { invocationEntry } from "../entry.ts";
import { kernelOf } from "../fragment.ts";
import { type RotaryPairing, rotatedRows } from "../fragments/rotary.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the rotation kernel's source depends on.
 *
 * @category Kernels
 */
export interface RotateSpec {
  /** Rows of input and output. */
  readonly format: RowFormat;
  /** Which elements make a pair. */
  readonly pairing: RotaryPairing;
}

/** Invocations of a workgroup. */
export const ROTATE_LANES = 64;

/**
 * The rotation kernel; one invocation four elements of a row. Row r is of token
 * `r / batch_rows * batch_tokens + r / token_rows % batch_tokens`, so that heads
 * may come before tokens.
 *
 * @example Halves, pair by pair
 * ```ts
 * import { rotateKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = rotateKernel({
 *   format: rowFormat("f16", 64),
 *   pairing: "interleaved",
 * });
 * assertEquals(bindings[1].type, "array<vec4<f16>>");
 * ```
 *
 * @category Kernels
 */
export function rotateKernel({ format, pairing }: RotateSpec): KernelSource {
  const dim = "head_dim";
  return kernelOf({
    label: `layers.rotate/${format.dtype}.${pairing}`,
    fragments: [
      loadRow({
        name: "load_row",
        bindings: [rowBinding("input", format)],
        format,
        dim,
      }),
      storeRow({
        name: "store_row",
        bindings: [rowBinding("output", format, "read_write")],
        format,
        dim,
      }),
      rotatedRows("row", pairing),
      {
        uniforms: {
          row_count: "u32",
          row_stride: "u32",
          head_vecs: "u32",
          batch_rows: "u32",
          batch_tokens: "u32",
          token_rows: "u32",
        },
      },
    ],
    main: invocationEntry(ROTATE_LANES, wgsl(ROTATE_ROWS)),
  });
}

const ROTATE_ROWS = `
let row = index / params.head_vecs;
let vec = index - row * params.head_vecs;
if (row >= params.row_count) {
  return;
}
let token = row / params.batch_rows * params.batch_tokens
  + row / params.token_rows % params.batch_tokens;
let at = row * params.row_stride;
store_row(at, vec, rotate_row(at, vec, positions[token]));
`;
