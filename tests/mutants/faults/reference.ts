/**
 * One-line faults in the shadow, and in the number that it shares with the kernels: where a
 * running maximum starts.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const SHADOW = ["reference/shadow"];
const SENTINEL = ["kernels/sentinel"];
const FMA = ["reference/fma"];

/** Every fault listed for it. */
export const REFERENCE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("SENTINEL", SHADOW, [
    [
      "scores may lie below the shadow's sentinel",
      "-(2 - 2 ** -23) * 2 ** 127",
      "-1e30",
    ],
  ]),
  ...faultsIn("SENTINEL_WGSL", SENTINEL, [
    [
      "scores may lie below the kernels' sentinel",
      '"-0x1.fffffep+127f"',
      '"-1e30f"',
    ],
  ]),
  ...faultsIn("absorbStep", SHADOW, [
    [
      "the shadow's sum is not rescaled",
      "state.sum = fmaF32(state.sum, alpha, sum)",
      "state.sum = f32(state.sum + sum)",
    ],
    [
      "the shadow's accumulator is not rescaled",
      "fmaF32(accumulator[c], alpha, product)",
      "f32(accumulator[c] + product)",
    ],
  ]),
  ...faultsIn("mergeRowStates", SHADOW, [
    [
      "the shadow's merged parts all weigh the same",
      "own === max ? 1 : expF32(f32(own - max))",
      "1",
    ],
  ]),
  ...faultsIn("dotFma", FMA, [
    [
      "the shadow's dot product takes the first of four elements first",
      "let t = Math.min(vec + 4, length) - 1; t >= vec; t--",
      "let t = vec; t < Math.min(vec + 4, length); t++",
    ],
  ]),
];
