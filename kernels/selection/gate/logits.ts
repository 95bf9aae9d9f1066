/**
 * A gate's logits: of each block of queries by each block of keys.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import type { Fragment } from "../../fragment.ts";
import { productKernel } from "../../product.ts";
import { wgsl } from "../../wgsl.ts";

/** The kernel; grid: row tiles, column tiles, and heads of sequences. */
export function gateLogitsKernel(): KernelSource {
  return productKernel({
    label: "selection.gate.logits/f32",
    fragments: [
      blocksOf("query"),
      blocksOf("key"),
      {
        bindings: [{
          name: "scores",
          type: "array<f32>",
          access: "read_write",
        }],
        uniforms: {
          sequences: "u32",
          heads: "u32",
          key_heads: "u32",
          // Query heads that share a head of keys.
          head_group: "u32",
          scale: "f32",
        },
      },
    ],
    places: PLACES,
    rows: "params.query_blocks",
    columns: "params.key_blocks",
    terms: [{
      depth: "4u * params.gate_vecs",
      left: "transpose(query_block(place, row, depth / 4u))",
      right: "transpose(key_block(key_plane, column, depth / 4u))",
    }],
    epilogue: wgsl(
      `
      @each r in quad
      if (row + $r < params.query_blocks) {
        let at = (place * params.query_blocks + row + $r) * params.key_blocks + column;
        @each c in quad
        if (column + $c < params.key_blocks) {
          scores[at + $c] = params.scale * sum_$r[$c];
        }
        @end
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
let key_plane = sequence * params.key_heads + head / params.head_group;
`;

/** `{name}_block(plane, first, vec)`: 4 blocks' rows, each of 4 elements. */
function blocksOf(name: "query" | "key"): Fragment {
  return {
    bindings: [{
      name: `gate_${name}`,
      type: "array<vec4f>",
      access: "read",
    }],
    uniforms: { [`${name}_blocks`]: "u32", gate_vecs: "u32" },
    code: wgsl(
      `
      fn $block(plane: u32, first: u32, vec: u32) -> mat4x4f {
        var block = mat4x4f();
        @each j in quad
        if (first + $j < params.$count) {
          block[$j] = $rows[(plane * params.$count + first + $j) * params.gate_vecs + vec];
        }
        @end
        return block;
      }
      `,
      {
        block: `${name}_block`,
        rows: `gate_${name}`,
        count: `${name}_blocks`,
        quad: 4,
      },
    ),
  };
}
