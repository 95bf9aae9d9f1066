/**
 * The packed query rows of a step, where lanes go along keys.
 *
 * @module
 */

import { placeOf } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { namesOf, type QuerySpec } from "../query_rows.ts";

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

/** What row `j` is of. */
export function stepNamesOf(j: number): Parameters<typeof placeOf>[1] {
  return { ...namesOf(j), batch: "sequence.batch" };
}

/** `query_at_{j}`: where row `j` is. */
export function placeStepQuery(
  j: number,
  { stridedQueries: batches = false }: Pick<QuerySpec, "stridedQueries">,
): string {
  return `let query_at_${j} = ${
    placeOf({ name: "query", batches }, stepNamesOf(j))
  };`;
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
