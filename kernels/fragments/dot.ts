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
export const dot4: Fragment = {
  code: wgsl(`
    fn dot4(sum: f32, x: vec4f, y: vec4f) -> f32 {
      return fma(x.x, y.x, fma(x.y, y.y, fma(x.z, y.z, fma(x.w, y.w, sum))));
    }
  `),
};

/** {@linkcode dot4} of rows of `head_vecs` vec4s. */
export const dot: Fragment = {
  needs: [dot4],
  uniforms: { head_vecs: "u32" },
};

/** What a tile of dot products is made of. */
export interface DotTile {
  /** Rows that a lane owns: `$r` of the names below. */
  readonly own: number;
  /** Rows of a step, which all lanes read alike: `$j` of the names below. */
  readonly step: number;
  /** What the products are named: `{into}_{r}_{j}`. */
  readonly into: string;
  /** How many vec4s a row has. */
  readonly vecs: string;
  /** A name for a vec4 of an own row, and the call that loads it. */
  readonly ownRow: readonly [name: string, load: string];
  /** The same of a row of the step. */
  readonly stepRow: readonly [name: string, load: string];
}

/**
 * Declares the dot products of a lane's own rows with those of a step. One load
 * of a step's row serves all own rows.
 */
export function dotTile(
  { own, step, into, vecs, ownRow, stepRow }: DotTile,
): string {
  return wgsl(
    `
    @each r in own
    @each j in step
    var ${into}_$r_$j = 0.0;
    @end
    @end
    for (var vec = 0u; vec < ${vecs}; vec++) {
      @each r in own
      let ${ownRow[0]}_$r = ${ownRow[1]};
      @end
      @each j in step
      {
        let ${stepRow[0]} = ${stepRow[1]};
        @each r in own
        ${into}_$r_$j = dot4(${into}_$r_$j, ${ownRow[0]}_$r, ${stepRow[0]});
        @end
      }
      @end
    }
    `,
    { own, step },
  );
}

/**
 * Declares `s_{row}_{key}`: the dot products of query rows at `query_at_{row}`
 * with keys at `key_{key}`. One load of a key serves all rows.
 */
export function dotRows(rows: number, keys: number): string {
  return dotTile({
    own: rows,
    step: keys,
    into: "s",
    vecs: "params.head_vecs",
    ownRow: ["q", "load_query(query_at_$r, vec)"],
    stepRow: ["k", "load_key(key_$j, vec)"],
  });
}
