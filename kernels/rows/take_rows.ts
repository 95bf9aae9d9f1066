/**
 * Takes rows of one tensor, in any order, into another: row `i` becomes that of
 * `rows[i]`, or zeros for {@linkcode NO_ROW}. Packing takes the rows of tokens
 * from a padded batch, unpacking takes the padded batch's from the packed rows,
 * and each is the other's transpose.
 *
 * What is moved are integers, as WGSL lets floats change on the way: NaNs their
 * payload, denormals their value. An invocation writes one unit, and has no
 * loop over data.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import type { CopyUnit } from "../cache/copy_blocks.ts";
import { invocationEntry } from "../entry.ts";
import { kernelOf } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/** The row that is none: zeros. */
export const NO_ROW = 0xffffffff;

/** Invocations of a workgroup. */
export const TAKE_ROWS_LANES = 64;

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface TakeRowsSpec {
  /** Bytes moved at once; 2 where a row need not be whole words. */
  readonly unit: CopyUnit;
}

/**
 * The kernel that takes rows; one invocation a unit, or for units of 2 bytes a
 * word of two of them.
 *
 * @example Rows of whole vec4s
 * ```ts
 * import { takeRowsKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = takeRowsKernel({ unit: 16 });
 * assertEquals(bindings.map(({ name, type }) => `${name}: ${type}`), [
 *   "rows: array<u32>",
 *   "source: array<vec4<u32>>",
 *   "destination: array<vec4<u32>>",
 *   "params: Params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function takeRowsKernel({ unit }: TakeRowsSpec): KernelSource {
  const word = unit <= 4 ? "u32" : `vec${unit / 4}<u32>`;
  return kernelOf({
    label: `rows.take/${unit}`,
    fragments: [{
      bindings: [
        { name: "rows", type: "array<u32>", access: "read" },
        { name: "source", type: `array<${word}>`, access: "read" },
        { name: "destination", type: `array<${word}>`, access: "read_write" },
      ],
      // Both in units.
      uniforms: { units: "u32", row_units: "u32" },
      code: wgsl(unit === 2 ? UNIT_HALVES : UNIT_WORDS, { word }),
    }],
    main: invocationEntry(TAKE_ROWS_LANES, wgsl(TAKE, { halves: unit === 2 })),
  });
}

const TAKE = `
@if halves
if (index >= (params.units + 1u) / 2u) {
  return;
}
var word = unit_of(2u * index);
if (2u * index + 1u < params.units) {
  word |= unit_of(2u * index + 1u) << 16u;
} else {
  // Behind the last row lies what is not ours.
  word |= destination[index] & 0xffff0000u;
}
destination[index] = word;
@else
if (index >= params.units) {
  return;
}
destination[index] = unit_of(index);
@end
`;

const UNIT_WORDS = `
fn unit_of(index: u32) -> $word {
  let row = index / params.row_units;
  let taken = rows[row];
  if (taken == 0xffffffffu) {
    return $word();
  }
  return source[taken * params.row_units + index - row * params.row_units];
}
`;

const UNIT_HALVES = `
fn unit_of(index: u32) -> u32 {
  let row = index / params.row_units;
  let taken = rows[row];
  if (taken == 0xffffffffu) {
    return 0u;
  }
  let at = taken * params.row_units + index - row * params.row_units;
  return extractBits(source[at / 2u], 16u * (at % 2u), 16u);
}
`;
