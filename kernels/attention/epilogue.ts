/**
 * The end of a row: stored as output and log-sum-exp, or as a partial state
 * that `merge` goes on from.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import {
  placeOf,
  rowBinding,
  type RowFormat,
  rowPlaces,
  storeRow,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";
import { namesOf } from "./query_rows.ts";

/** What the end of a row depends on. */
export interface EpilogueSpec {
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** Whether a log-sum-exp is written beside the output. */
  readonly lse: boolean;
  /** Write partial states for `merge` instead of finished rows. */
  readonly partial: boolean;
  /** See {@linkcode QuerySpec}. */
  readonly stridedQueries?: boolean | undefined;
}

/**
 * `write_row` stores four elements of a row, `write_stats` its softmax
 * statistics: finished, or as a state.
 */
export function epilogue(spec: EpilogueSpec): Fragment {
  return spec.partial ? partialState : finishedRow(spec);
}

/** Partial states: `[rows, value_vecs]` vec4s of A, then (m, l) of each row. */
export const states: Fragment = {
  bindings: [{ name: "states", type: "array<vec4f>", access: "read_write" }],
  uniforms: { value_vecs: "u32", stats_at: "u32" },
};

const partialState: Fragment = {
  needs: [states],
  code: wgsl(`
    fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
      states[row * params.value_vecs + vec] = accumulator;
    }

    fn write_stats(row: u32, maximum: f32, sum: f32) {
      states[params.stats_at + row] = vec4f(maximum, sum, 0.0, 0.0);
    }
  `),
};

function finishedRow(spec: EpilogueSpec): Fragment {
  const { lse } = spec;
  return {
    needs: [onlineSoftmax, outputRows(spec), ...(lse ? [lseRows(spec)] : [])],
    code: wgsl(
      `
      fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
        store_output(row, vec, finish(accumulator, sum));
      }

      fn write_stats(row: u32, maximum: f32, sum: f32) {
        @if lse
        lse[row] = log_sum_exp(maximum, sum);
        @end
      }
      `,
      { lse },
    ),
  };
}

/** `output_place` and `store_output`. */
export function outputRows(
  { outputFormat: format, stridedQueries = false }: Pick<
    EpilogueSpec,
    "outputFormat" | "stridedQueries"
  >,
): Fragment {
  return {
    needs: [
      storeRow({
        name: "store_output",
        bindings: [rowBinding("output", format, "read_write")],
        format,
        dim: "value_dim",
      }),
      rowPlaces({
        name: "output",
        offset: stridedQueries,
        batches: stridedQueries,
      }),
    ],
  };
}

/** `lse_place`: where what a row has one number of is. */
export function lsePlaces(
  { stridedQueries = false }: Pick<EpilogueSpec, "stridedQueries"> = {},
): Fragment {
  return rowPlaces({ name: "lse", batches: stridedQueries });
}

/** `lse_place` and the `lse` binding. */
export function lseRows(
  spec: Pick<EpilogueSpec, "stridedQueries"> = {},
): Fragment {
  return {
    needs: [lsePlaces(spec)],
    bindings: [{ name: "lse", type: "array<f32>", access: "read_write" }],
  };
}

/** Where a row and its statistics are written. */
export interface RowPlace {
  /** For `write_row`. */
  readonly row: string;
  /** For `write_stats`. */
  readonly stats: string;
}

/** Where a finished row is written, by the names of what it is of. */
export function finishedPlace(
  { lse, stridedQueries: batches = false }: Pick<
    EpilogueSpec,
    "lse" | "stridedQueries"
  >,
  row: Parameters<typeof placeOf>[1],
): RowPlace {
  return {
    row: placeOf({ name: "output", batches }, row),
    stats: lse ? placeOf({ name: "lse", batches }, row) : "0u",
  };
}

/** Where row `r` of a work tile is written: finished, or among the states. */
export function rowPlace(
  spec: EpilogueSpec,
  r: number,
  local: string,
): RowPlace {
  if (!spec.partial) {
    return finishedPlace(spec, namesOf(r));
  }
  const state = `tile.state_row + kv_head * tile.state_stride + ${local}`;
  return { row: state, stats: state };
}
