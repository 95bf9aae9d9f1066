/**
 * Pools the rows of a block: queries to their mean, keys to their maximum,
 * minimum and sum, of which a later append goes on. Sums go along rows in their
 * order, one row after another: in how many appends they came changes no bit.
 *
 * Only rows that are there count: the last block's mean is that of its own.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { loadRow, rowBinding, type RowFormat } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { SPAN, spans } from "./spans.ts";

/**
 * What the pooling kernel's source depends on.
 *
 * @category Kernels
 */
export interface PoolSpec {
  /** Rows of what is pooled. */
  readonly format: RowFormat;
  /** Their mean; or maximum, minimum and sum, of which a later call goes on. */
  readonly parts: "mean" | "extremes";
}

/** Invocations of a workgroup, with four elements of a block each. */
export const POOL_LANES = 64;

/** Parts of a pooled block. */
export function poolParts(parts: PoolSpec["parts"]): number {
  return parts === "mean" ? 1 : 3;
}

/**
 * The kernel; an invocation each four elements of a block of a sequence's head,
 * of blocks of which rows are given.
 *
 * @example What it binds
 * ```ts
 * import { poolKernel, rowFormat } from "@quire/attention/kernels";
 *
 * const { bindings } = poolKernel({
 *   format: rowFormat("f16", 64),
 *   parts: "extremes",
 * });
 * console.log(bindings.map(({ name }) => name)); // rows spans pooled params
 * ```
 *
 * @category Kernels
 */
export function poolKernel({ format, parts }: PoolSpec): KernelSource {
  return kernelOf({
    label: `selection.gate.pool/${format.dtype}.${parts}`,
    fragments: [
      loadRow({
        name: "load_row",
        bindings: [rowBinding("rows", format)],
        format,
        dim: "head_dim",
      }),
      spans,
      {
        bindings: [{
          name: "pooled",
          type: "array<vec4f>",
          access: "read_write",
        }],
        uniforms: {
          sequences: "u32",
          heads: "u32",
          head_vecs: "u32",
          token_stride: "u32",
          head_stride: "u32",
        },
      },
    ],
    main: invocationEntry(
      POOL_LANES,
      wgsl(POOL, { mean: parts === "mean", spanWords: SPAN.words }),
    ),
  });
}

const POOL = `
let vec = index % params.head_vecs;
let i = index / params.head_vecs % params.given_blocks;
let plane = index / (params.head_vecs * params.given_blocks);
let head = plane % params.heads;
let sequence = plane / params.heads;
if (sequence >= params.sequences) {
  return;
}
let span = read_span(sequence * $spanWords);
let own = span.first / params.block + i;
let begin = max(own * params.block, span.first);
let end = min((own + 1u) * params.block, span.first + span.count);
if (begin >= end) {
  return;
}
let first_row = span.at + head * params.head_stride;
var sum = vec4f(0.0);
@if mean
for (var row = begin; row < end; row++) {
  sum += load_row(first_row + (row - span.first) * params.token_stride, vec);
}
pooled[(plane * params.blocks + own) * params.head_vecs + vec] = sum / f32(end - begin);
@else
let at = (plane * params.blocks + own) * 3u * params.head_vecs + vec;
var most = load_row(first_row + (begin - span.first) * params.token_stride, vec);
var least = most;
if (begin > own * params.block) {
  most = pooled[at];
  least = pooled[at + params.head_vecs];
  sum = pooled[at + 2u * params.head_vecs];
}
for (var row = begin; row < end; row++) {
  let value = load_row(first_row + (row - span.first) * params.token_stride, vec);
  most = max(most, value);
  least = min(least, value);
  sum += value;
}
pooled[at] = most;
pooled[at + params.head_vecs] = least;
pooled[at + 2u * params.head_vecs] = sum;
@end
`;
