/**
 * Query rows: where those of a row tile are, and where they stand.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { dot } from "../fragments/dot.ts";
import {
  loadRow,
  placeOf,
  rowBinding,
  type RowFormat,
  rowPlaces,
} from "../fragments/rows.ts";
import { QUERY, schedule } from "../fragments/schedule.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What reading queries depends on.
 *
 * @category Kernels
 */
export interface QuerySpec {
  /** The format of query rows. */
  readonly queryFormat: RowFormat;
  /**
   * Where the queries of a sequence are: one after the other, from its first
   * on; or anywhere, as the schedule lists them, those of several sequences
   * maybe.
   */
  readonly queries: "consecutive" | "listed";
  /**
   * Whether sequences of queries and outputs are apart by a stride, and tokens
   * count from the sequence's first.
   */
  readonly stridedQueries?: boolean | undefined;
}

/** `query_place`, `load_query`, and `read_query` where queries are listed. */
export function queryRows(
  { queryFormat, queries, stridedQueries = false }: QuerySpec,
): Fragment {
  return {
    needs: [
      loadRow({
        name: "load_query",
        bindings: [rowBinding("query", queryFormat)],
        format: queryFormat,
        dim: "head_dim",
      }),
      dot,
      schedule,
      rowPlaces({ name: "query", offset: true, batches: stridedQueries }),
    ],
    code: queries === "listed" ? QUERY.declare("query") : "",
  };
}

/** Names for the places of `count` named rows: `query_at_{r}`. */
export function placeRows(
  count: number,
  { stridedQueries: batches = false }: Pick<QuerySpec, "stridedQueries"> = {},
): string {
  return Array.from({ length: count }, (_, r) => {
    const place = placeOf({ name: "query", batches }, namesOf(r));
    return `let query_at_${r} = ${place};`;
  }).join("\n");
}

/** What a named row is of. */
export function namesOf(row: number): Parameters<typeof placeOf>[1] {
  return { batch: `batch_${row}`, token: `token_${row}`, head: `head_${row}` };
}

/**
 * Names for `count` packed rows of a tile: `packed_{r}`, the `offsets[r]`-th
 * from `first`, then its head, batch, position and token. Rows past the
 * sequence's end repeat its last row, so that every load stays in range; they
 * are never written.
 */
export function nameRows(
  offsets: readonly string[],
  queries: QuerySpec["queries"],
  first = "tile.first_row",
): string {
  return offsets.map((offset, r) => nameRow(r, { offset, queries, first }))
    .join("\n");
}

/** The same for one row, whose names end in `_{name}`. */
export function nameRow(
  name: number | string,
  { offset, queries, first }: QuerySpecRow,
): string {
  return wgsl(
    `
    let packed_$r = $first + $offset;
    let row_$r = min(packed_$r, row_count - 1u);
    let query_$r = row_$r / params.group;
    let head_$r = kv_head * params.group + row_$r - query_$r * params.group;
    @if listed
    let listed_$r = read_query(sequence.queries_at + $words * query_$r);
    let batch_$r = listed_$r.batch;
    let position_$r = listed_$r.position;
    let token_$r = listed_$r.token;
    @else
    let batch_$r = sequence.batch;
    let position_$r = i32(query_$r) + sequence.query_offset;
    let token_$r = sequence.query_start + query_$r;
    @end
    `,
    {
      r: name,
      first,
      offset,
      listed: queries === "listed",
      words: QUERY.words,
    },
  );
}

/** A packed row: where it is counted from, and how far from there. */
export interface QuerySpecRow extends Pick<QuerySpec, "queries"> {
  /** A packed row. */
  readonly first: string;
  /** Rows behind it. */
  readonly offset: string;
}
