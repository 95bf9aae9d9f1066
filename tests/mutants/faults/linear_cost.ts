/**
 * One-line faults in what foretells the cost of linear attention.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const COST = ["planning/linear/cost"];
const STATE = ["planning/linear/state"];

/** Every fault listed for it. */
export const LINEAR_COST_FAULTS: readonly SourceFault[] = [
  ...faultsIn("featureDim", STATE, [
    [
      "each product of two elements is kept twice",
      "headDim * (headDim + 1) / 2",
      "headDim * headDim",
    ],
  ]),
  ...faultsIn("stateCrossover", STATE, [
    ["as many bytes are enough", "kvBytes(1, kv)) + 1", "kvBytes(1, kv))"],
  ]),
  ...faultsIn("gatedPairs", COST, [
    [
      "the first sub-chunk has others before it",
      "(first > 0 ? count + first : 0) * d",
      "(count + first) * d",
    ],
    [
      "exponentials are counted for each query row",
      "exp += within * d",
      "exp += rows * within * d",
    ],
    [
      "the last sub-chunk is whole",
      "Math.min(subChunk, n - first)",
      "subChunk",
    ],
  ]),
  ...faultsIn("sumOfChunks", COST, [
    ["the last chunk is whole", "n: rest, subChunk", "n: chunk, subChunk"],
    [
      "heads do not count in the last chunk",
      "n: rest, subChunk }), sizes.states)",
      "n: rest, subChunk }), 1)",
    ],
  ]),
  ...faultsIn("solveCost", COST, [
    ["the triangle has its diagonal", "pairsOf(n, true)", "pairsOf(n, false)"],
  ]),
];
