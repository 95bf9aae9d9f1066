/**
 * One-line faults in strides: what is reached, written and checked.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const STRIDES = ["laws/strides"];
const BACKWARD = ["laws/strides_backward"];

/** Every fault listed for it. */
export const STRIDES_FAULTS: readonly Fault[] = [
  ...faultsInKernel("attention.forward", STRIDES, [
    [
      "queries begin where the buffer does",
      "params.query_at + u32(batch)",
      "u32(batch)",
    ],
    [
      "every sequence has the first one's queries",
      "u32(batch) * params.query_batch_stride",
      "0u * params.query_batch_stride",
    ],
    [
      "every sequence has the first one's keys",
      "cursor.batch * batch_stride",
      "0u * batch_stride",
    ],
    [
      "outputs begin where the buffer does",
      "return params.output_at + u32(batch)",
      "return u32(batch)",
    ],
    [
      "log-sum-exps of all sequences go to the first one's place",
      "u32(batch) * params.lse_batch_stride",
      "0u * params.lse_batch_stride",
    ],
  ]),
  ...faultsInKernel("attention.merge/", STRIDES, [
    [
      "merged outputs go by another stride",
      "u32(batch) * params.output_batch_stride",
      "u32(batch) * params.output_token_stride",
    ],
  ]),
  ...faultsIn("formatOf", STRIDES, [
    [
      "rows that begin between vec4s are read as vec4s",
      "rowFormat(dtype, dim, at, batch, token, head)",
      "rowFormat(dtype, dim, at, batch, token)",
    ],
  ]),
  ...faultsIn("checkStrides", STRIDES, [
    [
      "the last row's length is not counted",
      "stride * (shape[i] - 1), last)",
      "stride * (shape[i] - 1), 0)",
    ],
    [
      "rows are thought to begin at the first element",
      "offset + own.reduce(",
      "0 * offset + own.reduce(",
    ],
  ]),
  ...faultsIn("checkApart", STRIDES, [
    [
      "rows of an output may share an element",
      "stride >= extent",
      "stride + 1 >= extent",
    ],
  ]),
  ...faultsIn("src/ops/attention/rows.ts: tokensOf", STRIDES, [
    [
      "ragged sequences are apart by a stride",
      'layout === "bhsd" || given?.dense',
      'layout === "bhsd" || given !== undefined',
    ],
  ]),
  ...faultsInKernel("attention.backward.key_value", BACKWARD, [
    [
      "keys' gradients read the output's of the first sequence",
      "output_gradient_place(sequence.batch, token_1, head_1)",
      "output_gradient_place(0, token_1, head_1)",
    ],
    [
      "keys' gradients read the statistics of the first sequence",
      "lse_place(sequence.batch, token_1, head_1)",
      "lse_place(0, token_1, head_1)",
    ],
    [
      "values' gradients of all sequences are in the first one's place",
      "value_gradient_place(sequence.batch, token_0, kv_head)",
      "value_gradient_place(0, token_0, kv_head)",
    ],
  ]),
  ...faultsInKernel("attention.backward.query", BACKWARD, [
    [
      "gradients of queries in views are in the first sequence's place",
      "query_gradient_place(batch_0, token_0, head_0)",
      "query_gradient_place(0, token_0, head_0)",
    ],
    [
      "gradients of queries begin at element 0",
      "params.query_gradient_at + ",
      "",
    ],
  ]),
  ...faultsInKernel("attention.backward.delta", BACKWARD, [
    [
      "rows of an output that lies apart are one sequence's",
      "batch * params.output_batch_stride",
      "0u",
    ],
    [
      "heads and tokens change places",
      "middle * params.output_middle_stride + inner * params.output_inner_stride",
      "inner * params.output_middle_stride + middle * params.output_inner_stride",
    ],
  ]),
  ...faultsIn("stridedRows", BACKWARD, [
    [
      "ragged sequences are apart by a stride in backward",
      "strides?.dense ? sequences.length : 1",
      "sequences.length",
    ],
  ]),
  ...faultsIn("gradientPlaces", BACKWARD, [
    [
      "tokens that are counted through step over sequences twice",
      "(uniforms[stride] - stepped) >>> 0",
      "uniforms[stride] >>> 0",
    ],
    [
      "gradients at odd places are vec4s",
      "rowFormat(dtype, dim, at, batch, token, head)",
      "rowFormat(dtype, dim)",
    ],
    [
      "a gradient side by side steps as one that lies apart",
      "own?.dense || own === undefined && batch > 0",
      "own?.dense",
    ],
  ]),
  ...faultsIn("gradientSpans", BACKWARD, [
    [
      "gradients of keys in views begin after all before them",
      "stridedKeys(problem) && problem.strides!.dense",
      "false",
    ],
  ]),
  ...faultsIn(
    "src/ops/attention_backward/gradient_strides.ts: ownStrides",
    BACKWARD,
    [
      [
        "rows of a gradient may overlap",
        "checkApart(`${path}.strides`, shape, checked.strides);",
        "",
      ],
      [
        "strides of a gradient are of any shape",
        "wanted.some((one) => one.join() === shape.join())",
        "true",
      ],
    ],
  ),
  ...faultsIn("headsLast", STRIDES, [
    [
      "strides stay in the layout's order",
      "strides: [batch, token, head]",
      "strides: [batch, head, token]",
    ],
  ]),
];
