/**
 * What the source of an attention kernel depends on, and the parts that all of
 * them share: header, bindings, epilogue.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import { declareBindings, declareUniforms } from "../wgsl.ts";
import {
  cursorFragment,
  keyValueBindings,
  type KeyValueSpec,
  loadKeyFragment,
  loadValueFragment,
} from "../fragments/key_value_source.ts";
import { onlineSoftmaxFragment } from "../fragments/online_softmax.ts";
import {
  loadRow,
  loadTailFragment,
  type RowFormat,
  storageType,
  storeRow,
} from "../fragments/rows.ts";
import {
  PARAMS,
  scheduleFragment,
  type Workers,
} from "../fragments/schedule.ts";
import {
  modBindings,
  type ModSource,
  scoreFragment,
} from "../fragments/score.ts";
import type { Queries } from "./score_tile.ts";

/** What every attention kernel's source depends on. */
export interface AttentionSpec extends KeyValueSpec {
  /** The format of query rows. */
  readonly queryFormat: RowFormat;
  /** The format of output rows. */
  readonly outputFormat: RowFormat;
  /** Score and mask mods, if any. */
  readonly mods?: ModSource | undefined;
  /** Whether a log-sum-exp is written beside the output. */
  readonly lse: boolean;
  /** Write unnormalised states for `merge` instead of finished rows. */
  readonly partial: boolean;
  /** Where queries are. */
  readonly queries: Queries;
  /** Which items a workgroup does. */
  readonly workers: Workers;
}

/** The end of a kernel's label. */
export function labelOf({ queries, workers }: AttentionSpec): string {
  return (queries === "listed" ? ".listed" : "") +
    (workers === "stretches" ? ".stream-k" : "");
}

/** Everything that a spec's element types ask of the device. */
export function specFeatures(spec: AttentionSpec): KernelSource["features"] {
  const half = [
    spec.queryFormat,
    spec.keyFormat,
    spec.valueFormat,
    spec.outputFormat,
  ].some(({ dtype }) => dtype === "f16");
  return half ? ["shader-f16"] : [];
}

/** The uniform binding, last in every table. */
export const paramsBinding: Binding = {
  name: "params",
  type: "Params",
  access: "uniform",
};

/** Where a kernel writes: finished rows, or states for the merge. */
export function outputBindings(
  { outputFormat, lse, partial }: AttentionSpec,
): Binding[] {
  if (partial) {
    return [{ name: "states", type: "array<vec4f>", access: "read_write" }];
  }
  const output: Binding = {
    name: "output",
    type: storageType(outputFormat),
    access: "read_write",
  };
  return lse
    ? [output, { name: "lse", type: "array<f32>", access: "read_write" }]
    : [output];
}

/**
 * Storage buffers of a fused kernel besides those that hold keys and values, at
 * least: query, schedule, and output or states.
 */
export const OTHER_BUFFERS = 3;

/** All bindings of a fused kernel, inputs first. */
export function attentionBindings(spec: AttentionSpec): Binding[] {
  return [
    { name: "query", type: storageType(spec.queryFormat), access: "read" },
    ...keyValueBindings(spec),
    { name: "schedule", type: "array<u32>", access: "read" },
    ...modBindings(spec.mods),
    ...outputBindings(spec),
    paramsBinding,
  ];
}

/**
 * Everything of a kernel but its loop. Only what the bindings make possible is
 * declared: a kernel without `query` has no `load_query`, and so on.
 */
export function attentionPrelude(
  spec: AttentionSpec,
  bindings: readonly Binding[] = attentionBindings(spec),
): string {
  const has = (name: string) =>
    bindings.some((binding) => binding.name === name);
  const writes = has("states") || has("output");
  const keys = has("key") || has("arena_0");
  const values = has("value") || has("arena_0");
  const formats = [
    spec.queryFormat,
    spec.keyFormat,
    spec.valueFormat,
    spec.outputFormat,
  ];
  return [
    specFeatures(spec).length > 0 ? "enable f16;" : "",
    declareUniforms("Params", PARAMS),
    declareBindings(bindings),
    scheduleFragment,
    formats.every(({ vector }) => vector) ? "" : loadTailFragment,
    has("query")
      ? loadRow({
        name: "load_query",
        bindings: ["query"],
        format: spec.queryFormat,
        dim: "head_dim",
      })
      : "",
    keys || values ? cursorFragment(spec) : "",
    keys ? loadKeyFragment(spec) : "",
    values ? loadValueFragment(spec) : "",
    onlineSoftmaxFragment,
    has("query") ? scoreFragment(spec.mods) : "",
    writes ? epilogueFragment(spec) : "",
  ].filter((part) => part.trim() !== "").join("\n\n");
}

/**
 * `write_row` stores four elements of a row, `write_stats` its softmax
 * statistics: finished, or as a state that `merge` continues from.
 */
export function epilogueFragment(spec: AttentionSpec): string {
  if (spec.partial) {
    return `fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
  states[row * params.value_vecs + vec] = accumulator;
}

fn write_stats(row: u32, maximum: f32, sum: f32) {
  states[params.stats_at + row] = vec4f(maximum, sum, 0.0, 0.0);
}`;
  }
  const store = storeRow({
    name: "store_output",
    bindings: ["output"],
    format: spec.outputFormat,
    dim: "value_dim",
  });
  const lse = spec.lse ? "\n  lse[row] = log_sum_exp(maximum, sum);" : "";
  return `${store}

fn write_row(row: u32, vec: u32, accumulator: vec4f, sum: f32) {
  store_output(row * params.value_stride, vec, finish(accumulator, sum));
}

fn write_stats(row: u32, maximum: f32, sum: f32) {${lse}
}`;
}

/** The output row of a packed row: its place in the output, or in the states. */
export function outputRow(
  { partial }: AttentionSpec,
  local: string,
  finished: string,
): string {
  return partial
    ? `item.state_row + kv_head * item.state_stride + ${local}`
    : finished;
}
