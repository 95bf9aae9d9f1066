// deno-lint-ignore-file camelcase -- uniforms have the names of WGSL
/**
 * Everything that a plan of linear attention will put on the device, worked out
 * on the CPU from a problem and what the device is. Pure, no GPU objects.
 *
 * The pieces are exported one by one, for what is made of them besides: the
 * delta rules, features, and backward, which computes states and scores anew.
 *
 * @module
 */

import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../../kernels/fragments/rows.ts";
import { chunkStateKernel } from "../../../kernels/linear/chunk_state.ts";
import { GATE_LANES, gateSumsKernel } from "../../../kernels/linear/gates.ts";
import { chunkOutputKernel } from "../../../kernels/linear/output.ts";
import { PRODUCT_TILE } from "../../../kernels/linear/product.ts";
import { SCAN_LANES, scanKernel } from "../../../kernels/linear/scan.ts";
import { chunkScoresKernel } from "../../../kernels/linear/scores.ts";
import type { LinearSpec } from "../../../kernels/linear/spec.ts";
import type { KernelSource } from "../../core/kernel.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import type { Dispatch, ProgramParts } from "../../gpu/mod.ts";
import { type GivenStrides, vecsOf } from "../attention/problem.ts";
import { type ChunkSchedule, chunkSchedule } from "./chunks.ts";
import type { LinearExplanation } from "./explanation.ts";
import {
  checkSupported,
  type LinearProblem,
  type LinearRows,
} from "./problem.ts";

/** What planning needs to know of a device; a `Gpu` is one. */
export interface LinearDevice {
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupsPerDimension: number;
    readonly maxStorageBufferBindingSize: number;
  };
}

/** A dispatch, and what it does, for people. */
export interface LinearDispatch extends Dispatch {
  /** What it does. */
  readonly does: string;
}

/** A problem's program, and what to say of it. */
export interface LinearParts {
  /** What the program is made of. */
  readonly parts: ProgramParts;
  /** For people. */
  readonly explanation: LinearExplanation;
}

/** What all dispatches of a problem have in common. */
export interface LinearContext {
  /** The problem. */
  readonly problem: LinearProblem;
  /** Its chunks. */
  readonly schedule: ChunkSchedule;
  /** What kernels' sources depend on. */
  readonly spec: LinearSpec;
  /** Values of the uniforms that are the same for all dispatches. */
  readonly values: Readonly<Record<string, number>>;
  /** What they run on. */
  readonly device: LinearDevice;
}

/** Works out what all dispatches have in common. */
export function linearContext(
  problem: LinearProblem,
  device: LinearDevice,
): LinearContext {
  const schedule = chunkSchedule(problem);
  const spec = linearSpec(problem);
  return {
    problem,
    schedule,
    spec,
    values: linearUniforms(problem, spec, schedule),
    device,
  };
}

/** Works out the program of a problem. */
export function linearParts(
  problem: LinearProblem,
  device: LinearDevice,
): LinearParts {
  checkSupported(problem);
  const context = linearContext(problem, device);
  const all = [
    ...gateDispatches(context),
    ...stateDispatches(context),
    scoresDispatch(context),
    outputDispatch(context),
  ].filter(({ grid }) => grid.every((count) => count > 0));
  const scratch = linearScratch(context);
  return {
    parts: {
      dispatches: all.map(({ does: _, ...dispatch }) => dispatch),
      words: { schedule: context.schedule.words },
      scratch,
    },
    explanation: {
      dispatches: all.map(({ source, grid, does }) => ({
        kernel: source.label,
        grid,
        does,
      })),
      tile: { rows: PRODUCT_TILE, columns: PRODUCT_TILE },
      chunks: { count: context.schedule.chunkCount, tokens: problem.chunk },
      scratchBytes: Object.values(scratch).reduce((sum, n) => sum + n, 0),
    },
  };
}

/** The spec of a problem's kernels. */
export function linearSpec(problem: LinearProblem): LinearSpec {
  const { dtype, headDim, valueHeadDim, strides, decay } = problem;
  // Whole vec4s where rows begin at them, too.
  const format = (dim: number, { at, batch, token, head }: GivenStrides) =>
    rowFormat(dtype, dim, at, batch, token, head);
  return {
    queryFormat: format(headDim, strides.query),
    keyFormat: format(headDim, strides.key),
    valueFormat: format(valueHeadDim, strides.value),
    outputFormat: format(valueHeadDim, strides.output),
    gate: decay?.kind ?? "none",
  };
}

/** Values of a tensor's strides, in units of its format. */
export function rowUniforms(
  name: string,
  format: RowFormat,
  { at, batch, token, head }: GivenStrides,
): Record<string, number> {
  return {
    [`${name}_at`]: rowStride(format, at),
    [`${name}_batch_stride`]: rowStride(format, batch),
    [`${name}_token_stride`]: rowStride(format, token),
    [`${name}_head_stride`]: rowStride(format, head),
  };
}

