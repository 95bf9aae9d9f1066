/**
 * dK and dV: lanes go along the keys of a kv head, the loop along the packed
 * query rows that see them, so that the gradients of shared heads add up in the
 * loop (FlashAttention-2, Dao 2023, Alg. 2).
 *
 * The schedule is forward's with roles swapped: a work tile's rows are keys, and
 * its runs are packed query rows.
 *
 * Workgroup memory: `lanes * keysPerLane * (headVecs + valueVecs) * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { kernelOf } from "../../fragment.ts";
import { dotTile } from "../../fragments/dot.ts";
import { dropTile } from "../../fragments/dropout.ts";
import { placeOf, type RowFormat } from "../../fragments/rows.ts";
import { BLANK_RUN, entryPoint } from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import { accumulatorOf, addTile } from "../add_tile.ts";
import { nameRow } from "../query_rows.ts";
import { beginTile, eachOwnStep } from "../spec.ts";
import { hideScores, modifyScores, type TilePairs } from "../score_tile.ts";
import {
  placeScores,
  scoreGradientRows,
  storeScores,
} from "./score_gradients.ts";
import { nameStepRows, placeStepQuery, stepNamesOf } from "./step_rows.ts";
import {
  backwardFragments,
  backwardLabel,
  type BackwardSpec,
  type GradientRows,
  gradientRows,
  keyGradients,
  partialSums,
  placeGradients,
  READ_ROW_SIZES,
  scoreGradients,
  weightScores,
} from "./spec.ts";

/** A register tile with lanes along keys. */
export interface KeyTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Keys that each lane owns. */
  readonly keysPerLane: number;
  /** Packed query rows of a step. */
  readonly rowsPerStep: number;
  /** Room for a key's gradient, in vec4s: at least `ceil(headDim / 4)`. */
  readonly headVecs: number;
  /** Room for a value's gradient: at least `ceil(valueDim / 4)`. */
  readonly valueVecs: number;
}

/** What the kernel's source depends on. */
export interface KeyValueGradientSpec extends BackwardSpec {
  /** The register tile. */
  readonly tile: KeyTile;
  /** The format of rows of the keys' gradient. */
  readonly keyGradientFormat: RowFormat;
  /** The format of rows of the values' gradient. */
  readonly valueGradientFormat: RowFormat;
  /**
   * Whether gradients of scores are stored, for kernels that make dQ and dK of
   * them, and dK is not made here: a tile then needs no room for it.
   */
  readonly storesScores?: boolean | undefined;
}

/** Keys of one work tile. */
export function tileKeys(
  { lanes, keysPerLane }: Pick<KeyTile, "lanes" | "keysPerLane">,
): number {
  return lanes * keysPerLane;
}

/** Bytes of workgroup memory that a tile takes. */
export function keyTileBytes(tile: KeyTile): number {
  return tileKeys(tile) * (tile.headVecs + tile.valueVecs) * 16;
}

/** The rows that it writes. */
export function keyValueGradientRows(
  spec: Pick<
    KeyValueGradientSpec,
    | "keyGradientFormat"
    | "valueGradientFormat"
    | "stridedKeys"
    | "gradientsApart"
  >,
): readonly [key: GradientRows, value: GradientRows] {
  const batches = (spec.stridedKeys || spec.gradientsApart) ?? false;
  return [
    {
      name: "key_gradient",
      format: spec.keyGradientFormat,
      dim: "head_dim",
      batches,
    },
    {
      name: "value_gradient",
      format: spec.valueGradientFormat,
      dim: "value_dim",
      batches,
    },
  ];
}

