/**
 * Gradients that are written, or added to what is there.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import { loadRow, rowBinding, type RowFormat, storeRow } from "./rows.ts";

/** Rows that are accumulated. */
export interface AccumulatedRows {
  /** The binding; the function is `add_{name}`. */
  readonly name: string;
  /** The format of its rows. */
  readonly format: RowFormat;
  /** The uniform that holds the row's element count. */
  readonly dim: string;
}

/**
 * `fn add_{name}(base, vec, value: vec4f)`: writes four elements of a row, and
 * where `params.accumulate_{name}` is not 0 adds them to what is there. What is there
 * does not matter otherwise, be it NaN.
 */
export function accumulatedRows(
  { name, format, dim }: AccumulatedRows,
): Fragment {
  const bindings = [rowBinding(name, format, "read_write")];
  return {
    needs: [
      loadRow({ name: `load_${name}`, bindings, format, dim }),
      storeRow({ name: `store_${name}`, bindings, format, dim }),
    ],
    uniforms: { [`accumulate_${name}`]: "u32" },
    code: wgsl(
      `
      fn add_$name(base: u32, vec: u32, value: vec4f) {
        var sum = value;
        if (params.accumulate_$name != 0u) {
          sum += load_$name(base, vec);
        }
        store_$name(base, vec, sum);
      }
      `,
      { name },
    ),
  };
}
