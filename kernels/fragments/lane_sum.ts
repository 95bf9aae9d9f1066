/**
 * Sums across the lanes of a workgroup.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/** Which lanes are summed, and what each of them gives. */
export interface LaneSum {
  /** Invocations of the workgroup. */
  readonly lanes: number;
  /** Lanes of one sum; neighbours, and a divisor of `lanes`. */
  readonly width: number;
  /** The type of what is summed. */
  readonly type: "f32" | "vec2f";
}

/**
 * `sum_lanes(value, lane)`: the sum of what `width` neighbours give, which each
 * of them gets. All of them add in the order of the lanes, so that the sum is
 * repeatable and the same in every lane. All lanes of the workgroup must call it.
 */
export function laneSum({ lanes, width, type }: LaneSum): Fragment {
  return {
    code: wgsl(
      `
      var<workgroup> given: array<$type, $lanes>;

      fn sum_lanes(value: $type, lane: u32) -> $type {
        given[lane] = value;
        workgroupBarrier();
        let first = lane - lane % $width;
        var sum = $type();
        for (var i = 0u; i < $width; i++) {
          sum += given[first + i];
        }
        workgroupBarrier();
        return sum;
      }
      `,
      { lanes, width, type },
    ),
  };
}
