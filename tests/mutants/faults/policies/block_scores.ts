/**
 * One-line faults in scores of blocks: in the forward kernel's maxima, in what is
 * made of them, and in what a plan says and refuses.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../../fault.ts";

const KERNELS = ["kernels/block_scores"];
const OPTION = ["ops/attention/block_scores"];
const ORACLE = ["reference/policies/block_scores"];

/** Every fault listed for them. */
export const BLOCK_SCORES_FAULTS: readonly Fault[] = [
  ...faultsInKernel("attention.forward", KERNELS, [
    [
      "the last key of a step is the largest",
      "top_$r = max(top_$r, s_$j)",
      "top_$r = s_$j",
      "all",
    ],
    [
      "a block's maximum goes on into the next",
      "top_$r); top_$r = SENTINEL;",
      "top_$r);",
      "all",
    ],
    [
      "what a run leaves of a block is lost",
      "|| next_key >= end_key",
      "",
    ],
    [
      "blocks are taken to end with runs alone",
      "next_key % params.score_block == 0u ||",
      "",
    ],
    [
      "rows share the maxima of the first one",
      "block_maxima[row * params.score_blocks + block]",
      "block_maxima[block]",
    ],
    [
      "what a row does not see counts",
      "if (score != SENTINEL) {",
      "if (true) {",
    ],
  ]),
  ...faultsInKernel("attention.block_scores", KERNELS, [
    [
      "rows of the next sequence are taken in",
      "min(first + params.score_block, sequence.query_count)",
      "first + params.score_block",
    ],
    [
      "a sequence's last row is lost",
      "sequence.query_count);",
      "sequence.query_count - 1u);",
    ],
    [
      "negative scores are read as they lie",
      "select(~order, order & 0x7fffffffu, order >= 0x80000000u)",
      "order & 0x7fffffffu",
    ],
    [
      "rows of blocks do not add up to 1",
      "select(all, 1.0, all == 0.0)",
      "1.0",
    ],
    [
      "heads' scores lie one over the other",
      "(batch * grid.y + head) *",
      "(batch * grid.y) *",
    ],
    [
      "the log-sum-exp is left out",
      "exp(score_of(order) - log_sum)",
      "exp(score_of(order))",
    ],
  ]),
  ...faultsInKernel("attention.block_maxima.clear", OPTION, [
    ["nothing is cleared", "word < params.words", "word < 1u"],
  ]),
  ...faultsIn("commonDivisor", KERNELS, [
    [
      "steps reach into two blocks",
      "b === 0 ? a : commonDivisor(b, a % b)",
      "a",
    ],
  ]),
  ...faultsIn("blockScoresShape", KERNELS, [
    [
      "there are as many blocks as in the shortest sequence",
      "Math.max(a, b), 0)",
      "Math.min(a, b), 20)",
    ],
  ]),
  ...faultsIn("blockScoresLoops", OPTION, [
    ["a block's queries are not counted", "(queries + 3)", "3"],
  ]),
  ...faultsIn("blockScoresTraffic", OPTION, [
    [
      "a block that a run begins in is not met",
      "Math.floor(first",
      "Math.ceil(first",
    ],
    ["all heads count as one", "? kvHeads : 1", "? 1 : 1"],
  ]),
  ...faultsIn("src/ops/attention/attention.ts: attention", OPTION, [
    [
      "backward holds the scores of blocks",
      "one !== blockScores",
      "one !== undefined",
    ],
  ]),
  ...faultsIn("checkBlockScores", OPTION, [
    ["other algorithms pass", 'algorithm === "fused"', "true"],
    [
      "plans without a log-sum-exp pass",
      'lse,\n    "returnLse"',
      'true,\n    "returnLse"',
    ],
  ]),
  ...faultsIn("blockScores", ORACLE, [
    ["the oracle takes the last weight", "Math.max(out[at], weight)", "weight"],
    ["the oracle's rows do not add up to 1", "score / sum", "score"],
  ]),
  ...faultsIn("src/ops/attention/attention.ts: attention", OPTION, [
    [
      "a log-sum-exp that is not asked for is kept",
      "onHost || !Object.values(shown).includes(one)",
      "onHost",
    ],
  ]),
];
