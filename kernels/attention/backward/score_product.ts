/**
 * dQ or dK of stored gradients of scores: `dQ = scale dS K`, with lanes along
 * packed query rows, and `dK = scale dS^T Q`, with lanes along keys. Neither S
 * nor dP is made again, so that backward is five products in all.
 *
 * What is stored at a time is a stretch of the keys. A row's gradient goes on
 * from one stretch to the next in f32, so that its bits do not depend on where
 * keys are parted.
 *
 * Workgroup memory: `lanes * ownRows * headVecs * 16` bytes.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { type Fragment, kernelOf } from "../../fragment.ts";
import { keyRows, type KeyValueSpec } from "../../fragments/key_value.ts";
import { nonFinite } from "../../fragments/online_softmax.ts";
import { placeOf, type RowFormat } from "../../fragments/rows.ts";
import {
  BLANK_RUN,
  eachStep,
  entryPoint,
  keyRuns,
  tiles,
  WORK_TILE,
} from "../../fragments/schedule.ts";
import { wgsl } from "../../wgsl.ts";
import { accumulatorOf, addTile } from "../add_tile.ts";
import { lsePlaces } from "../epilogue.ts";
import { nameRows, namesOf, queryRows } from "../query_rows.ts";
import { placeKeys } from "../score_tile.ts";
import { keyValueGradientRows } from "./key_value_gradient.ts";
import { queryGradientRows } from "./query_gradient.ts";
import { scoreGradientRows } from "./score_gradients.ts";
import { nameStepRows, placeStepQuery } from "./step_rows.ts";
import {
  type BackwardSpec,
  gradientRows,
  keyGradients,
  READ_ROW_SIZES,
  rowSizes,
} from "./spec.ts";

/** A register tile of a product. */
export interface ProductTile {
  /** Invocations of a workgroup. */
  readonly lanes: number;
  /** Rows of the gradient that each lane owns; of dQ's a multiple of 4. */
  readonly ownRows: number;
  /** Rows that a step adds; of dK's a multiple of 4. */
  readonly step: number;
  /** Room for a row, in vec4s: at least `ceil(headDim / 4)`. */
  readonly headVecs: number;
}

/** What the source of either product depends on. */
interface ProductSpec
  extends
    KeyValueSpec,
    Pick<BackwardSpec, "queryFormat" | "stridedQueries" | "gradientsApart"> {
  /** The register tile. */
  readonly tile: ProductTile;
  /** Keys of a tile of the kernel that stored the gradients. */
  readonly tileKeys: number;
}

/** What the source of dQ depends on. */
export interface QueryProductSpec extends ProductSpec {
  /** The format of rows of the queries' gradient. */
  readonly queryGradientFormat: RowFormat;
  /** Whether rows go on from sums of a stretch before. */
  readonly resumes: boolean;
  /** Whether rows end in sums, which a later stretch goes on from. */
  readonly partial: boolean;
}

/** What the source of dK depends on. */
export interface KeyProductSpec extends ProductSpec {
  /** The format of rows of the keys' gradient. */
  readonly keyGradientFormat: RowFormat;
  /** The format of rows of the values' gradient. */
  readonly valueGradientFormat: RowFormat;
}

/** Rows of the gradient that a workgroup owns. */
export function productRows(
  { lanes, ownRows }: Pick<ProductTile, "lanes" | "ownRows">,
): number {
  return lanes * ownRows;
}

/** Bytes of workgroup memory that a tile takes. */
export function productTileBytes(tile: ProductTile): number {
  return productRows(tile) * tile.headVecs * 16;
}

/** The kernel of dQ. */
export function queryProductKernel(spec: QueryProductSpec): KernelSource {
  const { tile, tileKeys, resumes, partial } = spec;
  const gradients = queryGradientRows(spec);
  const { lanes, ownRows: own, step } = tile;
  const quads = own / 4;
  const sums = resumes || partial;
  const offsets = Array.from(
    { length: own },
    (_, r) => `${4 * lanes * Math.floor(r / 4)}u + 4u * lane + ${r % 4}u`,
  );
  const state = [resumes && "resumed", partial && "partial"]
    .filter((word) => word).map((word) => `.${word}`).join("");
  return kernelOf({
    label: labelOf("query", `${productRows(tile)}x${step}`, spec) + state,
    fragments: [
      queryRows({ ...spec, queries: "consecutive" }),
      keyRows(spec),
      ...productFragments(spec),
      ...(sums ? [querySums, lsePlaces(spec)] : []),
      ...(partial ? [] : [
        gradientRows(gradients),
      ]),
    ],
    main: entryPoint(
      lanes,
      [
        READ_ROW_SIZES,
        nameRows(offsets, "consecutive"),
        ...(sums ? offsets.map((_, r) => placeSums(r, spec)) : []),
        wgsl(BEGIN_QUERY, { own, resumes }),
        "let stretch = stretch_of(tile.sequence);",
        eachStep(
          step,
          [
            placeKeys(step, false),
            wgsl(LOAD_OF_KEYS, { quads, lanes, step, tileKeys }),
            ...offsets.map((_, r) => partsOfRow(r, step)),
            addTile({
              own,
              step,
              vecs: "row_sizes.head_vecs",
              weights: "ds",
              row: ["k", "finite(load_key(key_$j, vec))"],
            }),
          ].join("\n"),
          { before: "var cursor = seek(sequence, run.first_key);" },
        ),
        ...offsets.map((_, r) =>
          wgsl(STORE_QUERY, {
            r,
            partial,
            place: placeOf(gradients, namesOf(r)),
          })
        ),
      ].join("\n\n"),
    ),
  });
}

