/**
 * One-line faults in what a Seer gate learns, and by which gradient.
 *
 * @module
 */

import { type Fault, faultsIn } from "../../fault.ts";

const TESTS = ["policies/seer/distillation"];

/** Every fault listed for it. */
export const DISTILLATION_FAULTS: readonly Fault[] = [
  ...faultsIn("src/policies/seer/distill/gradient.ts: headLoss", TESTS, [
    ["shares are taken for their mass", "share * mass -", "share -"],
    [
      "a query's gradient is not rotated back",
      "rotate(queryGradient, -positions[i], rotary)",
      "queryGradient",
    ],
    [
      "keys' gradients are rotated once more",
      "rotate(gradient, -j * block, rotary)",
      "rotate(gradient, j * block, rotary)",
    ],
    [
      "all rows count",
      "let i = first; i < queryBlocks",
      "let i = 0; i < queryBlocks",
    ],
    [
      "gradients are of logits that were not scaled",
      "(share * mass - wanted[j]) / Math.sqrt(gateDim)",
      "(share * mass - wanted[j])",
    ],
    ["what is wanted is no factor", "wanted[j] * (Math.log(", "(Math.log("],
  ]),
  ...faultsIn("src/policies/seer/distill/gradient.ts: gateRows", TESTS, [
    [
      "keys are projected by the first head",
      "keyHead * 3 * headDim * gateDim",
      "0",
    ],
    [
      "heads share the first one's keys",
      "(b * kvHeads + kvHead)",
      "(b * kvHeads)",
    ],
    ["keys are not rotated", "j * block, rotary)", "0, rotary)"],
  ]),
  ...faultsIn("gateLoss", TESTS, [
    [
      "rows that do not count are elements",
      "(queryBlocks - first)",
      "queryBlocks",
    ],
  ]),
  ...faultsIn("pooledExample", TESTS, [
    [
      "queries stand where they are counted from",
      "Math.max(offset + query, 0)",
      "query",
    ],
    ["a row sees one block less", "blockOf(last) + 1", "blockOf(last)"],
    ["rows before all keys see the first block", "offset + last < 0", "false"],
    ["no row is skipped", "Math.floor(sizes.skip * queryBlocks)", "0"],
  ]),
  ...faultsIn("src/policies/seer/distill/pooled.ts: pool", TESTS, [
    [
      "the last block averages over what is not there",
      "Math.min(block, tokens - first)",
      "block",
    ],
  ]),
  ...faultsIn("checkTruth", TESTS, [
    ["what the gate never sees may be wanted", "score === 0 ||", "true ||"],
  ]),
  ...faultsIn("SeerDistillation.step", TESTS, [
    ["it goes up", "own[n] -= rate", "own[n] += rate"],
    ["what is no number is taken", "Number.isFinite(loss)", "true"],
  ]),
  ...faultsIn("SeerDistillation.loss", TESTS, [
    [
      "gradients are of the sum",
      "all[n] = gradient * mean",
      "all[n] = gradient",
    ],
  ]),
];