/** The kernel of dK and dV. */
export function keyValueGradientKernel(
  spec: KeyValueGradientSpec,
): KernelSource {
  const { tile, partial } = spec;
  const { lanes, keysPerLane: own, rowsPerStep: step } = tile;
  const dropout = spec.dropout ?? false;
  const derivatives = spec.mods?.hasScore ?? false;
  const stores = spec.storesScores ?? false;
  const scores = { own, step, tileKeys: tileKeys(tile) };
  const rowAt = (offset: string) =>
    ({ offset, queries: "consecutive", first: "first_row" }) as const;
  const pairs: TilePairs = {
    own,
    step,
    each: nameRow("step", rowAt("j")),
    pair: "batch_step, i32(head_step), position_step, i32(key_$r)",
    exists: "packed_step < row_count && ",
  };
  const pair = { own, step, statistics: "statistics_$j" };
  const value = {
    own,
    step,
    vecs: "row_sizes.value_vecs",
    weights: dropout ? "kept" : "s",
  };
  const key = { own, step, vecs: "row_sizes.head_vecs", weights: "ds" };
  const valueColumn = `vec + ${tile.headVecs}u`;
  const whole = wgsl(STEP, {
    step,
    rows: nameStepRows(step),
    places: Array.from({ length: step }, (_, j) =>
      [
        placeStepQuery(j, spec),
        placeGradients(j, spec, stepNamesOf(j)),
      ].join("\n")).join("\n"),
    dots: dotTile({
      own,
      step,
      into: "s",
      vecs: "row_sizes.head_vecs",
      ownRow: ["k", "load_key(key_at_$r, vec)"],
      stepRow: ["q", "load_query(query_at_$j, vec)"],
    }),
    hide: hideScores(pairs),
    modify: derivatives ? modifyScores(pairs, true) : "",
    weights: weightScores(pair),
    valueDots: dotTile({
      own,
      step,
      into: "dp",
      vecs: "row_sizes.value_vecs",
      ownRow: ["v", "load_value(value_at_$r, vec)"],
      stepRow: ["g", "load_output_gradient(gradient_at_$j, vec)"],
    }),
    drops: dropout
      ? dropTile({
        own,
        step,
        each: [
          pairs.each,
          "let dropout_step = dropout_row(batch_step, i32(head_step), position_step);",
        ].join("\n"),
        drops: "dropout_step, i32(key_$r)",
      })
      : "",
    dropped: dropout ? wgsl(DROPPED, { own, step }) : "",
    gradients: scoreGradients({ ...pair, derivatives, dropout }),
    addValue: addTile({
      ...value,
      column: valueColumn,
      row: ["g", "live_output_gradient(gradient_at_$j, vec, statistics_$j.x)"],
    }),
    toKey: stores ? storeScores(scores) : addTile({
      ...key,
      row: ["q", "live_query(query_at_$j, vec, statistics_$j.x)"],
    }),
  });
  const body = stores
    ? wgsl(UNLESS_BLANK, {
      whole,
      blank: storeScores(scores, "zeros"),
      value: BLANK_RUN,
    })
    : whole;
  const [keyPlace, valuePlace] = keyValueGradientRows(spec);
  const store = Array.from({ length: own }, (_, r) => {
    const of = {
      batch: "sequence.batch",
      token: `token_${r}`,
      head: "kv_head",
    };
    return wgsl(STORE, {
      r,
      keyPlace: placeOf(keyPlace, of),
      valuePlace: placeOf(valuePlace, of),
      partial,
      stores,
      local: localKey(tile, r),
      valueColumn,
    });
  });
  return kernelOf({
    label: backwardLabel(
      stores ? "value" : "key_value",
      `${step}x${tileKeys(tile)}`,
      spec,
    ),
    fragments: [
      ...backwardFragments(spec),
      ...(partial
        ? [partialSums("read_write")]
        : keyValueGradientRows(spec).slice(stores ? 1 : 0).map(gradientRows)),
      keyGradients,
      ...(stores
        ? [scoreGradientRows({
          tileKeys: tileKeys(tile),
          access: "read_write",
        })]
        : []),
      {
        code: [
          accumulatorOf(
            { lanes, rowsPerLane: own },
            tile.headVecs + tile.valueVecs,
          ),
          wgsl(LIVE_ROWS, { query: !stores }),
        ].join("\n\n"),
      },
    ],
    main: entryPoint(
      lanes,
      [
        beginTile(spec),
        READ_ROW_SIZES,
        ...Array.from(
          { length: own },
          (_, r) => wgsl(KEY, { r, local: localKey(tile, r) }),
        ),
        ...(stores ? [placeScores(own)] : []),
        wgsl(BEGIN, { own, stores, valueColumn }),
        eachOwnStep(spec, step, body, { along: "row" }),
        "let gradients = key_gradients_of(tile.sequence);",
        ...store,
      ].filter((part) => part !== "").join("\n\n"),
    ),
  });
}

/** Key `r` of a lane within its tile: neighbouring lanes have neighbours. */
function localKey({ lanes }: KeyTile, r: number): string {
  return `${r * lanes}u + lane`;
}

// A row without keys may be NaN: what pads a batch, for instance.
const LIVE_ROWS = `
@if query
fn live_query(base: u32, vec: u32, log_sum: f32) -> vec4f {
  return select(vec4f(0.0), load_query(base, vec), log_sum != SENTINEL);
}

@end
fn live_output_gradient(base: u32, vec: u32, log_sum: f32) -> vec4f {
  return select(vec4f(0.0), load_output_gradient(base, vec), log_sum != SENTINEL);
}
`;

// Keys past the sequence's end repeat its last one, so that every load stays in
// range; zeros are written for them.
const KEY = `
let key_$r = tile.first_row + $local;
let cursor_$r = seek(sequence, min(key_$r, max(sequence.key_count, 1u) - 1u));
let key_at_$r = key_place(cursor_$r, kv_head);
let value_at_$r = value_place(cursor_$r, kv_head);
`;

// No pair of these rows is seen, but others read them as parts of larger tiles.
const UNLESS_BLANK = `
if (run.full == $value) {
  $blank
} else {
  $whole
}
`;

const BEGIN = `
@if not stores
for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
  @each r in own
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
}
@end
for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
  @each r in own
  accumulator[own($r, $valueColumn, lane)] = vec4f(0.0);
  @end
}
`;

// What each value counted for.
const DROPPED = `
@each r in own
@each j in step
let kept_$r_$j = s_$r_$j * kept(extractBits(dropped_$r, $j, 1u) != 0u);
@end
@end
`;

const STEP = `
$rows
$places
$dots

$hide
$modify
$weights
$valueDots
$drops
$dropped
$gradients
$addValue
$toKey
`;

const STORE = `
if (key_$r < gradients.count) {
  let written_$r = key_$r < sequence.key_count;
  @if partial
  let sums_$r = (tile.state_row + kv_head * tile.state_stride + $local) * params.row_vecs;
  @else
  let token_$r = gradients.start + key_$r;
  @if not stores
  let key_out_$r = $keyPlace;
  @end
  let value_out_$r = $valuePlace;
  @end
  @if not stores
  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    let gradient = select(vec4f(0.0), accumulator[own($r, vec, lane)] * params.scale, written_$r);
    @if partial
    sums[sums_$r + vec] = gradient;
    @else
    store_key_gradient(key_out_$r, vec, gradient);
    @end
  }
  @end
  for (var vec = 0u; vec < row_sizes.value_vecs; vec++) {
    let gradient = select(vec4f(0.0), accumulator[own($r, $valueColumn, lane)], written_$r);
    @if partial
    sums[sums_$r + row_sizes.head_vecs + vec] = gradient;
    @else
    store_value_gradient(value_out_$r, vec, gradient);
    @end
  }
}
`;
