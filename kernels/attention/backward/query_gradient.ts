/**
 * dQ, by forward's mapping: lanes go along packed query rows, the loop along
 * keys, and what forward made of its scores is made again of the rows'
 * log-sum-exps (FlashAttention-2, Dao 2023, Alg. 2, but that a row's gradient
 * has one owner, so that nothing is added across workgroups).
 *
 * Workgroup memory: `lanes * rowsPerLane * accumulatorVecs * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { kernelOf } from "../../fragment.ts";
import { placeOf, type RowFormat } from "../../fragments/rows.ts";
import { entryPoint } from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import { accumulatorOf, addTile } from "../add_tile.ts";
import type { ForwardTile } from "../forward.ts";
import { namesOf } from "../query_rows.ts";
import { localRow, tileRows } from "../score_tile.ts";
import { eachOwnStep } from "../spec.ts";
import { beginRows, gradientStep } from "./row_step.ts";
import {
  backwardFragments,
  backwardLabel,
  type BackwardSpec,
  type GradientRows,
  gradientRows,
  partialSums,
} from "./spec.ts";

/** What the kernel's source depends on. */
export interface QueryGradientSpec extends BackwardSpec {
  /** The register tile; its accumulator holds rows of the head dim. */
  readonly tile: ForwardTile;
  /** The format of rows of the queries' gradient. */
  readonly queryGradientFormat: RowFormat;
}

/** The rows that it writes. */
export function queryGradientRows(
  { queryGradientFormat: format, stridedQueries, gradientsApart }: Pick<
    QueryGradientSpec,
    "queryGradientFormat" | "stridedQueries" | "gradientsApart"
  >,
): GradientRows {
  const batches = (stridedQueries || gradientsApart) ?? false;
  return { name: "query_gradient", format, dim: "head_dim", batches };
}

/** The kernel of dQ. */
export function queryGradientKernel(spec: QueryGradientSpec): KernelSource {
  const { tile, partial } = spec;
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = tile;
  const step = [
    gradientStep(spec, { derivatives: true }),
    addTile({
      own: rows,
      step: keys,
      vecs: "row_sizes.head_vecs",
      weights: "ds",
      row: ["k", "finite_key(key_$j, vec)"],
    }),
  ].join("\n");
  const store = Array.from(
    { length: rows },
    (_, r) =>
      wgsl(STORE, {
        r,
        partial,
        local: localRow(tile, r),
        place: placeOf(queryGradientRows(spec), namesOf(r)),
      }),
  );
  return kernelOf({
    label: backwardLabel("query", `${tileRows(tile)}x${keys}`, spec),
    fragments: [
      ...backwardFragments(spec),
      partial
        ? partialSums("read_write")
        : gradientRows(queryGradientRows(spec)),
      {
        code: [
          accumulatorOf(tile, tile.accumulatorVecs),
          wgsl(FINITE_KEY),
        ].join("\n\n"),
      },
    ],
    main: entryPoint(
      lanes,
      [
        beginRows(spec),
        wgsl(BEGIN, { rows }),
        eachOwnStep(spec, keys, step, {
          before: "var cursor = seek(sequence, run.first_key);",
        }),
        ...store,
      ].join("\n\n"),
    ),
  });
}

// A key that a row does not see may be NaN or Inf, whose product with its weight
// of 0 is no 0. One that a row sees has made its weight what it is.
const FINITE_KEY = `
fn finite_key(base: u32, vec: u32) -> vec4f {
  let k = load_key(base, vec);
  return select(k, vec4f(0.0), non_finite(k));
}
`;

const BEGIN = `
for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
  @each r in rows
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
}
`;

const STORE = `
if (packed_$r < row_count) {
  @if partial
  let sums_$r = (tile.state_row + kv_head * tile.state_stride + $local) * params.row_vecs;
  @else
  let out_$r = $place;
  @end
  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    let gradient = accumulator[own($r, vec, lane)] * params.scale;
    @if partial
    sums[sums_$r + vec] = gradient;
    @else
    store_query_gradient(out_$r, vec, gradient);
    @end
  }
}
`;
