/**
 * One-line faults in what is captured on the device: how elements are read,
 * where tensors are, and what the CPU claims to know of them.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const CAPTURES = ["ops/attention/device_captures"];
const MASKS = ["ops/attention/options/attention_mask"];

/** Every fault listed for it. */
export const CAPTURE_FAULTS: readonly SourceFault[] = [
  ...faultsIn("deviceRange", CAPTURES, [
    [
      "floats on the device are thought to be 0",
      'if (as === "float") return UNKNOWN;',
      'if (as === "float") return [0, 0];',
    ],
    [
      "bytes are thought to be signed",
      '"u8" ? [0, 255]',
      '"u8" ? [-128, 127]',
    ],
    [
      "booleans on the device are thought to be true",
      "return arithmetic.UNDECIDED",
      "return arithmetic.TRUE",
    ],
  ]),
  ...faultsIn("DeviceTable", CAPTURES, [
    [
      "an infinity on the device becomes a number",
      '? "0x7c00u"',
      '? "0x7fffu"',
    ],
    [
      "a tensor is gathered over the end of the one before it",
      "this.#words += Math.ceil(words / ALIGNMENT) * ALIGNMENT",
      "this.#words += Math.floor(words / ALIGNMENT) * ALIGNMENT",
    ],
    [
      "a second capture of a tensor has a binding of its own",
      "const placed = held === undefined ?",
      "const placed = true ?",
    ],
    [
      "a word is thought to hold half as many elements",
      "const shift = Math.log2(32 / width)",
      "const shift = Math.log2(32 / width) >> 1",
    ],
  ]),
  ...faultsIn("hostData", CAPTURES, [
    [
      "what is not finite is read back as it is",
      "(x) => Number.isFinite(x) ? x : 0",
      "(x) => x",
    ],
  ]),
  ...faultsIn("defaultOthers", CAPTURES, [
    [
      "the log-sum-exp's binding is not counted",
      "+ (lse ? 1 : 0)",
      "",
    ],
  ]),
  ...faultsIn("explainCaptures", CAPTURES, [
    [
      "bounds are not asked for",
      "data.tensor !== tensor || data.range !== undefined",
      "data.tensor !== tensor",
    ],
  ]),
  ...faultsIn("capturedTensors", CAPTURES, [
    [
      "every layer has the mask that the plan was made with",
      "all[own][1] = mask;",
      "",
    ],
  ]),
  ...faultsIn("PlanProgram.update", CAPTURES, [
    [
      "an update goes on reading the tensors before it",
      "this.#parts = parts;",
      "",
    ],
  ]),
  ...faultsIn("Program", CAPTURES, [
    [
      "what is gathered begins at the scratch's start",
      "to.offset + at",
      "to.offset",
    ],
  ]),
  ...faultsIn("tensorParts", MASKS, [
    [
      "a mask of integers is taken for floats",
      'as: floats ? "finite" : "bool"',
      'as: floats ? "finite" : "int" as "bool"',
    ],
  ]),
  ...faultsIn("widenBits", MASKS, [
    [
      "bfloat16 keeps its bits in the lower half",
      "bits[i] << 16",
      "bits[i]",
    ],
  ]),
];
