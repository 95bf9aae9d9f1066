/**
 * One-line faults in parts of models, and in what solves recall.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const PROMPT = ["model/jrt/prompt"];
const PREFIX = ["model/jrt/prefix"];
const LOSS = ["model/jrt/loss"];
const LAYERS = ["model/based/layers"];
const MQAR = ["repro/recall/mqar"];
const SETS = ["repro/recall/disjointness"];

/** Every fault listed for it. */
export const MODEL_FAULTS: readonly SourceFault[] = [
  ...faultsIn("repeatedPrompt", PROMPT, [
    ["the context stands once more", "repeats - 1", "repeats"],
    [
      "the separator stands after the context",
      "[between, context]",
      "[context, between]",
    ],
  ]),
  ...faultsIn("prefixTokens", PREFIX, [
    [
      "padding counts as the prompt's",
      "return { tokens, length: real }",
      "return { tokens, length }",
    ],
    [
      "a prompt of the prefix's length is refused",
      "prompt.length >= length ||",
      "prompt.length > length ||",
    ],
  ]),
  ...faultsIn("prefixLoss", LOSS, [
    [
      "every sequence of a batch is masked alike",
      "keep(sequence, 0, 0, i)",
      "keep(0, 0, 0, i)",
    ],
    [
      "the last position foretells nothing, and weighs",
      "i + 1 < tokens.length",
      "i < tokens.length",
    ],
    ["masked tokens are seen", "inputs[i] = maskToken;", ""],
    [
      "the weights are of a sum, not of a mean",
      "maskWeight / masked.length",
      "maskWeight",
    ],
  ]),
  ...faultsIn("basedLayers", LAYERS, [
    ["windows are linear", "windows.includes(at)) return", "false) return"],
  ]),
  ...faultsIn("inWindow", MQAR, [
    ["the key is enough", "2 * i + 1 >=", "2 * i + 2 >="],
  ]),
  ...faultsIn("kept", SETS, [
    ["one more fits", "store.size === slots", "store.size > slots"],
  ]),
  ...faultsIn("decide", SETS, [
    ["sets are read once", "reading < readings", "reading < 1"],
  ]),
];
