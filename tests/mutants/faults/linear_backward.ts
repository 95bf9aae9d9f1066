/**
 * One-line faults in the gradients of linear attention.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const GRADIENTS = ["kernels/linear/backward/backward"];
const LAWS = ["kernels/linear/backward/laws"];

/** Every fault listed for them. */
export const LINEAR_BACKWARD_FAULTS: readonly Fault[] = [
  ...faultsInKernel("linear.backward.state", GRADIENTS, [
    [
      "a state's gradient has no scale",
      "params.scale * sum_0",
      "sum_0",
      "all",
    ],
    [
      "a state's gradient is of its first reader alone",
      "reader < first_reader(head + 1u)",
      "reader < first_reader(head) + 1u",
    ],
  ]),
  ...faultsInKernel("linear.backward.query", GRADIENTS, [
    [
      "a query's gradient is of the first state that it reads alone",
      "let end = (head + 1u) * params.heads / params.query_heads;",
      "let end = head * params.heads / params.query_heads + 1u;",
    ],
    [
      "gates see what a token has of itself",
      "depth + 1 < row + 1",
      "depth + 1 <= row + 1",
    ],
    [
      "the state that enters has decayed to the sub-chunk's start alone",
      "sum_1_0 *= passed[1];",
      "",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.backward.key", GRADIENTS, [
    [
      "keys of one state alone have gradients",
      "let end = (head + 1u) * params.state_heads / params.key_heads;",
      "let end = head * params.state_heads / params.key_heads + 1u;",
    ],
    [
      "the next sub-chunk is the token's own",
      "(row / params.sub_chunk + 1u) * params.sub_chunk;",
      "row / params.sub_chunk * params.sub_chunk;",
    ],
    [
      "what leaves the chunk is not kept for gates",
      "state_head, 1u) + vec] = sum_0_0;",
      "state_head, 1u) + vec] = vec4f(0.0);",
    ],
    [
      "a key's gradient has the others' of its last reader alone",
      "others_2 += sum_2_0;",
      "others_2 = sum_2_0;",
    ],
  ]),
  ...faultsInKernel("linear.backward.value", GRADIENTS, [
    [
      "values have gradients of the outputs before them",
      "var depth = row;",
      "var depth = 0u;",
    ],
  ]),
  ...faultsInKernel("linear.backward.through", GRADIENTS, [
    [
      "what goes through a chunk does not decay",
      "sum = exp(end) * (",
      "sum = (",
    ],
  ]),
  ...faultsInKernel("linear.backward.gates", GRADIENTS, [
    [
      "a gate weighs what its own token writes",
      "before = fma(load_key(key_at(chunk, token, key_head), vec), leaving, before);",
      "before = fma(load_key(key_at(chunk, token, key_head), vec), leaving, before); key_terms[at] = before;",
    ],
    [
      "a gate does not weigh what its own token reads",
      "+ vec] + after);",
      "+ vec] + after - own);",
    ],
    [
      "gates of a state have one reader",
      "reader < first_reader(state_head + 1u)",
      "reader < first_reader(state_head) + 1u",
    ],
  ]),
  ...faultsInKernel("linear.backward.fold", LAWS, [
    [
      "a run leaves its last term out",
      "(run + 1u) * 256);",
      "(run + 1u) * 256 - 1u);",
    ],
  ]),
  ...faultsInKernel("linear.delta_solve", GRADIENTS, [
    [
      "gradients are solved for without later blocks",
      "var after = row + 4u;",
      "var after = chunk.count;",
    ],
    [
      "a token's later ones in its block have the strengths of the system",
      "x_2 -= beta_2 * (own[3][2] * x_3);",
      "x_2 -= beta_3 * (own[3][2] * x_3);",
    ],
  ]),
  ...faultsInKernel("linear.delta_scan", GRADIENTS, [
    [
      "gradients of states decay as those before the chunk",
      "next_0 = fma(vec4f(kept[0]), next_0, given[0]);",
      "next_0 += given[0];",
    ],
    [
      "what outputs add to a state's gradient is lost",
      "let given = state_block(chunk_index, state_head, row, vec);",
      "let given = mat4x4f();",
    ],
    [
      "values' gradients see no state",
      "u_3 = fma(vec4f(1.0 * erased[2][3]), state, u_3);",
      "",
    ],
  ]),
  ...faultsInKernel("linear.backward.recall", GRADIENTS, [
    [
      "what a token recalls is the next one's",
      "key_terms[key_terms_at(chunk.row + row + 1, reader, 2u) + vec] = sum_1_0;",
      "key_terms[key_terms_at(chunk.row + row + 1, reader, 2u) + vec] = sum_2_0;",
    ],
  ]),
  ...faultsInKernel("linear.backward.recalled", GRADIENTS, [
    [
      "what later tokens recall is that of the token before",
      "key_terms[key_terms_at(chunk.row + row + 2, state_head, 0u) + vec] = others_2;",
      "key_terms[key_terms_at(chunk.row + row + 2, state_head, 0u) + vec] = others_1;",
    ],
  ]),
  ...faultsInKernel("linear.backward.residual", GRADIENTS, [
    [
      "strengths see the value alone",
      "base[0] + sum_0",
      "base[0]",
      "all",
    ],
  ]),
  ...faultsInKernel("linear.backward.rest", GRADIENTS, [
    [
      "what is written has gradients of one reader",
      "reader < first_reader(head + 1u)",
      "reader < first_reader(head) + 1u",
    ],
  ]),
  ...faultsInKernel("linear.backward.strength", GRADIENTS, [
    [
      "strengths of all sequences are the first one's",
      "let place = chunk.batch * params.sequence_tokens + chunk.token + token;",
      "let place = chunk.token + token;",
    ],
  ]),
  ...faultsInKernel("linear.scan", GRADIENTS, [
    [
      "gradients of states go forwards",
      "let item = run.first + run.count - 1u - i;",
      "let item = run.first + i;",
    ],
  ]),
  ...faultsIn(
    "src/ops/linear_attention/backward/parts.ts: linearBackwardParts",
    GRADIENTS,
    [
      [
        "segments are gone along from the first",
        "segments.toReversed().flatMap",
        "segments.flatMap",
      ],
    ],
  ),
  ...faultsIn(
    "src/ops/linear_attention/backward/context.ts: scoreGate",
    GRADIENTS,
    [
      [
        "gates of channels weigh gradients of scores",
        'gate === "head" ? "head" : "none"',
        "gate",
      ],
    ],
  ),
  ...faultsIn(
    "src/ops/linear_attention/backward/parts.ts: gateGradients",
    GRADIENTS,
    [
      [
        "gates of all sequences are the first one's",
        "sequence_tokens: tokens",
        "sequence_tokens: 0",
      ],
    ],
  ),
  ...faultsIn("src/ops/linear_attention/backward/folds.ts: foldsOf", LAWS, [
    [
      "sums are folded once",
      "while (dims[axis] !== 1) {",
      "if (dims[axis] !== 1) {",
    ],
  ]),
  ...faultsIn(
    "src/ops/linear_attention/work/chunks.ts: chunkSchedule",
    GRADIENTS,
    [
      [
        "segments keep two states for each other",
        "sizes.keepAll ? segments.length : 2",
        "2",
      ],
    ],
  ),
];
