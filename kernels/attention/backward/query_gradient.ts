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
import { dotRows, dotTile } from "../../fragments/dot.ts";
import { dropoutRows, dropTile } from "../../fragments/dropout.ts";
import { eachStep, entryPoint } from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import {
  accumulatorOf,
  addGuardedTile,
  addTile,
  nonFiniteStep,
} from "../add_tile.ts";
import type { ForwardTile } from "../forward.ts";
import { placeRows } from "../query_rows.ts";
import {
  hideScores,
  localRow,
  modifyScores,
  ownRows,
  placeKeys,
  rowPairs,
  tileRows,
} from "../score_tile.ts";
import {
  backwardFragments,
  backwardLabel,
  type BackwardSpec,
  type GradientRows,
  gradientRows,
  partialSums,
  scoreGradients,
  weightScores,
} from "./spec.ts";

/** What the kernel's source depends on. */
export interface QueryGradientSpec extends BackwardSpec {
  /** The register tile; its accumulator holds rows of the head dim. */
  readonly tile: ForwardTile;
}

/** The rows that it writes. */
export function queryGradientRows(
  { queryFormat }: Pick<BackwardSpec, "queryFormat">,
): GradientRows {
  return { name: "query_gradient", format: queryFormat, dim: "head_dim" };
}

/** The kernel of dQ. */
export function queryGradientKernel(spec: QueryGradientSpec): KernelSource {
  const { tile, partial } = spec;
  const { lanes, rowsPerLane: rows, keysPerStep: keys } = tile;
  const dropout = spec.dropout ?? false;
  const derivatives = spec.mods?.hasScore ?? false;
  const pairs = rowPairs(tile);
  const pair = { own: rows, step: keys, statistics: "statistics_$r" };
  const add = { own: rows, step: keys, vecs: "head_vecs", weights: "ds" };
  const step = wgsl(STEP, {
    places: placeKeys(keys),
    dots: dotRows(rows, keys),
    hide: hideScores(pairs),
    modify: derivatives ? modifyScores(pairs, true) : "",
    weights: weightScores(pair),
    valueDots: dotTile({
      own: rows,
      step: keys,
      into: "dp",
      vecs: "value_vecs",
      ownRow: ["g", "load_output_gradient(gradient_at_$r, vec)"],
      stepRow: ["v", "load_value(value_$j, vec)"],
    }),
    drops: dropout ? dropTile(pairs) : "",
    gradients: scoreGradients({ ...pair, derivatives, dropout }),
    add: addTile({ ...add, row: ["k", "load_key(key_$j, vec)"] }),
    addGuarded: addGuardedTile({
      ...add,
      place:
        "let at = key_place(seek(sequence, min(first_key + j, sequence.key_count - 1u)), kv_head);",
      load: "load_key",
    }),
  });
  const store = Array.from(
    { length: rows },
    (_, r) => wgsl(STORE, { r, partial, local: localRow(tile, r) }),
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
          nonFiniteStep("key", keys),
        ].join("\n\n"),
      },
    ],
    main: entryPoint(
      lanes,
      [
        ownRows(tile, "consecutive"),
        placeRows(rows),
        dropoutRows(spec, rows),
        wgsl(BEGIN, { rows }),
        eachStep(keys, step, {
          before: "var cursor = seek(sequence, run.first_key);",
        }),
        ...store,
      ].join("\n\n"),
    ),
  });
}

const BEGIN = `
@each r in rows
let gradient_at_$r = output_gradient_place(token_$r, head_$r);
let statistics_$r = row_statistics[statistics_place(token_$r, head_$r)];
@end
for (var vec = 0u; vec < params.head_vecs; vec++) {
  @each r in rows
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
}
`;

const STEP = `
$places
$dots

$hide
$modify
$weights
$valueDots
$drops
$gradients
if (masked && step_has_non_finite(sequence, first_key, kv_head)) {
  $addGuarded
} else {
  $add
}
`;

const STORE = `
if (packed_$r < row_count) {
  @if partial
  let sums_$r = (tile.state_row + kv_head * tile.state_stride + $local) * params.row_vecs;
  @else
  let out_$r = query_gradient_place(token_$r, head_$r);
  @end
  for (var vec = 0u; vec < params.head_vecs; vec++) {
    let gradient = accumulator[own($r, vec, lane)] * params.scale;
    @if partial
    sums[sums_$r + vec] = gradient;
    @else
    store_query_gradient(out_$r, vec, gradient);
    @end
  }
}
`;
