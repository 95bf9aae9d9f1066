/**
 * What the source of a fused attention kernel depends on, and what its kernels
 * have in common beside the loop.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { dropoutOf, type DropoutSpec } from "../fragments/dropout.ts";
import {
  keyRows,
  type KeyValueSpec,
  valueRows,
} from "../fragments/key_value.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import type { RowFormat } from "../fragments/rows.ts";
import {
  eachStep,
  keyRuns,
  type Partitioning,
  SELECTED_TILE,
  type StepOptions,
  tiles,
  WORK_TILE,
} from "../fragments/schedule.ts";
import {
  OWN_BLOCKS,
  SELECTED_LIST,
  selectedRuns,
} from "../fragments/selection.ts";
import { type ModSource, scoreMods } from "../fragments/score.ts";
import { epilogue } from "./epilogue.ts";
import { queryRows, type QuerySpec } from "./query_rows.ts";

/**
 * What every fused kernel's source depends on.
 *
 * @category Kernels
 */
export interface AttentionSpec
  extends KeyValueSpec, QuerySpec, DropoutSpec, RunsSpec {
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** Score and mask mods, if any. */
  readonly mods?: ModSource | undefined;
  /** Whether a log-sum-exp is written beside the output. */
  readonly lse: boolean;
  /** Write partial states for `merge` instead of finished rows. */
  readonly partial: boolean;
  /** Whether a workgroup does a range of work tiles instead of one. */
  readonly persistent: boolean;
}

/**
 * Storage buffers of a fused kernel besides those that hold keys and values, at
 * least: query, schedule, and output or states.
 */
export const OTHER_BUFFERS = 3;

/** The fragments of a fused kernel. */
export function attentionFragments(spec: AttentionSpec): Fragment[] {
  return [
    queryRows(spec),
    keyRows(spec),
    valueRows(spec),
    ...workTiles(spec, spec),
    onlineSoftmax,
    scoreMods(spec.mods, { selected: spec.selected }),
    ...dropoutOf(spec),
    epilogue(spec),
  ];
}

/**
 * Whose runs a kernel goes along.
 *
 * @category Kernels
 */
export interface RunsSpec {
  /** Whether the device selects blocks of keys (`block_runs.ts`). */
  readonly selected?: boolean | undefined;
}

/** Work tiles and their runs, as the CPU or the device wrote these. */
export function workTiles(
  { selected }: RunsSpec,
  partitioning?: Partitioning,
): Fragment[] {
  return selected
    ? [tiles(SELECTED_TILE, partitioning), selectedRuns]
    : [tiles(WORK_TILE, partitioning), keyRuns];
}

/** What stands at the start of a work tile, before anything is scored. */
export function beginTile(
  { selected }: RunsSpec,
): string {
  return selected ? OWN_BLOCKS : "";
}

/** The loop over a work tile's keys; see {@linkcode eachStep}. */
export function eachOwnStep(
  { selected }: RunsSpec,
  step: number,
  body: string,
  options: StepOptions = {},
): string {
  return eachStep(step, body, {
    ...options,
    ...(selected && { list: SELECTED_LIST }),
  });
}

/** A kernel's label: what it is, and what tells it from others of its kind. */
export function labelOf(
  kernel: string,
  tile: string,
  spec: Pick<
    AttentionSpec,
    | "layout"
    | "queryFormat"
    | "queries"
    | "persistent"
    | "selected"
    | "dropout"
  >,
): string {
  return `attention.${kernel}/${spec.layout}.${spec.queryFormat.dtype}.${tile}` +
    (spec.queries === "listed" ? ".listed" : "") +
    (spec.dropout ? ".dropout" : "") +
    (spec.persistent ? ".persistent" : "") +
    (spec.selected ? ".selected" : "");
}