function linearUniforms(
  problem: LinearProblem,
  spec: LinearSpec,
  { chunkCount, sequencesAt }: ChunkSchedule,
): Record<string, number> {
  const { queryHeads, keyHeads, stateHeads, outputHeads, strides } = problem;
  const { headDim, valueHeadDim, chunk, decay } = problem;
  const rows = (name: LinearRows) =>
    rowUniforms(name, spec[`${name}Format`], strides[name]);
  return {
    ...rows("query"),
    ...rows("key"),
    ...rows("value"),
    ...rows("output"),
    chunk_count: chunkCount,
    sequences_at: sequencesAt,
    sequence_count: problem.sequences.length,
    heads: outputHeads,
    query_heads: queryHeads,
    key_heads: keyHeads,
    state_heads: stateHeads,
    head_dim: headDim,
    head_vecs: vecsOf(headDim),
    value_dim: valueHeadDim,
    value_vecs: vecsOf(valueHeadDim),
    state_rows: headDim,
    state_stride: rowStride(rowFormat("f32", valueHeadDim), valueHeadDim),
    score_vecs: vecsOf(chunk),
    sub_chunk: problem.subChunk,
    scale: problem.scale,
    gate_channels: decay?.kind === "channel" ? headDim : 1,
    gate_width: decay?.kind === "channel" ? 4 * vecsOf(headDim) : 1,
    decay_batch_stride: decay?.batch ?? 0,
    decay_token_stride: decay?.token ?? 0,
    decay_head_stride: decay?.head ?? 0,
    decay_channel_stride: decay?.channel ?? 0,
  };
}

/** Bytes of scratch. */
export function linearScratch(
  { problem, schedule, values }: LinearContext,
): Record<string, number> {
  const { tokens, stateHeads, outputHeads, decay } = problem;
  const { gate_width, score_vecs, state_rows, value_vecs } = values;
  return {
    ...decay &&
      { gates: Math.max(16, 4 * tokens * stateHeads * gate_width) },
    states: Math.max(
      16,
      16 * schedule.chunkCount * stateHeads * state_rows * value_vecs,
    ),
    scores: Math.max(16, 16 * tokens * outputHeads * score_vecs),
  };
}

/** Sums of gates inside chunks, where there are gates. */
export function gateDispatches(context: LinearContext): LinearDispatch[] {
  const { problem: { decay, stateHeads }, schedule, values } = context;
  if (!decay) return [];
  const lanes = schedule.chunkCount * stateHeads * values.gate_width;
  return [{
    source: gateSumsKernel({ dtype: decay.dtype }),
    uniforms: values,
    grid: foldGrid(Math.ceil(lanes / GATE_LANES), context.device.limits),
    does: "sums log gates inside chunks",
  }];
}

/** What chunks add to states, and from that the states that enter them. */
export function stateDispatches(context: LinearContext): LinearDispatch[] {
  const { problem, spec, values, device } = context;
  const { states, stateHeads, valueHeadDim, sequences } = problem;
  const { state_rows, value_vecs } = values;
  const lanes = sequences.length * stateHeads * state_rows * value_vecs;
  return [
    productDispatch(context, {
      source: chunkStateKernel(spec),
      heads: stateHeads,
      rows: state_rows,
      columns: valueHeadDim,
      does: "what each chunk adds to the state",
    }),
    {
      source: scanKernel({
        gate: spec.gate,
        stateFormat: rowFormat("f32", valueHeadDim),
        initial: states.initial,
        final: states.final,
        pool: states.slots !== undefined,
      }),
      uniforms: values,
      grid: foldGrid(Math.ceil(lanes / SCAN_LANES), device.limits),
      does: "the states that enter chunks, one after the other",
    },
  ];
}

/** Scores inside chunks. */
export function scoresDispatch(context: LinearContext): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, {
    source: chunkScoresKernel(spec),
    heads: problem.outputHeads,
    rows: problem.chunk,
    columns: problem.chunk,
    does: "scores of queries with the keys of their chunk",
  });
}

/** Outputs of states and scores. */
export function outputDispatch(context: LinearContext): LinearDispatch {
  const { problem, spec } = context;
  return productDispatch(context, {
    source: chunkOutputKernel(spec),
    heads: problem.outputHeads,
    rows: problem.chunk,
    columns: problem.valueHeadDim,
    does: "outputs of the states that enter, and of scores",
  });
}

/** A dispatch of a product for each chunk and head. */
export function productDispatch(
  { schedule, values, device }: LinearContext,
  { source, heads, rows, columns, uniforms, aliases, does }: {
    readonly source: KernelSource;
    /** Heads that it is for. */
    readonly heads: number;
    /** Rows at most. */
    readonly rows: number;
    /** Columns at most. */
    readonly columns: number;
    /** Values that are its own. */
    readonly uniforms?: Readonly<Record<string, number>>;
    readonly aliases?: Dispatch["aliases"];
    readonly does: string;
  },
): LinearDispatch {
  const row_tiles = Math.ceil(rows / PRODUCT_TILE);
  const column_tiles = Math.ceil(columns / PRODUCT_TILE);
  const groups = schedule.chunkCount * heads * row_tiles * column_tiles;
  return {
    source,
    uniforms: {
      ...values,
      grid_heads: heads,
      row_tiles,
      column_tiles,
      ...uniforms,
    },
    grid: foldGrid(groups, device.limits),
    aliases,
    does,
  };
}
