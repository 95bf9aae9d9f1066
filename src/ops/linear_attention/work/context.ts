/**
 * What all dispatches of a problem of linear attention have in common, worked
 * out on the CPU: its chunks, the spec of its kernels, values of uniforms.
 *
 * @module
 */

import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../../../kernels/fragments/rows.ts";
import { featureRows } from "../../../../kernels/linear/operands/features.ts";
import type { GivenStatesSpec } from "../../../../kernels/linear/operands/given_states.ts";
import type { LinearSpec } from "../../../../kernels/linear/spec.ts";
import type { ProductTile } from "../../../../kernels/product.ts";
import type { Dispatch } from "../../../gpu/mod.ts";
import { type GivenStrides, vecsOf } from "../../attention/problem.ts";
import {
  type ChunkSchedule,
  chunkSchedule,
  type ChunkSizes,
} from "./chunks.ts";
import type { LinearProblem, LinearRows } from "../options/problem.ts";
import { recurrentTokens } from "./recurrent_tokens.ts";
import { chunkSizes } from "./sizes.ts";
import { HARDWARE_TILE, SOFTWARE_TILE } from "./tiles.ts";

/** What planning needs to know of a device; a `Gpu` is one. */
export interface LinearDevice {
  /** Whether it computes on the CPU. */
  readonly software: boolean;
  /** Its limits. */
  readonly limits: {
    readonly maxComputeWorkgroupsPerDimension: number;
    readonly maxStorageBufferBindingSize: number;
    readonly maxStorageBuffersPerShaderStage: number;
  };
}

/** A dispatch, and what it does, for people. */
export interface LinearDispatch extends Dispatch {
  /** What it does. */
  readonly does: string;
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

/** What backward has otherwise than forward. */
export interface ContextOptions extends Partial<ChunkSizes> {
  /** Bytes that a chunk takes of further scratch buffers. */
  readonly bytes?: (values: LinearContext["values"]) => Record<string, number>;
}

/**
 * Works out what all dispatches have in common.
 *
 * @throws {RangeError} if scratch of a single chunk does not fit a binding
 */
export function linearContext(
  problem: LinearProblem,
  device: LinearDevice,
  { bytes, ...sizes }: ContextOptions = {},
): LinearContext {
  const spec = linearSpec(
    problem,
    device.software ? SOFTWARE_TILE : HARDWARE_TILE,
  );
  const values = linearUniforms(problem, spec);
  const schedule = chunkSchedule(problem, {
    ...chunkSizes(problem, values, device.limits, bytes?.(values)),
    recurrentTokens: recurrentTokens(problem, device),
    ...sizes,
  });
  return { problem, schedule, spec, values, device };
}

/** The spec of a problem's kernels. */
export function linearSpec(
  problem: LinearProblem,
  tile: ProductTile,
): LinearSpec {
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
    delta: problem.beta !== undefined,
    featureMap: problem.featureMap,
    normalize: problem.eps !== undefined,
    tile,
  };
}

/** The states that a problem's kernels read and write. */
export function givenStatesSpec(
  { states, stateColumns, featureMap }: LinearProblem,
): GivenStatesSpec {
  return {
    stateFormat: rowFormat("f32", stateColumns),
    featureMap,
    initial: states.initial,
    final: states.final,
    pool: states.slots !== undefined,
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
): Record<string, number> {
  const { queryHeads, keyHeads, stateHeads, outputHeads, strides } = problem;
  const { headDim, valueHeadDim, chunk, decay, beta } = problem;
  const { stateRows, stateColumns } = problem;
  const rows = (name: LinearRows) =>
    rowUniforms(name, spec[`${name}Format`], strides[name]);
  return {
    ...rows("query"),
    ...rows("key"),
    ...rows("value"),
    ...rows("output"),
    heads: outputHeads,
    query_heads: queryHeads,
    key_heads: keyHeads,
    state_heads: stateHeads,
    head_dim: headDim,
    head_vecs: vecsOf(headDim),
    value_dim: valueHeadDim,
    value_vecs: vecsOf(valueHeadDim),
    state_rows: problem.featureMap === "taylor"
      ? featureRows(headDim)
      : headDim,
    state_dim: stateColumns,
    state_vecs: vecsOf(stateColumns),
    state_stride: rowStride(rowFormat("f32", stateColumns), stateColumns),
    given_rows: stateRows,
    feature_root: Math.sqrt(problem.scale),
    eps: problem.eps ?? 0,
    score_vecs: vecsOf(chunk),
    sub_chunk: problem.subChunk,
    scale: problem.scale,
    gate_channels: decay?.kind === "channel" ? headDim : 1,
    gate_width: decay?.kind === "channel" ? 4 * vecsOf(headDim) : 1,
    decay_batch_stride: decay?.batch ?? 0,
    decay_token_stride: decay?.token ?? 0,
    decay_head_stride: decay?.head ?? 0,
    decay_channel_stride: decay?.channel ?? 0,
    beta_batch_stride: beta?.batch ?? 0,
    beta_token_stride: beta?.token ?? 0,
    beta_head_stride: beta?.head ?? 0,
  };
}
