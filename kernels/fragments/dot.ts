/**
 * The dot product of rows, for every kernel in one place.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * `dot4(sum, x, y)`: the sum with `<x, y>` added to it. A fixed chain of `fma`,
 * so that no compiler may contract or reorder it and every kernel rounds a dot
 * product alike.
 */
export const dot: Fragment = {
  uniforms: { head_vecs: "u32" },
  code: wgsl(`
    fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
      return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
    }
  `),
};

/**
 * Declares `s_{row}_{key}`: the dot products of query rows at `query_at_{row}`
 * with keys at `key_{key}`. One load of a key serves all rows.
 */
export function dotRows(rows: number, keys: number): string {
  return wgsl(
    `
    @each r in rows
    @each j in keys
    var s_$r_$j = 0.0;
    @end
    @end
    for (var vec = 0u; vec < params.head_vecs; vec++) {
      @each r in rows
      let q_$r = load_query(query_at_$r, vec);
      @end
      @each j in keys
      {
        let k = load_key(key_$j, vec);
        @each r in rows
        s_$r_$j = dot4(s_$r_$j, q_$r, k);
        @end
      }
      @end
    }
    `,
    { rows, keys },
  );
}
