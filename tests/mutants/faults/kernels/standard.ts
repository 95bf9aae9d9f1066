/**
 * One-line faults in the standard attention's kernels, the baseline.
 *
 * @module
 */

import { type Fault, faultsInKernel } from "../../fault.ts";

/** Every fault listed for it. */
export const STANDARD_FAULTS: readonly Fault[] = [
  ...faultsInKernel("attention.standard.", ["kernels/standard"], [
    [
      "kv heads share their scratch",
      "(tile_index * params.kv_heads + kv_head) * params.scratch_keys",
      "tile_index * params.scratch_keys",
    ],
  ]),
  ...faultsInKernel("attention.standard.scores", ["kernels/standard"], [
    [
      "the last key's score is lost",
      "if (first_key + $j < sequence.key_count) {",
      "if (first_key + $j + 1u < sequence.key_count) {",
      "all",
    ],
  ]),
  ...faultsInKernel("attention.standard.softmax", ["kernels/standard"], [
    [
      "probabilities are not normalised",
      "let divisor_$r = select(sum_$r, 1.0, sum_$r == 0.0)",
      "let divisor_$r = 1.0",
      "all",
    ],
    [
      "the maximum skips the first key",
      "for (var key = 0u; key < sequence.key_count; key++) { maximum_$r",
      "for (var key = 1u; key < sequence.key_count; key++) { maximum_$r",
    ],
  ]),
  ...faultsInKernel("attention.standard.values", ["kernels/standard"], [
    [
      "the last columns are lost",
      "if (vec + $c < params.value_vecs) {",
      "if (vec + $c + 1u < params.value_vecs) {",
      "all",
    ],
  ]),
];
