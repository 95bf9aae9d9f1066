/**
 * One-line faults in LongLoRA's policy: where groups lie, which heads are
 * shifted, and what wraps.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const POLICY = ["policies/longlora/longlora"];

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
];
