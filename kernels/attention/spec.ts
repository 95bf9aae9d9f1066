/**
 * What the source of a fused attention kernel depends on, and what its kernels
 * have in common beside the loop.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import {
  keyRows,
  type KeyValueSpec,
  valueRows,
} from "../fragments/key_value.ts";
import { onlineSoftmax } from "../fragments/online_softmax.ts";
import type { RowFormat } from "../fragments/rows.ts";
import { keyRuns, tiles, WORK_TILE } from "../fragments/schedule.ts";
import { type ModSource, scoreMods } from "../fragments/score.ts";
import { epilogue } from "./epilogue.ts";
import { queryRows, type QuerySpec } from "./query_rows.ts";

/**
 * What every fused kernel's source depends on.
 *
 * @category Kernels
 */
export interface AttentionSpec extends KeyValueSpec, QuerySpec {
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
    tiles(WORK_TILE, spec),
    keyRuns,
    onlineSoftmax,
    scoreMods(spec.mods),
    epilogue(spec),
  ];
}

/** A kernel's label: what it is, and what tells it from others of its kind. */
export function labelOf(
  kernel: string,
  tile: string,
  spec: Pick<
    AttentionSpec,
    "layout" | "queryFormat" | "queries" | "persistent"
  >,
): string {
  return `attention.${kernel}/${spec.layout}.${spec.queryFormat.dtype}.${tile}` +
    (spec.queries === "listed" ? ".listed" : "") +
    (spec.persistent ? ".persistent" : "");
}
