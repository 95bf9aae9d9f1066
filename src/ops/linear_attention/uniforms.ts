/**
 * What kernels of linear attention are told of a problem: their spec, and values
 * of uniforms.
 *
 * @module
 */

import {
  type RowFormat,
  rowFormat,
  rowStride,
} from "../../../kernels/fragments/rows.ts";
import type { ProductTile } from "../../../kernels/linear/product.ts";
import type { LinearSpec } from "../../../kernels/linear/spec.ts";
import { type GivenStrides, vecsOf } from "../attention/problem.ts";
import type { LinearProblem, LinearRows } from "./problem.ts";

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
    tile,
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

/** Values of the uniforms that are the same for all dispatches. */
export function linearUniforms(
  problem: LinearProblem,
  spec: LinearSpec,
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
