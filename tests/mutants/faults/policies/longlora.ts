/**
 * One-line faults in LongLoRA's policy: where groups lie, which heads are
 * shifted, and what wraps.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const POLICY = ["policies/longlora/longlora"];
const RAGGED = ["policies/longlora/ragged"];
const REPRO = ["repro/policies/longlora"];
const REACH = ["reference/policies/reachability"];

/** Every fault listed for it. */
export const LONGLORA_FAULTS: readonly SourceFault[] = [
  ...faultsIn("groupMask", POLICY, [
    [
      "a shifted group begins where another does",
      "query.add(rest).div(size)",
      "query.add(size).div(size)",
    ],
    [
      "a query sees the later keys of its shifted group",
      "const moved = before.and(",
      "const moved = before.or(before.not()).and(",
    ],
    [
      "a group's first query sees the key before it",
      "const before = key.le(query);",
      "const before = key.le(query).or(key.sub(1).eq(query));",
    ],
    ["the first shifted head is not", "head.ge(shifted)", "head.gt(shifted)"],
    [
      "the whole last group wraps",
      "keys[i] - (size - shiftOf(size))",
      "keys[i] - size",
    ],
    [
      "of an odd group the longer half stands first",
      '"first half groups", shiftOf)',
      '"first half groups", (size) => size - shiftOf(size))',
    ],
    [
      "all sequences have the first one's shift",
      "(size) => size - shiftOf(size));",
      "(size) => size - shiftOf(groups[0]));",
    ],
  ]),
  ...faultsIn("perSequence", POLICY, [
    [
      "all sequences have the first one's groups",
      "if (numbers.every((number) => number === first))",
      "if (numbers.some((number) => number === first))",
    ],
  ]),
  ...faultsIn("groupSizeOf", POLICY, [
    ["a group may have no token", "Math.max(1,", "Math.max(0,"],
    ["a ratio is rounded up", "Math.floor(keys", "Math.ceil(keys"],
    [
      "a group is half of the sequence",
      "groupRatio = 1 / 4",
      "groupRatio = 1 / 2",
    ],
  ]),
  ...faultsIn("checkGroups", POLICY, [
    [
      "a group may be longer than a sequence",
      "groupRatio <= 1",
      "groupRatio <= 2",
    ],
    ["no ratio is refused beside a size", "groupRatio === undefined,", "true,"],
  ]),
  ...faultsIn("longlora", POLICY, [
    ["an odd number of heads has halves", "queryHeads % 2 === 0", "true"],
    [
      "shifted heads may have empty rows",
      "Math.max(startOf(0), startOf(shifted))",
      "startOf(0)",
    ],
    [
      "other heads may have empty rows",
      "Math.max(startOf(0), startOf(shifted))",
      "startOf(shifted)",
    ],
    [
      "none of the heads wrap",
      'wraps = variant === "wrap" && shiftedHeads !== "none"',
      'wraps = variant === "wrap" && shiftedHeads === "none"',
    ],
    [
      "pairs that wrap are counted twice",
      "shiftOf(size) * (size - shiftOf(size))",
      "size * (size - shiftOf(size))",
    ],
  ]),
  ...faultsIn("checkWrapped", POLICY, [
    ["causal hides what wraps", "!causal,", "causal || !causal,"],
    ["a window hides what wraps", "window === undefined,", "true,"],
    ["later queries wrap as well", " && queryOffset === 0", ""],
    ["a sequence's part wraps", "queryCount === keyCount && ", ""],
    ["a shorter group wraps", "keyCount % groups[i] === 0", "true"],
  ]),
  ...faultsIn("longloraRagged", RAGGED, [
    [
      "the other half is shifted",
      "shifted: second === 1",
      "shifted: second === 0",
    ],
    ["groups of later sequences begin at 0", "start + bound", "bound"],
    ["a sequence begins with an empty group", "own.slice(1)", "own"],
    [
      "both halves are written in one place",
      "second * queryHeads / 2",
      "0 * queryHeads / 2",
    ],
    [
      "rows are as far apart as a query's",
      "[queryHeads * valueHeadDim, valueHeadDim, 1]",
      "[queryHeads * queryHeads, valueHeadDim, 1]",
    ],
    ["an odd number of heads has halves", "queryHeads % 2 === 0", "true"],
    [
      "a half has half a key head",
      "kvHeads % 2 === 0 || kvHeads === 1",
      "kvHeads > 0",
    ],
    ["one key head has no halves", " || kvHeads === 1", ""],
  ]),
  ...faultsIn("groupBounds", RAGGED, [
    [
      "shifted groups begin with a whole one",
      "shifted && shiftOf(groupSize)",
      "shifted && groupSize",
    ],
    ["a group of one is none", ") || groupSize", ") || 0"],
    ["the last group is two", "at < tokens; at", "at <= tokens; at"],
  ]),
  ...faultsIn("halfOf", RAGGED, [
    ["both halves are the first one", "second * (heads - own) * dim", "0"],
    ["one head is halved", "heads === 1 ? 1 : heads / 2", "heads / 2"],
  ]),
  ...faultsIn("headsOf", RAGGED, [
    [
      "keys of other tokens are read",
      "shape.slice(0, -2).join() === like",
      "true || like",
    ],
    ["a matrix has heads", "shape.length === 3 || shape.length === 4", "true"],
  ]),
  ...faultsIn("reference/policies/reachability.ts: reachability", REACH, [
    ["nothing passes by a layer", "layer[row + query] = 1;", ""],
    ["only the first head counts", "head < heads", "head < 1"],
    ["a layer too few", "let i = 0; i < layers", "let i = 1; i < layers"],
  ]),
  ...faultsIn("reference/policies/reachability.ts: product", REACH, [
    ["only the last path counts", "|= b[", "= b["],
  ]),
  ...faultsIn("repro/policies/longlora_counts.ts: countLength", REPRO, [
    [
      "a query does not see itself",
      "(end - start + 1) / 2",
      "(end - start - 1) / 2",
    ],
    ["causal attention is of one head", "? HEADS : 1", "? 1 : 1"],
    [
      "the last tile of keys is not needed",
      "Math.floor(start / keys) + 1",
      "Math.floor(start / keys)",
    ],
  ]),
  ...faultsIn("repro/policies/longlora_counts.ts: runsOf", REPRO, [
    ["all heads are shifted", "head >= HEADS / 2", "head >= 0"],
  ]),
  ...faultsIn("countReach", REPRO, [
    ["what the first token depends on", "(tokens - 1) * tokens", "0, tokens"],
  ]),
  ...faultsIn("countWrapped", REPRO, [
    ["a head that is not shifted is looked at", "HEADS - 1", "0"],
    ["queries see themselves", "key = query + 1", "key = query"],
  ]),
];