/** The kernel of dK, on the schedule of the kernel that stored the gradients. */
export function keyProductKernel(spec: KeyProductSpec): KernelSource {
  const { tile, tileKeys } = spec;
  const [gradients] = keyValueGradientRows(spec);
  const { lanes, ownRows: own, step } = tile;
  const add = [
    nameStepRows(step),
    ...Array.from({ length: step }, (_, j) => placeStepQuery(j, spec)),
    wgsl(LOAD_OF_ROWS, { own, step, quads: step / 4, tileKeys }),
    ...Array.from(
      { length: step },
      (_, j) =>
        wgsl(PART_OF_KEY, { own, j, q: Math.floor(j / 4), part: j % 4 }),
    ),
    addTile({
      own,
      step,
      vecs: "row_sizes.head_vecs",
      weights: "ds",
      row: ["q", "finite(load_query(query_at_$j, vec))"],
    }),
  ].join("\n");
  return kernelOf({
    label: labelOf("key", `${step}x${productRows(tile)}`, spec),
    fragments: [
      queryRows({ ...spec, queries: "consecutive" }),
      ...productFragments(spec),
      gradientRows(gradients),
      keyGradients,
    ],
    main: entryPoint(
      lanes,
      [
        READ_ROW_SIZES,
        wgsl(BEGIN_KEY, { own, lanes }),
        eachStep(
          step,
          wgsl(UNLESS_BLANK, { add, value: BLANK_RUN }),
          { along: "row" },
        ),
        "let gradients = key_gradients_of(tile.sequence);",
        ...Array.from({ length: own }, (_, r) =>
          wgsl(STORE_KEY, {
            r,
            place: placeOf(gradients, {
              batch: "sequence.batch",
              token: `gradients.start + key_${r}`,
              head: "kv_head",
            }),
          })),
      ].join("\n\n"),
    ),
  });
}

/** `ds_{r}_{j}` of the vec4s of four rows. */
function partsOfRow(r: number, step: number): string {
  return wgsl(
    `
    @each j in step
    let ds_$r_$j = rows_$g_$j[$part];
    @end
    `,
    { r, step, g: Math.floor(r / 4), part: r % 4 },
  );
}

/** Where a row is among unfinished ones. */
function placeSums(
  r: number,
  { stridedQueries: batches = false }: ProductSpec,
): string {
  return `let sums_${r} = ${
    placeOf({ name: "lse", batches }, namesOf(r))
  } * row_sizes.head_vecs;`;
}

/** Unfinished rows, where their log-sum-exps are among such. */
const querySums: Fragment = {
  bindings: [{ name: "sums", type: "array<vec4f>", access: "read_write" }],
};

/** What both kernels have in common. */
function productFragments({ tile, tileKeys }: ProductSpec): Fragment[] {
  return [
    rowSizes,
    tiles(WORK_TILE),
    keyRuns,
    nonFinite,
    scoreGradientRows({ tileKeys, access: "read" }),
    {
      uniforms: { scale: "f32" },
      code: [
        accumulatorOf(
          { lanes: tile.lanes, rowsPerLane: tile.ownRows },
          tile.headVecs,
        ),
        wgsl(FINITE),
      ].join("\n\n"),
    },
  ];
}

function labelOf(
  kernel: string,
  size: string,
  { layout, queryFormat }: ProductSpec,
): string {
  return `attention.backward.product.${kernel}/${layout}.${queryFormat.dtype}.${size}`;
}

// A row that is not seen may be NaN or Inf, whose product with its weight of 0
// is no 0. One that is seen has made its weight what it is.
const FINITE = `
fn finite(row: vec4f) -> vec4f {
  return select(row, vec4f(0.0), non_finite(row));
}
`;

const BEGIN_QUERY = `
for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
  @each r in own
  @if resumes
  accumulator[own($r, vec, lane)] = sums[sums_$r + vec];
  @else
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
  @end
}
`;

// Keys of a step are of one tile, neighbours.
const LOAD_OF_KEYS = `
let step_at = score_gradients_of(stretch, kv_head, first_key) + (tile.first_row / 4u + lane) * $tileKeys;
@each j in step
@each g in quads
let rows_$g_$j = score_gradients[step_at + $g * $lanes * $tileKeys + $j];
@end
@end
`;

const STORE_QUERY = `
if (packed_$r < row_count) {
  @if not partial
  let out_$r = $place;
  @end
  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    @if partial
    sums[sums_$r + vec] = accumulator[own($r, vec, lane)];
    @else
    store_query_gradient(out_$r, vec, accumulator[own($r, vec, lane)] * params.scale);
    @end
  }
}
`;

const BEGIN_KEY = `
let stretch = stretch_of(tile.sequence);
@each r in own
let key_$r = tile.first_row + $r * $lanes + lane;
let scores_at_$r = score_gradients_of(stretch, kv_head, key_$r);
@end
for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
  @each r in own
  accumulator[own($r, vec, lane)] = vec4f(0.0);
  @end
}
`;

const LOAD_OF_ROWS = `
let step_at = first_row / 4u * $tileKeys;
@each r in own
@each q in quads
let rows_$r_$q = score_gradients[scores_at_$r + step_at + $q * $tileKeys];
@end
@end
`;

const PART_OF_KEY = `
@each r in own
let ds_$r_$j = rows_$r_$q[$part];
@end
`;

const UNLESS_BLANK = `
if (run.full != $value) {
  $add
}
`;

// Of keys past the sequence's end zeros were stored, or nothing is visited.
const STORE_KEY = `
if (key_$r < gradients.count) {
  let key_out_$r = $place;
  for (var vec = 0u; vec < row_sizes.head_vecs; vec++) {
    store_key_gradient(key_out_$r, vec, accumulator[own($r, vec, lane)] * params.scale);
  }
}
`;
