/**
 * One-line faults in linear attention of features, and of a prefix.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const RULE = ["kernels/linear/features"];
const LAWS = ["laws/linear_features"];
const OPTIONS = ["ops/linear_attention/features"];
const ALL = [...RULE, ...LAWS, ...OPTIONS];

/** Every fault listed for it. */
export const FEATURE_FAULTS: readonly Fault[] = [
  ...faultsInKernel("linear.chunk_state/f32.none.taylor", ALL, [
    [
      "squares count as other products do",
      "vec4f(0.7071067690849304)",
      "vec4f(1.0)",
    ],
    [
      "products are left out where i and j are in one vec4",
      "j > i)",
      "j > i + 3u)",
    ],
    [
      "the scale is in one of both factors",
      "params.feature_root * j",
      "j",
    ],
    [
      "tokens past the chunk's end have a weight",
      "sums, token + 3 < chunk.count)",
      "sums, token < chunk.count)",
    ],
    [
      "a head dim's last four are where the 1 is",
      "group.vec <= last)",
      "group.vec < last)",
    ],
  ]),
  ...faultsInKernel("linear.scores/f32.none.taylor", ALL, [
    ["the square counts whole", "vec4f(0.5)", "vec4f(1.0)", "all"],
    [
      "the scale is in the polynomial twice",
      "weight * score_0",
      "params.scale * weight * score_0",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.output/f32.none.taylor", ALL, [
    ["eps is left out", "more[0] + params.eps", "more[0]", "all"],
    [
      "states do not count in the sum of weights",
      "let column_more = state_sums(chunk_index, state_head, depth);",
      "let column_more = vec4f(0.0);",
    ],
    [
      "a state's last column is a value's",
      "[params.value_dim % 4u]",
      "[(params.value_dim + 3u) % 4u]",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.scan/chunks.none.initial.final.taylor", ALL, [
    [
      "the rows of a caller's state are those of scratch",
      "let given_row = feature_row(row);",
      "let given_row = row;",
      "all",
    ],
    [
      "features that there are not are written over others",
      "j >= group.element)",
      "j + 1u >= group.element)",
    ],
  ]),
  ...faultsInKernel("linear.recurrent/f32.none.taylor", ALL, [
    [
      "the state's sums of weights are not read",
      "sums_0[0] = entering_state",
      "sums_1[0] = entering_state",
    ],
    ["the token's own weight is left out", "sums_0 += k_0;", ""],
    ["the column of weights is not written", "u += ones;", ""],
  ]),
  ...faultsIn("featureGroups", OPTIONS, [
    [
      "groups begin where a row does",
      "Math.floor(element / 4); vec < vecs",
      "0; vec < vecs",
    ],
    [
      "rows lie as if there were one more",
      "row += headDim;",
      "row += headDim + 1;",
    ],
  ]),
  ...faultsIn("prefixProblem", OPTIONS, [
    [
      "a prefix may be longer than its sequence",
      "length <= counts[i],",
      "length <= counts[i] + 1,",
    ],
  ]),
  ...faultsIn("encoderProblem", ALL, [
    [
      "a given state is lost",
      "initial: problem.states.initial, final: true",
      "initial: false, final: true",
    ],
    ["the whole prefix counts", "count: lengths[i],", "count: lengths[0],"],
  ]),
  ...faultsIn("encoderNames", ALL, [
    [
      "a pool's states are looked for elsewhere",
      '{ initial_state: "state_pool" }',
      "{}",
    ],
  ]),
  ...faultsIn("linearUniforms", ALL, [
    [
      "features have the scale, not its root",
      "Math.sqrt(problem.scale)",
      "problem.scale",
    ],
  ]),
  ...faultsIn("featureOptions", OPTIONS, [
    [
      "an eps that is 0 in float32 is taken",
      "Math.fround(eps) > 0",
      "eps > 0",
    ],
  ]),
];
