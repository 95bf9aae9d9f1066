/**
 * One-line faults in the decode kernel and in those that merge.
 *
 * @module
 */

import { type Fault, faultsInKernel, type ListedKernel } from "../../fault.ts";

const DECODE: readonly ListedKernel[] = [
  [
    "the running maximum's change is ignored",
    "let alpha_$r = rescale(m_$r, all_$r)",
    "let alpha_$r = 1.0",
    "all",
  ],
  [
    "the sum is not rescaled",
    "l_$r = carry_sum(l_$r, alpha_$r, sum_$r)",
    "l_$r += sum_$r",
    "all",
  ],
  [
    "the accumulator is not rescaled",
    "a_$r_$c = carry_values(a_$r_$c, alpha_$r, x_$r_$c)",
    "a_$r_$c += x_$r_$c",
    "all",
  ],
  [
    "weights are read before all lanes wrote them",
    "l_$r = carry_sum(l_$r, alpha_$r, sum_$r); workgroupBarrier();",
    "l_$r = carry_sum(l_$r, alpha_$r, sum_$r);",
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
    "every state weighs the same",
    "select(exp(stats.x - maximum), 1.0, stats.x == maximum)",
    "1.0",
  ],
  [
    "the last state is lost",
    "i < tile.state_count; i++) { let at",
    "i + 1u < tile.state_count; i++) { let at",
  ],
  [
    "sums are merged unweighted",
    "sum = fma(scaling, stats.y, sum)",
    "sum += stats.y",
  ],
  [
    "all rows of a kv head take the first one's states",
    "let at = state_row(tile, i, kv_head) + local",
    "let at = state_row(tile, i, kv_head)",
  ],
  [
    "rows of the next tile are written too",
    "index < tile.row_count * params.value_vecs",
    "index < (tile.row_count + 1u) * params.value_vecs",
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
    "a state keeps no sum",
    "vec4f(maximum, sum, 0.0, 0.0)",
    "vec4f(maximum, 1.0, 0.0, 0.0)",
  ],
  [
    "a state's statistics are not written",
    "states[params.stats_at + row] = $state;",
    "",
  ],
  [
    "states of kv heads overlap",
    "tile.state_row + kv_head * tile.state_stride",
    "tile.state_row",
    "all",
  ],
];

/** States that are not written; what was there before must then be seen. */
const UNWRITTEN: readonly ListedKernel[] = [
  [
    "a state's accumulator is not written",
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
    "a state's last row is not written",
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
  ...faultsInKernel("attention.merge/", ["kernels/decode"], MERGE),
  ...faultsInKernel("attention.merge/", ["laws/split"], [[
    "a merge takes kv head 0's states for all",
    "return state.row + kv_head * state.stride",
    "return state.row",
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
        "let theirs = weight(their_lse, maximum)",
        "let theirs = 1.0",
      ],
      [
        "a part without keys has the host's log-sum-exp",
        "bits == 0xff800000u",
        "false",
      ],
    ],
  ),
];
