/**
 * One-line faults in what policies stand on: block tables that the device writes,
 * selected blocks that backward keeps, and what is said of a policy.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const TABLES = ["laws/device_tables"];
const PROGRAM = ["gpu/program/program"];
const OPTIONS = ["ops/attention/options/select"];
const SELECT = ["policies/select"];
const REPORT = ["policies/report"];
const FALLBACK = ["policies/fallback"];

/** Every fault listed for it. */
export const POLICY_CORE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("Program.encode", PROGRAM, [
    [
      "words that the device has written over count as written by the CPU",
      "for (const { to } of current.copies) slot.held.delete(to);",
      "",
    ],
    ["a copy goes to the start of all words", "to.offset + at", "at"],
  ]),
  ...faultsIn("Program.update", PROGRAM, [
    [
      "scratch that has the name of former words is taken for them",
      "words: new Set(Object.keys(words))",
      "words: new Set(layout.words.keys())",
    ],
  ]),
  ...faultsIn("tableCopies", TABLES, [
    ["a table's place is in words, not bytes", "at: 4 * at", "at: at & ~3"],
  ]),
  ...faultsIn("deviceTable", TABLES, [
    ["each recording reads the plan's table", "table ?? own", "own ?? table"],
  ]),
  ...faultsIn("ScheduleWriter.finish", TABLES, [
    [
      "a table that is no whole vec4s has too little room",
      "4 * Math.ceil(Math.max(1, table.size) / 4)",
      "table.size",
    ],
    ["an empty table has no room", "Math.max(1, table.size)", "table.size"],
  ]),
  ...faultsIn("sharingAlgorithm", TABLES, [
    [
      "tables on the device are to be compared on the host",
      "onHost(problem) ||",
      "true ||",
    ],
  ]),
  ...faultsIn("storedPasses", TABLES, [
    [
      "gradients of queries are through a table of zeros",
      '...tableCopies(querySchedule, "query_schedule")',
      "...[]",
    ],
    [
      "gradients of keys are through a table of zeros",
      '...tableCopies(keySchedule, "key_schedule")',
      "...[]",
    ],
  ]),
  ...faultsIn("recomputedPasses", TABLES, [
    [
      "gradients are through a table of zeros",
      "...tableCopies(schedule, passes[i].schedule)",
      "...[]",
    ],
  ]),
  ...faultsIn("capturePasses", TABLES, [
    [
      "gradients of what is captured are through a table of zeros",
      '...tableCopies(schedule, "capture_schedule")',
      "...[]",
    ],
  ]),
  ...faultsIn("src/ops/attention/options/keys.ts: tableOf", TABLES, [
    ["a table of floats is taken for ids", 'dtype === "u32"', "true"],
    ["a table may have rows for others", "shape[0] === batch", "true"],
  ]),
  ...faultsIn("checkBlockTable", TABLES, [
    [
      "a plan's table on the host is overruled in silence",
      "table === undefined || own !== undefined",
      "true",
    ],
  ]),
  ...faultsIn("src/ops/attention/attention.ts: attention", SELECT, [
    [
      "backward sees what was selected last",
      "blockMask: kept[0]",
      "blockMask: problem.selection",
    ],
  ]),
  ...faultsIn("DeviceBlockMask.copy", SELECT, [
    [
      "a copy selects nothing",
      "encoder.copyBufferToBuffer(buffer, offset, copy.bits.buffer, 0, byteLength)",
      "",
    ],
    ["a copy is the mask itself", "return copy;", "return this;"],
  ]),
  ...faultsIn("AttentionPlan.encode", SELECT, [
    [
      "a policy selects where another mask is given",
      "if (tensors.blockMask === undefined)",
      "if (true)",
    ],
  ]),
  ...faultsIn("AttentionBackwardPlan.encode", SELECT, [
    [
      "a backward plan sees what was selected last",
      "policy?.blocks === undefined || tensors.blockMask !== undefined",
      "true",
    ],
  ]),
  ...faultsIn(
    "src/ops/attention_backward/attention_backward.ts: uploaded",
    SELECT,
    [
      [
        "gradients of given outputs see what was selected last",
        "problem.policy?.blocks === undefined",
        "true",
      ],
    ],
  ),
  ...faultsIn("selectedBy", OPTIONS, [
    [
      "blocks may be of another grid",
      "checkBlockGrid(blocks.mask.grid, extents, name);",
      "",
    ],
    [
      "blocks overrule the caller's in silence",
      "!isDeviceBlockMask(blockMask)",
      "true",
    ],
  ]),
  ...faultsIn("selectionOf", OPTIONS, [
    [
      "what is selected need not have a kernel",
      '&& typeof blocks.encode === "function"',
      "",
    ],
  ]),
  ...faultsIn("selectedBy", SELECT, [
    [
      "a policy's scores are left out",
      "return { scoreMods, maskMods, policy",
      "return { scoreMods: [], maskMods, policy",
    ],
  ]),
  ...faultsIn("checkMods", OPTIONS, [
    ["a score mod may stand for a mask", "mod?.kind === kind", "mod"],
  ]),
  ...faultsIn("checkMaskGpu", OPTIONS, [
    ["blocks may be another device's", "mask.gpu === gpu", "true"],
  ]),
  ...faultsIn("keptPairs", REPORT, [
    [
      "heads of a group count their keys each",
      "keys += kvTimes * ones(own)",
      "keys += kvTimes * times * ones(own)",
    ],
    [
      "masks by head are those of head 0",
      'modsDependOn(masks, "head")',
      "false",
    ],
  ]),
  ...faultsIn("keptOfHead", REPORT, [
    [
      "a rectangle's last key is not read",
      "keys.fill(1, k0, k1 + 1)",
      "keys.fill(1, k0, k1)",
    ],
    [
      "rows are noted by position",
      "rows[query - queryOffset] = 1",
      "rows[query] = 1",
    ],
  ]),
  ...faultsIn("middleOf", REPORT, [
    [
      "the second half begins at the first",
      "31 - Math.clz32",
      "32 - Math.clz32",
    ],
  ]),
  ...faultsIn("selectedMasks", REPORT, [
    [
      "what was selected goes by positions",
      "bindRows([selected.maskMod(heads)], offsets)",
      "bindRows([selected.maskMod(heads)], [0])",
    ],
    [
      "blocks of other sizes are counted as those that were selected",
      "own === wanted",
      "true",
    ],
    ["a selection may end before the keys do", "checkBlockGrid(", "void ("],
  ]),
  ...faultsIn("policyReport", REPORT, [
    [
      "a call's own blocks count as the policy's",
      "...dense.selection ? chosen : []",
      "...[]",
    ],
    ["a policy is counted beside itself", "select === undefined", "true"],
    ["a call without pairs keeps none", "all.pairs === 0 ? 1", "false ? 1"],
    [
      "values count as keys do",
      "kept.headDim + kept.valueHeadDim",
      "2 * kept.headDim",
    ],
    [
      "what the device selects counts as all",
      "kept.selection === undefined || selected !== undefined",
      "true",
    ],
  ]),
  ...faultsIn("withFallback", FALLBACK, [
    [
      "what is no selection falls back to all keys",
      "= selectionOf(",
      "= ((one: AttentionPolicy, shape: PolicyShape) => one.select(shape))(",
    ],
    [
      "a sequence of so many keys falls back too",
      "keyCount < below",
      "keyCount <= below",
    ],
    [
      "scores of short sequences are the policy's",
      "scoreMods: scoreMods?.map((mod) => unlessShort(mod, isShort))",
      "scoreMods",
    ],
  ]),
  ...faultsIn("checkOwnLayer", ["policies/own_layer"], [
    ["keys of any layer will do", "own === layer", "true"],
  ]),
  ...faultsIn("selectedBy", ["policies/own_layer"], [
    ["a policy is not told the layer", "...(cache && { layer }),", ""],
  ]),
  ...faultsIn("orShort", FALLBACK, [
    [
      "short sequences see what comes later",
      "causal ? key.le(query) : bool(true)",
      "bool(true)",
    ],
    [
      "short sequences keep the policy's keys too",
      "isShort(batch).eq(1).select(dense, new Bool(expression))",
      "isShort(batch).eq(1).and(dense).or(new Bool(expression))",
    ],
  ]),
  ...faultsIn("allOfShort", FALLBACK, [
    [
      "blocks for all are all selected where one sequence is short",
      "each || short.every((one) => one === short[0])",
      "true",
    ],
    [
      "the device selects for nobody",
      "if (short.includes(false)) encode",
      "encode",
    ],
    [
      "sequences that a mask does not tell apart are each selected in it",
      "short.slice(0, mask.grid.batch)",
      "short",
    ],
  ]),
  ...faultsIn("DeviceBlockMask.encodeAll", FALLBACK, [
    ["all is selected for the first", "offset + batch * bytes", "offset"],
  ]),
];
