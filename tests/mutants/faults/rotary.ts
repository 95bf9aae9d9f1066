/**
 * One-line faults in the rotation of queries.
 *
 * @module
 */

import { type Fault, faultsIn, faultsInKernel } from "../fault.ts";

const ROTATE = ["ops/rotary/rotate"];

/** Every fault listed for it. */
export const ROTARY_FAULTS: readonly Fault[] = [
  ...faultsInKernel("layers.rotate", ROTATE, [
    [
      "queries are rotated the other way",
      "select(other, -other, first)",
      "select(-other, other, first)",
    ],
    [
      "all sequences have the first one's positions",
      "row / params.batch_rows * params.batch_tokens + row / params.token_rows",
      "row / params.token_rows",
    ],
    [
      "one row too many is written",
      "if (row >= params.row_count) {",
      "if (row > params.row_count) {",
    ],
    [
      "each pair turns like the first",
      "rotary[position * params.rotary_pairs + pair]",
      "rotary[position * params.rotary_pairs]",
    ],
  ]),
  ...faultsIn("src/ops/rotary/rotation_plan.ts: partsOf", ROTATE, [
    [
      "heads before tokens are taken for tokens before heads",
      'token_rows: layout === "bshd" ? heads : 1',
      "token_rows: heads",
    ],
  ]),
  ...faultsIn("queryPositions", ROTATE, [
    [
      "every query stands where the first one does",
      "positions.push(queryOffset + q)",
      "positions.push(queryOffset)",
    ],
  ]),
  ...faultsIn("src/ops/rotary/rotate.ts: checkPositions", ROTATE, [
    [
      "a position past the table's last is taken",
      "checkInteger(`positions[${i}]`, position, 0, most - 1)",
      "checkInteger(`positions[${i}]`, position, 0, most)",
    ],
  ]),
  ...faultsIn("src/ops/rotary/rotate.ts: rotate", ROTATE, [
    [
      "a base of 0 is the usual one",
      "base !== undefined && { base }",
      "!!base && { base }",
    ],
    [
      "a factor of 0 is none",
      "factor !== undefined && { factor }",
      "!!factor && { factor }",
    ],
    [
      "the factor is not handed on",
      "factor !== undefined && { factor }",
      "factor !== undefined && {}",
    ],
  ]),
  ...faultsIn("rotaryTable", ROTATE, [
    ["positions are multiplied", "position / factor", "position * factor"],
    ["a factor of 0 divides", "factor > 0", "factor >= 0"],
  ]),
];
