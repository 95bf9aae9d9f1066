/**
 * One-line faults in packing: which rows are tokens, where they go, and what is
 * left where none is.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const HOST = ["ops/packing/packing"];
const REPRO = ["repro/packing/mosaicbert"];
const LAWS = ["laws/ragged"];
const DEVICE = ["ops/packing/pack"];

/** Every fault listed for it. */
export const PACKING_FAULTS: readonly Fault[] = [
  ...faultsIn("keptByMask", HOST, [
    [
      "only true is a token",
      "if (!value) continue;",
      "if (value !== true) continue;",
    ],
    [
      "a token is counted for the sequence after its own",
      "Math.floor(row / length)",
      "Math.ceil(row / length)",
    ],
  ]),
  ...faultsIn("keptByLengths", HOST, [
    ["padding on the left is on the right", "left ? length - count : 0", "0"],
    [
      "a sequence may be longer than the batch",
      "count, 0, length)",
      "count, 0)",
    ],
  ]),
  ...faultsIn("Packing.constructor", HOST, [
    ["the longest sequence is the last one", "Math.max(a, b)", "b"],
  ]),
  ...faultsIn("Packing.rowShape", HOST, [
    [
      "a batch of another length is packed",
      "shape[1] === this.length",
      "shape[1] >= this.length",
    ],
  ]),
  ...faultsIn("RowsPlan.create", DEVICE, [
    [
      "half the rows of 2 bytes are moved",
      "unit === 2 ? Math.ceil(units / 2) : units",
      "Math.ceil(units / 2)",
    ],
  ]),
  ...faultsIn("flatGrid", DEVICE, [
    [
      "a grid that is folded lacks its other rows",
      "return [x, y * z, 1]",
      "return [x, z, 1]",
    ],
  ]),
  ...faultsIn("RowsPlan.encode", DEVICE, [
    [
      "rows of nothing stay as they were",
      "sourceRows === 0 && destination.size > 0",
      "false",
    ],
  ]),
  ...faultsIn("checkProblem", DEVICE, [
    [
      "a row behind the source is taken",
      "row, -1, sourceRows - 1)",
      "row, -1, sourceRows)",
    ],
  ]),
  ...faultsInKernel("rows.take", DEVICE, [
    [
      "a row that is none is the first",
      "let taken = rows[row];",
      "let taken = select(rows[row], 0u, rows[row] == 0xffffffffu);",
    ],
    [
      "what lies behind the last row is zeroed",
      "word |= destination[index] & 0xffff0000u;",
      "",
    ],
    ["halves are the word's lower one", "16u * (at % 2u), 16u)", "0u, 16u)"],
    [
      "an odd row begins a half too early",
      "2u * index + 1u < params.units",
      "2u * index < params.units",
    ],
  ]),
  ...faultsIn("batchProblem", REPRO, [
    [
      "what is called padded is packed",
      "padded ? {} : { cuSeqlens",
      "padded ? {} : { keyLengths",
    ],
  ]),
  ...faultsIn("countPadding", REPRO, [
    [
      "squares are of the mean length",
      "length ** 2))",
      "length * packing.tokens / BATCH))",
    ],
  ]),
  ...faultsIn("pickedRows", LAWS, [
    [
      "picked rows stand where they are among the picked",
      "const query = position.at(start",
      "const query = (start",
    ],
  ]),
];
