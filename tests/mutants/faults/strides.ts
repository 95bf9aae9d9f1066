/**
 * One-line faults in strides: what is reached, written and checked.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const STRIDES = ["laws/strides"];

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
  ...faultsIn("headsLast", STRIDES, [
    [
      "strides stay in the layout's order",
      "strides: [batch, token, head]",
      "strides: [batch, head, token]",
    ],
  ]),
];
