/**
 * One-line faults in what blocks are drawn, with which chance and weight, and in
 * the hash of expressions that draws them.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const DRAWS = ["policies/prflash/prflash"];
const COMPARE = ["repro/policies/compare"];
const FOLD = ["planning/triangle_fold"];
const RANDOM = ["mods/random"];
const INTERVALS = ["mods/interval/interval_arithmetic"];
const EVALUATE = ["mods/evaluate"];

/** Every fault listed for it. */
export const PRFLASH_FAULTS: readonly SourceFault[] = [
  ...faultsIn("drawnMask", DRAWS, [
    ["later keys are seen", "return key.le(query).and(kept);", "return kept;"],
    ["a block without a chance is kept at times", "kept - 1", "kept"],
    ["each query head draws for itself", "head.div(group)", "head"],
    ["all sequences draw the same", "[batch, head", "[int(0), head"],
    ["half the chances are certain", "bits.shr(1)", "bits"],
    [
      "all rows keep the same columns",
      "group), row], column",
      "group)], column",
    ],
  ]),
  ...faultsIn("inverseChances", DRAWS, [
    [
      "what was likely counts more",
      "-Math.log(kept / CERTAIN)",
      "Math.log(kept / CERTAIN)",
    ],
    ["weights are of keys, not of blocks", "row.sub(column)", "query.sub(key)"],
  ]),
  ...faultsIn("keepTable", DRAWS, [
    ["there is no floor", "Math.max(floor, falling(delta))", "falling(delta)"],
    [
      "the last chance is lost",
      "table.indexOf(last) + 1",
      "table.indexOf(last)",
    ],
  ]),
  ...faultsIn("fallingBy", DRAWS, [
    ["a power of 0 at the diagonal", "(1 + delta) ** -a", "delta ** -a"],
    ["the other family's number is taken", "given === undefined,", "true,"],
  ]),
  ...faultsIn("experimentalPrFlash", DRAWS, [
    [
      "all rounds draw the same",
      "takeIn([seedLow, seedHigh], round)",
      "takeIn([seedLow, seedHigh], 0)",
    ],
    [
      "a seed's high half is lost",
      "takeIn([seedLow, seedHigh], round)",
      "takeIn([seedLow, 0], round)",
    ],
    [
      "scores are always weighted",
      'mode === "ht" ? [',
      "mode !== undefined ? [",
    ],
  ]),
  ...faultsIn("expectedBlocks", DRAWS, [
    [
      "a distance has a block too few",
      "mean += (rows - distance)",
      "mean += (rows - distance - 1)",
    ],
    ["a draw has a sum's variance", "p * (1 - p)", "p"],
  ]),
  ...faultsIn("checkOwnKeys", DRAWS, [
    ["rows may be left empty", "start < keyCount", "start <= keyCount"],
    [
      "the query after the last is held",
      "queryOffset + queryCount - 1",
      "queryOffset + queryCount",
    ],
  ]),
  ...faultsIn("TriangleFold.block", FOLD, [
    ["a short row lacks its last block", "slot <= short", "slot < short"],
    [
      "long rows begin with the longest",
      "this.rows - 1 - pair",
      "this.rows - 2 - pair",
    ],
  ]),
  ...faultsIn("TriangleFold.place", FOLD, [
    [
      "the middle row is a short one",
      "row + this.#alone < this.pairs",
      "row < this.pairs",
    ],
    [
      "a long row begins in its short one",
      "long - this.#alone + 1 + column",
      "long + column",
    ],
  ]),
  ...faultsIn("randomBits", RANDOM, [
    ["a state's second word takes nothing in", "b = mix(b.xor(a));", ""],
    ["zeros stay zeros", ".add(golden)", ""],
    [
      "bits do not depend on the second word",
      "mix(mix(last.xor(a)).xor(b))",
      "mix(mix(last.xor(a)))",
    ],
  ]),
  ...faultsIn("multiplyInt", INTERVALS, [
    ["one product of 32 bits is unknown", "isPoint(a) && isPoint(b)", "false"],
  ]),
  ...faultsIn("exclusiveOrInt", INTERVALS, [
    ["what differs is below the highest bit", "- 1];", "- 2];"],
    ["signs are left out", "a[0] < 0 || b[0] < 0", "a[0] < 0 && b[0] < 0"],
  ]),
  ...faultsIn("shiftRightInt", INTERVALS, [
    ["signs are shifted in order", "a[0] >= 0 || a[1] < 0", "true"],
    ["a shift by 32 empties", "b[0] & 31", "b[0]"],
  ]),
  ...faultsIn("INT_BINARY", EVALUATE, [
    ["ones come in", "(a >>> b) | 0", "a >> b"],
    ["equal bits differ", "a ^ b", "a | b"],
  ]),
  ...faultsIn("needleOf", COMPARE, [
    ["all questions ask for the same", "question * asked +", "0 +"],
  ]),
  ...faultsIn("needlePlaces", COMPARE, [
    ["needles reach into the next part", "part - NEEDLE_KEYS + 1", "part + 1"],
    [
      "needles stand in order",
      "return random.shuffle(places);",
      "return places;",
    ],
  ]),
  ...faultsIn("recallOf", COMPARE, [
    ["one head's find is all heads'", "found++;", "found += heads;"],
    [
      "what no head finds is found",
      "rowsFound += Number(any);",
      "rowsFound++;",
    ],
  ]),
  ...faultsIn("repro/policies/compare/measure.ts: compare", COMPARE, [
    [
      "mass is of the other questions",
      "dense[question].lse[i]",
      "dense[0].lse[i]",
    ],
    ["mass is over all of dense's", "Math.exp(x - ", "Math.exp(-x + "],
  ]),
];
