/**
 * One-line faults in projections with a low-rank update.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const LORA = ["model/lora/lora"];
const TRAINABLE = ["model/lora/trainable"];

/** Every fault listed for it. */
export const LORA_FAULTS: readonly SourceFault[] = [
  ...faultsIn("loraScale", LORA, [
    ["the factor is alpha alone", "return alpha / rank;", "return alpha;"],
  ]),
  ...faultsIn("src/model/lora/problem.ts: loraProblem", LORA, [
    ["alpha is 8 by default", "alpha = 16", "alpha = 8"],
    ["any B will do", 'checkLike("b", options.b, b);', ""],
    ["any bias will do", 'checkLike("bias", options.bias, bias);', "void 0;"],
    [
      "a matrix's width is not looked at",
      "shape[1] === columns",
      "shape[1] >= 0",
    ],
  ]),
  ...faultsIn("src/model/lora/plan.ts: partsOf", LORA, [
    ["the update is the output", 'accumulate: ["output"]', "accumulate: []"],
    ["the update is not scaled", "weight: a, scale", "weight: a"],
  ]),
  ...faultsIn("LoraPlan.encode", LORA, [
    [
      "what is read may be written",
      "checkWritten(buffersOf(undefined, read), [[",
      "checkWritten([], [[",
    ],
  ]),
  ...faultsIn("src/model/lora/backward_plan.ts: partsOf", LORA, [
    [
      "A's gradient is not scaled",
      "weight: a, scale, accumulate",
      "weight: a, accumulate",
    ],
    [
      "B's gradient is not scaled",
      "{ input, weight: a, scale }",
      "{ input, weight: a }",
    ],
    ["a gradient by the weight is made", "frozen: true", "frozen: false"],
    [
      "the rows' gradient is the update's alone",
      '"inputGradient", ...(adds.a',
      "...(adds.a",
    ],
    ["rows' gradients are never added", "adds.input ? ", "false ? "],
    ["A's gradients are never added", "...(adds.a ? ", "...(false ? "],
    ["B's gradients are never added", "adds.b ? ", "false ? "],
  ]),
  ...faultsIn("LoraBackwardPlan.encode", LORA, [
    [
      "A's gradient goes by the output",
      "outputGradient: lowGradient",
      "outputGradient: low",
    ],
    [
      "what is read may be written",
      "checkWritten( buffersOf(undefined, read),",
      "checkWritten( [],",
    ],
  ]),
  ...faultsIn("src/model/lora/lora.ts: run", LORA, [
    ["results of host arrays stay", "temporary.push(...made); const", "const"],
    ["a plan is not freed", "= [plan];", "= [];"],
  ]),
  ...faultsIn("src/model/lora/merge.ts: moved", LORA, [
    [
      "B is read the other way",
      "b.data[row * rank + r]",
      "b.data[r * rank + row]",
    ],
    ["merging again is taking away", "times * loraScale", "loraScale"],
    ["the last rank is left out", "r < rank", "r < rank - 1"],
  ]),
  ...faultsIn("trainableParameters", TRAINABLE, [
    [
      "only low-rank updates are trained",
      "words = [lora, ...also]",
      "words = [lora]",
    ],
    ["norms are frozen", '["embed", "norm"]', '["embed"]'],
    [
      "a word may pick nothing",
      "names.some((name) => name.includes(word))",
      "true",
    ],
    ["all words must be in a name", "words.some((word)", "words.every((word)"],
    ["an empty word picks all", 'word !== ""', "true"],
  ]),
];
