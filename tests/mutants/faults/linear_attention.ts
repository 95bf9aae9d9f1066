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
      "gates of padding are a channel's",
      "sum += select(gate, 0.0, padding);",
      "sum += gate;",
    ],
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
      "the sub-chunk begins at the chunk's first token",
      "let reference = row / params.sub_chunk * params.sub_chunk;",
      "let reference = 0u;",
    ],
    [
      "gates past the chunk's end are read",
      "let own = gate_of(chunk.row + min(row + 3, last), state_head, vec);",
      "let own = gate_of(chunk.row + row + 3, state_head, vec);",
    ],
    [
      "decay to a key is that of the chunk's start",
      "exp(min(gate - key_gates, vec4f(0.0)))",
      "exp(min(vec4f(gate), vec4f(0.0)))",
      "all",
    ],
    [
      "a key head is a query's",
      "let key_head = key_head_of(state_head);",
      "let key_head = query_head % params.key_heads;",
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
    [
      "a state's rows past its end are the next one's",
      "row + 3 <= last",
      "row <= last",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.output", LAWS, [
    [
      "sequences of a batch are not apart",
      "u32(batch) * params.query_batch_stride",
      "u32(batch)",
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
  ...faultsIn("src/ops/linear_attention/chunks.ts: writeSegment", CHUNKS, [
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
  ...faultsIn("src/ops/linear_attention/chunks.ts: chunkSchedule", CHUNKS, [
    [
      "a segment leaves its state where it found one",
      "leaving: KEPT_STATE + mostBlocks + s % turns",
      "leaving: KEPT_STATE + mostBlocks + (s + 1) % turns",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/chunks.ts: piecesOf", CHUNKS, [
    [
      "where room is short, blocks are cut by it",
      "const most = blocks ? block : segment;",
      "const most = Math.min(block, segment);",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/problem.ts: linearProblem", CHUNKS, [
    [
      "dense sequences are one after the other",
      "batch: dense ? i : 0",
      "batch: 0",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/problem.ts: checkSlots", BAD, [
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
  ...faultsIn("src/ops/linear_attention/gate_shape.ts: gateShape", BAD, [
    [
      "a shape of two meanings is taken for one",
      "!(perToken && constants)",
      "true",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/gate_shape.ts: gateShape", LAWS, [
    [
      "what is alike for all tokens has a stride",
      "whole[axis] === 1 ? 0 : stride",
      "stride",
    ],
  ]),
  ...faultsIn("src/ops/linear_attention/gate_shape.ts: checkValues", BAD, [
    ["a gate may be -Infinity", "gate <= 0 && gate > -Infinity", "gate <= 0"],
    ["a gate of NaN passes", "gate <= 0 && gate > -Infinity", "!(gate > 0)"],
  ]),
  ...faultsIn("src/ops/linear_attention/rules.ts: ruleOf", BAD, [
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
