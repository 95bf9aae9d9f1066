/**
 * What a tile's weights make of the rows of its step, added to an accumulator
 * in workgroup memory: `P V` in forward; `dS K`, `P^T dO` and `dS^T Q` in
 * backward.
 *
 * @module
 */

import { wgsl } from "../wgsl.ts";

/** Lanes, and the rows that each owns. */
export interface OwnRows {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Rows that each lane owns. */
  readonly rowsPerLane: number;
}

/** Declares `accumulator` and `own`, for `vecs` columns of a tile's rows. */
export function accumulatorOf(
  { lanes, rowsPerLane: rows }: OwnRows,
  vecs: number,
): string {
  return wgsl(
    `
    var<workgroup> accumulator: array<vec4f, $room>;

    // Where a lane's row r has column vec: lanes side by side.
    fn own(r: u32, vec: u32, lane: u32) -> u32 {
      return (vec * $rows + r) * $lanes + lane;
    }
    `,
    { rows, lanes, room: lanes * rows * vecs },
  );
}

/** Products of a tile's weights with the rows of its step. */
export interface AddTile {
  /** Rows that a lane owns: `$r` below. */
  readonly own: number;
  /** Rows of the step: `$j` below. */
  readonly step: number;
  /** How many vec4s a row has. */
  readonly vecs: string;
  /** A name for a vec4 of a row of the step, and the call that loads it. */
  readonly row: readonly [name: string, load: string];
  /** What weights are called: `{weights}_{r}_{j}`. */
  readonly weights: string;
  /** The column of the accumulator that `vec` is, if not the same. */
  readonly column?: string;
  /** What becomes of the accumulator `$old`; their sum by default. */
  readonly carried?: (old: string) => string;
}

/** A step is summed by itself first: the error grows with steps, not rows. */
export function addTile(
  { own, step, vecs, row, weights, column = "vec", carried }: AddTile,
): string {
  const old = `accumulator[own($r, ${column}, lane)]`;
  return wgsl(
    `
    for (var vec = 0u; vec < ${vecs}; vec++) {
      @each r in own
      var x_$r = vec4f(0.0);
      @end
      @each j in step
      {
        let ${row[0]} = ${row[1]};
        @each r in own
        x_$r = fma(vec4f(${weights}_$r_$j), ${row[0]}, x_$r);
        @end
      }
      @end
      @each r in own
      ${old} = ${carried ? carried(old) : `${old} + x_$r`};
      @end
    }
    `,
    { own, step },
  );
}

/** Declares `step_has_non_finite`: whether values of a step hold NaN or Inf. */
export function nonFiniteStep(keys: number): string {
  return wgsl(
    `
    fn step_has_non_finite(sequence: Sequence, first_key: u32, kv_head: u32) -> bool {
      var found = vec4<bool>(false);
      for (var j = 0u; j < $keys; j++) {
        let at = value_place(seek(sequence, min(first_key + j, sequence.key_count - 1u)), kv_head);
        for (var vec = 0u; vec < params.value_vecs; vec++) {
          found |= non_finite(load_value(at, vec));
        }
      }
      return any(found);
    }
    `,
    { keys },
  );
}
