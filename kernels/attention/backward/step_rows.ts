/**
 * The packed query rows of a step, where lanes go along keys.
 *
 * @module
 */

import { wgsl } from "../../wgsl.ts";

/** Names `token_{j}` and `head_{j}` of each row from `first_row` on. */
export function nameStepRows(step: number): string {
  return [
    wgsl(FIRST_ROW),
    ...Array.from(
      { length: step - 1 },
      (_, j) => wgsl(NEXT_ROW, { j: j + 1, before: j }),
    ),
  ].join("\n");
}

const FIRST_ROW = `
let head_first = kv_head * params.group;
let token_0 = sequence.query_start + first_row / params.group;
let member_0 = first_row % params.group;
let head_0 = head_first + member_0;
`;

// A division a step, not one a row.
const NEXT_ROW = `
let behind_$j = member_$before + select(0u, 1u, first_row + $j < row_count);
let next_$j = behind_$j == params.group;
let member_$j = select(behind_$j, 0u, next_$j);
let token_$j = token_$before + select(0u, 1u, next_$j);
let head_$j = head_first + member_$j;
`;
