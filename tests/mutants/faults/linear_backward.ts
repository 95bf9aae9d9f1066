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
      "the next sub-chunk begins a token late",
      "(row / params.sub_chunk + 1u) * params.sub_chunk;",
      "(row / params.sub_chunk + 1u) * params.sub_chunk + 4u;",
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
    "src/ops/linear_attention/backward/parts.ts: scoreGradients",
    GRADIENTS,
    [
      [
        "gates of channels weigh gradients of scores",
        'spec.gate === "head" ? "head" : "none"',
        "spec.gate",
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
  ...faultsIn("src/ops/linear_attention/chunks.ts: chunkSchedule", GRADIENTS, [
    [
      "segments keep two states for each other",
      "sizes.keepAll ? segments.length : 2",
      "2",
    ],
  ]),
];
