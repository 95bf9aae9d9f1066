/**
 * One-line faults in linear attention by chunks: its kernels, its schedule, and
 * what it refuses.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const CHUNKS = ["kernels/linear/linear"];
const LAWS = ["laws/linear_attention"];
const BAD = ["ops/linear_attention/bad_input"];
const PLAN = ["ops/linear_attention/plan"];

/** Every fault listed for it. */
export const LINEAR_ATTENTION_FAULTS: readonly Fault[] = [
  ...faultsInKernel("linear.gates", CHUNKS, [
    [
      "a token's own gate comes after it",
      "gates[((chunk.row + token) * params.state_heads",
      "gates[((chunk.row + max(token, 1u) - 1u) * params.state_heads",
    ],
  ]),
  ...faultsInKernel("linear.chunk_state", CHUNKS, [
    [
      "what a chunk adds is not decayed to its end",
      "exp(end - own)",
      "exp(own - own)",
      "all",
    ],
    [
      "tokens past the chunk's end are added",
      "token + 1 <= last",
      "token <= last",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.scores", CHUNKS, [
    [
      "a token does not see itself",
      "columns <= vec4u(row",
      "columns < vec4u(row",
      "all",
    ],
    [
      "an earlier sub-chunk is met from the row's own token",
      "let base = gate_of(chunk.row + reference, state_head, vec);",
      "let base = gate_of(min(chunk.row + token, last), state_head, vec);",
      "all",
    ],
    [
      "a sub-chunk meets itself as an earlier one",
      "let reference = row / params.sub_chunk * params.sub_chunk;",
      "let reference = min((row / params.sub_chunk + 1u) * params.sub_chunk, chunk.count - 1u);",
    ],
    [
      "decay to a key is that of the chunk's start",
      "exp(min(gate - key_gates, vec4f(0.0)))",
      "exp(min(vec4f(gate), vec4f(0.0)))",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.output", CHUNKS, [
    [
      "the state that enters is not decayed",
      "exp(own);",
      "exp(own - own);",
      "all",
    ],
    [
      "the state is that of the output's head",
      "let state_head = state_head_of(head);",
      "let state_head = head % params.state_heads;",
    ],
    [
      "a chunk's last keys are not seen",
      "depth < min(chunk.count, row_end); depth += 4u",
      "depth + 4u < min(chunk.count, row_end); depth += 4u",
    ],
  ]),
  ...faultsInKernel("linear.output", LAWS, [
    [
      "sequences of a batch are not apart",
      "u32(batch) * params.query_batch_stride",
      "u32(batch)",
    ],
  ]),
  ...faultsInKernel("linear.scores", LAWS, [
    [
      "a key head is a query's",
      "let key_head = key_head_of(state_head);",
      "let key_head = query_head % params.key_heads;",
    ],
  ]),
  ...faultsInKernel("linear.scan", CHUNKS, [
    [
      "the state that enters a chunk has the chunk in it",
      "states[at] = state;",
      "states[at] = state + own;",
    ],
    [
      "a chunk decays by its first gate",
      "gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u]",
      "gate_of(chunk.row, state_head, row / 4u)[row % 4u]",
    ],
    [
      "all rows decay by the first one's gate",
      "state_head, row / 4u)[row % 4u]",
      "state_head, row / 4u)[0]",
    ],
  ]),
  ...faultsInKernel("linear.scan/chunks.channel.reduce", CHUNKS, [
    [
      "a block decays by its last chunk",
      "gates_sum += end;",
      "gates_sum = end;",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/work/chunks.ts: writeSegment", CHUNKS, [
    [
      "a sequence that is cut begins anew",
      "begins ? own.initial ?? NO_STATE : entering",
      "own.initial ?? NO_STATE",
    ],
    [
      "a sequence that is cut loses its state",
      "ends ? own.final ?? NO_STATE : leaving",
      "own.final ?? NO_STATE",
    ],
    [
      "a chunk's scratch begins at its place in the sequence",
      "row: rows,",
      "row: c * chunk,",
    ],
    [
      "a block is not the one before's successor",
      "initial_slot: kept,",
      "initial_slot: NO_STATE,",
    ],
    [
      "every block's state is the sequence's",
      "ends ? final : NO_STATE",
      "final",
    ],
  ]),
  ...faultsIn(
    "src/ops/linear_attention/work/chunks.ts: chunkSchedule",
    CHUNKS,
    [
      [
        "a segment leaves its state where it found one",
        "leaving: KEPT_STATE + mostBlocks + s % turns",
        "leaving: KEPT_STATE + mostBlocks + (s + 1) % turns",
      ],
    ],
  ),
  ...faultsIn("src/ops/linear_attention/work/chunks.ts: piecesOf", CHUNKS, [
    [
      "where room is short, blocks are cut by it",
      "const most = blocks ? block : segment;",
      "const most = Math.min(block, segment);",
    ],
  ]),
  ...faultsIn(
    "src/ops/linear_attention/options/problem.ts: linearProblem",
    CHUNKS,
    [
      [
        "dense sequences are one after the other",
        "batch: dense ? i : 0",
        "batch: 0",
      ],
    ],
  ),
  ...faultsIn("src/ops/linear_attention/options/problem.ts: checkSlots", BAD, [
    [
      "two sequences write a slot",
      "!writers.has(slot)",
      "true",
    ],
    [
      "a slot may be read while another writes it",
      "writer === undefined || writer === i",
      "true",
    ],
  ]),
  ...faultsIn(
    "src/ops/linear_attention/options/gate_shape.ts: gateShape",
    BAD,
    [
      [
        "a shape of two meanings is taken for one",
        "!(perToken && constants)",
        "true",
      ],
    ],
  ),
  ...faultsIn(
    "src/ops/linear_attention/options/gate_shape.ts: gateShape",
    LAWS,
    [
      [
        "what is alike for all tokens has a stride",
        "whole[axis] === 1 ? 0 : stride",
        "stride",
      ],
    ],
  ),
  ...faultsIn(
    "src/ops/linear_attention/options/gate_shape.ts: checkValues",
    BAD,
    [
      ["a gate may be -Infinity", "gate <= 0 && gate > -Infinity", "gate <= 0"],
      ["a gate of NaN passes", "gate <= 0 && gate > -Infinity", "!(gate > 0)"],
    ],
  ),
  ...faultsIn("src/ops/linear_attention/options/rules.ts: ruleOf", BAD, [
    [
      "a rule is taken whatever is given",
      "rule === meant,",
      "true,",
    ],
  ]),
  ...faultsIn("checkLinearTensors", PLAN, [
    [
      "an output may be the query",
      '(["states", "output", "state"] as const)',
      '(["states", "state"] as const)',
    ],
  ]),
];
