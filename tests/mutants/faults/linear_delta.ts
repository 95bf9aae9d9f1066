/**
 * One-line faults in linear attention token by token, and in the delta rules.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const RECURRENT = ["kernels/linear/recurrent"];
const DELTA = ["kernels/linear/delta"];

/** Every fault listed for them. */
export const LINEAR_DELTA_FAULTS: readonly Fault[] = [
  ...faultsInKernel("linear.recurrent", RECURRENT, [
    [
      "two sums one after the other share their places",
      "parts[64 * place + lane] = value;",
      "parts[lane] = value;",
    ],
    [
      "a token decays the state after it was added",
      "h_0_0 = fma(vec4f(k_0[0]), u, h_0_0);",
      "h_0_0 = fma(vec4f(k_0[0]), u, h_0_0) * 0.5;",
    ],
    [
      "the last rows have the gate of the row before",
      "min(4u * vec + 3, last)",
      "min(4u * vec + 2, last)",
    ],
    [
      "what is recalled is not subtracted",
      "u = strength * (u - sum_of(turn % 2u, lane, part));",
      "u = strength * u;",
    ],
    [
      "strength is for the value alone",
      "u = strength * (u - sum_of(turn % 2u, lane, part));",
      "u = strength * u - sum_of(turn % 2u, lane, part);",
    ],
    [
      "heads that share a state read the first one's query",
      "query_at(chunk, token, query_head_of(head))",
      "query_at(chunk, token, query_head_of(state_head * members))",
    ],
    ["outputs have no scale", "params.scale * sum", "sum"],
    [
      "the state's second row is lost",
      "leave_state(run, state_head, 4u * vec_0 + 1, column, h_0_1);",
      "leave_state(run, state_head, 4u * vec_0 + 1, column, h_0_0);",
    ],
    [
      "a sequence of several chunks stops after the first",
      "c < run.count; c++",
      "c < min(run.count, 1u); c++",
    ],
    [
      "a chunk's last token is left out",
      "token < chunk.count",
      "token + 1u < chunk.count",
    ],
  ]),
  ...faultsInKernel("linear.recurrent", ["kv/states/state_cache"], [
    [
      "states are read where they are written",
      "given_state_at(run.initial_slot, state_head",
      "given_state_at(run.final_slot, state_head",
    ],
  ]),
  ...faultsIn("recurrentTokens", RECURRENT, [
    ["features go token by token", 'form === "chunked"', 'form === "auto"'],
    ["strengths bind nothing", "Number(beta !== undefined)", "0"],
    ["a pool is two buffers", "Number(initial || final)", "2"],
  ]),
  ...faultsInKernel("linear.delta_solve", DELTA, [
    [
      "a block's own tokens do not see each other",
      "x_1 -= beta_1 * (own[1][0] * x_0);",
      "",
    ],
    [
      "a token sees the block's first in place of its second",
      "own[2][1] * x_1",
      "own[2][1] * x_0",
    ],
    ["earlier tokens are added", "vec4f(-scores[1][0])", "vec4f(scores[1][0])"],
    ["the block before is left out", "before < row;", "before + 4u < row;"],
    [
      "strengths are those of the token before",
      "row + 1, chunk.count - 1u",
      "row + 0, chunk.count - 1u",
    ],
  ]),
  ...faultsInKernel("linear.delta_scan", DELTA, [
    [
      "what is erased is added",
      "vec4f(-1.0 * erased[0][0])",
      "vec4f(erased[0][0])",
    ],
    ["the state does not decay", "next_1 *= kept[1];", ""],
    [
      "the next chunk begins with the state before",
      "carried[(row + 2) * 4 + own_column] = next_2;",
      "",
      "all",
    ],
    [
      "states that enter chunks are not kept for outputs",
      "states[state_at(chunk_index, state_head, row + 1) + vec] = next_1;",
      "",
      "all",
    ],
    [
      "the last state lacks a row",
      "leave_state(run, state_head, row + 1, vec, carried[(row + 1) * 4 + own_column]);",
      "",
      "all",
    ],
    ["tokens beyond the first 64 are left out", "token += 64", "token += 4096"],
    [
      "rows beyond the first 64 are left out",
      "row < rows; row += 64",
      "row < rows; row += 4096",
      "all",
    ],
  ]),
  // Forward reads no such score.
  ...faultsInKernel("linear.scores", ["kernels/linear/backward/backward"], [
    ["a key sees itself", "columns < vec4u(row", "columns <= vec4u(row", "all"],
  ]),
  ...faultsIn("keyScoresDispatch", DELTA, [
    ["keys are scaled as scores are", "scale: 1", "scale: problem.scale"],
    ["each state has a key head of its own", "query_heads: keyHeads,", ""],
  ]),
  ...faultsIn("chunkSizes", DELTA, [
    [
      "long sequences are scanned in blocks by the delta rules, too",
      "problem.beta ? Infinity : LONG",
      "LONG",
    ],
  ]),
];
