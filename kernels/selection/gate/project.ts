/**
 * Projects pooled blocks by a gate's weights, each head by its own:
 *
 * ```text
 * gate row = sum over parts of pooled[part] W[head][part]
 * ```
 *
 * A query block has one part, its mean; a block of keys has its maximum, its
 * minimum and, of its sum, the mean.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import type { Fragment } from "../../fragment.ts";
import { loadRow, rowBinding, type RowFormat } from "../../fragments/rows.ts";
import { productKernel } from "../../product.ts";
import { wgsl } from "../../wgsl.ts";
import { poolParts, type PoolSpec } from "./pool.ts";
import { SPAN, spans } from "./spans.ts";

/**
 * What the projecting kernel's source depends on.
 *
 * @category Kernels
 */
export interface GateProjectionSpec extends Pick<PoolSpec, "parts"> {
  /** Rows of the weights, of `gateDim` elements. */
  readonly weight: RowFormat;
}

/** The kernel; grid: row tiles, column tiles, and heads of sequences. */
export function gateProjectionKernel(
  { weight, parts }: GateProjectionSpec,
): KernelSource {
  const count = poolParts(parts);
  return productKernel({
    label: `selection.gate.project/${weight.dtype}.${parts}`,
    fragments: [
      spans,
      pooledBlocks(parts),
      weightBlocks(weight, count),
      {
        bindings: [{
          name: "projected",
          type: "array<vec4f>",
          access: "read_write",
        }],
      },
    ],
    places: wgsl(PLACES, { spanWords: SPAN.words }),
    rows: "params.given_blocks",
    columns: "params.gate_dim",
    terms: Array.from({ length: count }, (_, part) => ({
      depth: "params.head_dim",
      left:
        `transpose(pooled_block(pooled_plane, first_block + row, ${part}u, depth / 4u, total))`,
      right: `weight_block(head, ${part}u, depth, column / 4u)`,
    })),
    epilogue: wgsl(
      `
      @each r in quad
      if (row + $r < params.given_blocks) {
        projected[(place * params.given_blocks + row + $r) * params.gate_vecs + column / 4u] = sum_$r;
      }
      @end
      `,
      { quad: 4 },
    ),
  });
}

const PLACES = `
let head = place % params.heads;
let sequence = place / params.heads;
if (sequence >= params.sequences) {
  return;
}
let span = read_span(sequence * $spanWords);
let first_block = span.first / params.block;
let total = span.first + span.count;
let pooled_plane = sequence * params.pooled_heads + head / params.head_group;
`;

/** 4 blocks, each of 4 elements of a part; 0 where there is no block. */
function pooledBlocks(parts: PoolSpec["parts"]): Fragment {
  return {
    bindings: [{ name: "pooled", type: "array<vec4f>", access: "read" }],
    uniforms: {
      sequences: "u32",
      heads: "u32",
      pooled_heads: "u32",
      // Heads that share a pooled one.
      head_group: "u32",
      head_dim: "u32",
      head_vecs: "u32",
    },
    code: wgsl(
      `
      fn pooled_block(plane: u32, first: u32, part: u32, vec: u32, total: u32) -> mat4x4f {
        var block = mat4x4f();
        @each j in quad
        if ((first + $j) * params.block < total) {
          let at = (plane * params.blocks + first + $j) * $parts;
          block[$j] = pooled[(at + part) * params.head_vecs + vec];
          @if sums
          if (part == 2u) {
            block[$j] /= f32(min(params.block, total - (first + $j) * params.block));
          }
          @end
        }
        @end
        return block;
      }
      `,
      {
        quad: 4,
        parts: `${poolParts(parts)}u`,
        sums: parts === "extremes",
      },
    ),
  };
}

/** 4 depths of a head's part, each of 4 columns; 0 past the part's end. */
function weightBlocks(format: RowFormat, parts: number): Fragment {
  return {
    needs: [
      loadRow({
        name: "load_weight",
        bindings: [rowBinding("weight", format)],
        format,
        dim: "gate_dim",
      }),
    ],
    uniforms: { gate_dim: "u32", gate_vecs: "u32", weight_stride: "u32" },
    code: wgsl(
      `
      fn weight_block(head: u32, part: u32, depth: u32, vec: u32) -> mat4x4f {
        var block = mat4x4f();
        let first = (head * $parts + part) * params.head_dim;
        @each j in quad
        if (depth + $j < params.head_dim) {
          block[$j] = load_weight((first + depth + $j) * params.weight_stride, vec);
        }
        @end
        return block;
      }
      `,
      { quad: 4, parts: `${parts}u` },
    ),
  };
}
