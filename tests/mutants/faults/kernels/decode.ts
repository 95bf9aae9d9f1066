/**
 * One-line faults in the decode kernel and in those that merge.
 *
 * @module
 */

import {
  type Fault,
  faultsIn,
  faultsInKernel,
  type ListedKernel,
} from "../../fault.ts";

const DECODE: readonly ListedKernel[] = [
  [
    "the running maximum's change is ignored",
    "let alpha_$r = exp(m_$r - all_$r)",
    "let alpha_$r = 1.0",
    "all",
  ],
  [
    "the sum is not rescaled",
    "l_$r = fma(l_$r, alpha_$r, sum_$r)",
    "l_$r += sum_$r",
    "all",
  ],
  [
    "the accumulator is not rescaled",
    "a_$r_$c = fma(a_$r_$c, vec4f(alpha_$r), x_$r_$c)",
    "a_$r_$c += x_$r_$c",
    "all",
  ],
  [
    "weights are read before all lanes wrote them",
    "l_$r = fma(l_$r, alpha_$r, sum_$r); workgroupBarrier();",
    "l_$r = fma(l_$r, alpha_$r, sum_$r);",
  ],
  [
    "maxima are read before all lanes wrote them",
    "lane_values[$at] = max_$r; workgroupBarrier();",
    "lane_values[$at] = max_$r;",
  ],
  [
    "one lane's sum is lost",
    "for (var i = 0u; i < $lanes; i++) { sum +=",
    "for (var i = 1u; i < $lanes; i++) { sum +=",
    "all",
  ],
  [
    "one lane's maximum is lost",
    "i < $lanes; i++) { all_$r",
    "i + 1u < $lanes; i++) { all_$r",
    "all",
  ],
  [
    "the last lane along keys is lost",
    "for (var i = 1u; i < $lanes; i++) {",
    "for (var i = 1u; i + 1u < $lanes; i++) {",
    "all",
  ],
  [
    "a lane's first column alone is written",
    "if ($c + column_lane < params.value_vecs) {",
    "if ($c + column_lane < 1u) {",
    "all",
  ],
  [
    "scores are not scaled",
    "var s_$r = vec4f($scores) * params.scale",
    "var s_$r = vec4f($scores)",
    "all",
  ],
];

const MERGE: readonly ListedKernel[] = [
  [
    "every part weighs the same",
    "select(exp(stats.x - maximum), 1.0, stats.x == maximum)",
    "1.0",
  ],
  [
    "the last part is lost",
    "part < item.part_count; part++) { let at",
    "part + 1u < item.part_count; part++) { let at",
  ],
  [
    "sums are merged unweighted",
    "sum = fma(scaling, stats.y, sum)",
    "sum += stats.y",
  ],
  [
    "all rows of a kv head take the first one's states",
    "let at = part_row(item, part, kv_head) + local",
    "let at = part_row(item, part, kv_head)",
  ],
  [
    "rows of the next tile are written too",
    "index < item.row_count * params.value_vecs",
    "index < (item.row_count + 1u) * params.value_vecs",
  ],
  [
    "statistics are looked for among the accumulators",
    "let stats = states[params.stats_at + at]",
    "let stats = states[at]",
  ],
];

/** States that `merge` reads. */
const STATES: readonly ListedKernel[] = [
  [
    "a part keeps no sum",
    "vec4f(maximum, sum, 0.0, 0.0)",
    "vec4f(maximum, 1.0, 0.0, 0.0)",
  ],
  [
    "a part's statistics are not written",
    "states[params.stats_at + row] = $state;",
    "",
  ],
  [
    "parts of kv heads overlap",
    "item.state_row + kv_head * item.state_stride",
    "item.state_row",
    "all",
  ],
];

/** States that are not written; what was there before must then be seen. */
const UNWRITTEN: readonly ListedKernel[] = [
  [
    "a part's accumulator is not written",
    "states[row * params.value_vecs + vec] = accumulator;",
    "",
  ],
  [
    "a state without keys is not written",
    "states[params.stats_at + row] = $state;",
    "if (sum != 0.0) { states[params.stats_at + row] = $state; }",
  ],
  [
    "the accumulator of a state without keys is not written",
    "states[row * params.value_vecs + vec] = accumulator;",
    "if (sum != 0.0) { states[row * params.value_vecs + vec] = accumulator; }",
  ],
  [
    "a part's last row is not written",
    "if (packed_$r < row_count) {",
    "if (packed_$r + 1u < row_count) {",
    "all",
  ],
];

/** Every fault listed for it. */
export const DECODE_FAULTS: readonly Fault[] = [
  ...faultsInKernel("attention.decode", ["kernels/decode"], [
    ...DECODE,
    ...STATES,
    ...UNWRITTEN,
  ]),
  ...faultsInKernel("attention.decode", ["kernels/guard"], [[
    "hidden values count",
    "x_$r_$c, p_$r == 0.0)",
    "x_$r_$c, false)",
    "all",
  ]]),
  ...faultsIn("decodeTurns", ["kernels/turns"], [[
    "turns of the scores are forgotten",
    "own * (headVecs + KEYS + 3) + rows",
    "rows",
  ]]),
  ...faultsInKernel("attention.merge/", ["kernels/decode"], MERGE),
  ...faultsInKernel("attention.merge/", ["laws/split"], [[
    "a merge takes kv head 0's states for all",
    "return schedule[at] + kv_head * schedule[at + 1u]",
    "return schedule[at]",
  ]]),
  ...faultsInKernel(
    "attention.merge_states",
    ["ops/attention/merge_attention"],
    [
      [
        "what was there before keeps its weight",
        "load_output(at, vec) * own",
        "load_output(at, vec)",
      ],
      [
        "what is merged has no weight of its own",
        "let theirs = weight(other_lse[row], maximum)",
        "let theirs = 1.0",
      ],
    ],
  ),
];
