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
      "(item_index * params.kv_heads + kv_head) * params.scratch_keys",
      "item_index * params.scratch_keys",
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
      "let divisor = select(sum, 1.0, sum == 0.0)",
      "let divisor = 1.0",
      "all",
    ],
    [
      "the maximum skips the first key",
      "var maximum = SENTINEL; for (var key = 0u;",
      "var maximum = SENTINEL; for (var key = 1u;",
      "all",
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
