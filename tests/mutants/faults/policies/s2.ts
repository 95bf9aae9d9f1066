/**
 * One-line faults in S2-Attention: which blocks a head keeps, what heads keep
 * together, and which calls are refused.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const PATTERN = ["policies/s2/s2"];
const REPRO = ["repro/policies/s2"];
const EVICTION = ["policies/s2/eviction"];

/** Every fault listed for it. */
export const S2_FAULTS: readonly SourceFault[] = [
  ...faultsIn("keptPair", PATTERN, [
    ["the band is a block longer", "before.lt(left)", "before.le(left)"],
    ["a row sees later keys", "key.le(query).and(kept)", "kept"],
    [
      "heads shift to the right",
      "column.add(kvHead.mul(step))",
      "column.sub(kvHead.mul(step)).add(stride * 9)",
    ],
    [
      "the first dense head is sparse",
      "kvHead.ge(sparse)",
      "kvHead.gt(sparse)",
    ],
    [
      "distances begin a block late",
      "before.sub(left - 1)",
      "before.sub(left)",
    ],
    [
      "what is ahead is counted from the row",
      "after.sub(right - 1)",
      "after.sub(0)",
    ],
    [
      "an absolute band has no end ahead",
      "near.and(after.lt(right))",
      "near",
    ],
  ]),
  ...faultsIn("keepsBlock", PATTERN, [
    ["a block ahead is kept", "causal && column > row", "false"],
    [
      "distances ahead are not counted",
      "(passed + ahead) % stride",
      "passed % stride",
    ],
  ]),
  ...faultsIn("shiftsOf", PATTERN, [
    [
      "the step follows key/value heads",
      "stride / queryHeads",
      "stride / kvHeads",
    ],
    ["heads may be all the same by themselves", "Math.max(1, ", "Math.max(0, "],
    [
      "more heads may be dense than there are",
      "denseHeads, 0, kvHeads",
      "denseHeads, 0, queryHeads",
    ],
  ]),
  ...faultsIn("coverageOf", PATTERN, [
    ["dense heads leave blocks out", "denseHeads === 0 && ", ""],
    ["heads shift the other way", "(stride - (h", "((h"],
    ["distances are shared out", "relative && sparse > 0", "relative && false"],
  ]),
  ...faultsIn("patternOf", PATTERN, [
    ["vLLM's phase is DKernel's", '"vllm" ? 1 : 0', '"vllm" ? 0 : 0'],
    ["a negative offset is another", "+ stride + (", "+ stride + 1 + ("],
    [
      "shifts are not refused among distances",
      "refuseShifts(options);",
      "void refuseShifts;",
    ],
    [
      "both sides are absolute by default",
      'causal ? "absolute" : "relative"',
      'causal ? "absolute" : "absolute"',
    ],
  ]),
  ...faultsIn("S2Policy.maskMods", PATTERN, [
    [
      "a mask is that of other heads",
      "[group, sparse, step].join()",
      "[sparse, step].join()",
    ],
  ]),
  ...faultsIn("S2Policy.kvEfficient", PATTERN, [
    [
      "distances are KV-efficient",
      "causal && (!relative || stride === 1)",
      "causal && stride > 0",
    ],
  ]),
  ...faultsIn("src/policies/s2/rows.ts: checkRows", PATTERN, [
    ["the band of a row behind ends early", "+ band.left - 1", "+ band.left"],
    ["only head 0 is looked at", "Math.min(shifts.sparse, stride)", "1"],
    [
      "only the first row behind is looked at",
      "Math.min(last, first + stride)",
      "Math.min(last, first)",
    ],
  ]),
  ...faultsIn("src/policies/s2/rows.ts: seesAny", PATTERN, [
    [
      "only the last blocks are looked at",
      "blocks - pattern.stride)",
      "blocks - 1)",
    ],
  ]),
  ...faultsIn("S2Policy.select", PATTERN, [
    [
      "blocks that are left out are not refused",
      "if (this.#pattern.requireCoverage) ",
      "if (false) ",
    ],
  ]),
  ...faultsIn("unseenBlocks", EVICTION, [
    [
      "a block goes before its last row is there",
      "Math.floor(from / pattern.block)",
      "Math.ceil(from / pattern.block)",
    ],
    [
      "only a block's first rows are looked at",
      "Math.floor(((i + 1) * blockSize - 1) / pattern.block)",
      "first",
    ],
    [
      "blocks that rows are yet to come to go",
      "column > row || keepsBlock",
      "keepsBlock",
    ],
    [
      "what is gone too early is not noticed",
      "!seen || id !== NULL_BLOCK,",
      "true,",
    ],
    [
      "rows that are not there may be waited for",
      'checkInteger("from", from, 0, table.committed);',
      "",
    ],
  ]),
  ...faultsIn("S2Policy.forHeadTables", EVICTION, [
    [
      "every sequence has the heads of all before it",
      "kvHead: batch.rem(kvHeads)",
      "kvHead: batch",
    ],
    [
      "rows are looked at in head 0",
      "sequence % kvHeads",
      "sequence % 1",
    ],
    [
      "blocks that are left out are not refused over tables",
      "if (pattern.requireCoverage) ",
      "if (false) ",
    ],
  ]),
  ...faultsIn("S2Policy.forHeadTables", ["policies/fallback"], [
    [
      "short sequences over tables see later keys",
      "causal: pattern.causal",
      "causal: false",
    ],
  ]),
  ...faultsIn("checkHeadTables", EVICTION, [
    ["a table may have several heads", "kvHeads === 1 && ", ""],
    ["another group is taken", "&& queryHeads === expected.group", ""],
    [
      "a sequence may lack a head",
      "sequences.length % expected.kvHeads === 0",
      "sequences.length > 0",
    ],
  ]),
  ...faultsIn("S2Policy.evict", EVICTION, [
    [
      "blocks go that come back",
      'this.kvEfficient, "evict (s2): kvEfficient"',
      'true, "evict (s2): kvEfficient"',
    ],
    [
      "a table may be two heads'",
      "&& new Set(tables).size === tables.length",
      "",
    ],
    [
      "tables change before all are looked at",
      "unseenBlocks(this.#pattern, shifts, { table, kvHead, from }) );",
      "{ const found = unseenBlocks(this.#pattern, shifts, { table, kvHead, from }); table.drop(found); return found; });",
    ],
  ]),
  ...faultsIn("keptOf", REPRO, [
    ["rows see no key of their own", "(BLOCK + 1) / 2", "(BLOCK - 1) / 2"],
    [
      "causal attention sees half of all",
      "length * (length + 1) / 2",
      "length * length / 2",
    ],
  ]),
  ...faultsIn("keptTokens", REPRO, [
    [
      "blocks are given back a block late",
      "from: length",
      "from: length - BLOCK",
    ],
  ]),
  ...faultsIn("countS2", REPRO, [
    [
      "tiles of all heads are held against one's",
      "saving: fraction(dense) / fraction(sparse)",
      "saving: dense.tileCounts.visited / sparse.tileCounts.visited",
    ],
  ]),
  ...faultsIn("countMerged", REPRO, [
    [
      "merged tiles cost what single ones do",
      "work: blocks * loads",
      "work: loads",
    ],
    ["rows are not merged", "queryBlock: blocks * BLOCK", "queryBlock: BLOCK"],
  ]),
];
