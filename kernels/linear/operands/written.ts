/**
 * What tokens write into the state, `h_t = diag(exp g_t) h_{t-1} + k_t u_t^T`:
 * their values, or of the delta rules what is left of these,
 *
 * ```text
 * u_t = b_t (v_t - h'^T k_t)    h' = diag(exp g_t) h_{t-1}
 * ```
 *
 * so that whatever else is computed of a chunk is the same for all rules.
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads } from "../chunks.ts";
import { tokenBlocks } from "./operands.ts";
import type { LinearSpec } from "../spec.ts";

/**
 * Scratch with a row of whole vec4s for each token and state head, `{name}_at`,
 * its place, and `{name}_block(chunk, state_head, token, vec)`: 4 tokens, each of
 * 4 columns.
 */
export function scratchRows(
  { name, vecs, access }: {
    readonly name: string;
    /** The uniform that holds a row's vec4s. */
    readonly vecs: "head_vecs" | "value_vecs";
    readonly access: "read" | "read_write";
  },
): Fragment {
  return {
    needs: [chunks, heads],
    bindings: [{ name, type: "array<vec4f>", access }],
    uniforms: { [vecs]: "u32" },
    code: wgsl(
      `
      fn $at(chunk: Chunk, token: u32, state_head: u32) -> u32 {
        return ((chunk.row + token) * params.state_heads + state_head) * params.$vecs;
      }

      fn $block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
        let last = chunk.count - 1u;
        return mat4x4f(
          @each j in quad
          select(vec4f(0.0), $name[$at(chunk, min(token + $j, last), state_head) + vec], token + $j <= last),
          @end
        );
      }
      `,
      { name, at: `${name}_at`, block: `${name}_block`, vecs, quad: 4 },
    ),
  };
}

/** `written_block(chunk, state_head, token, vec)`: what 4 tokens write. */
export function writtenBlocks(
  { delta = false, valueFormat }: Pick<LinearSpec, "delta" | "valueFormat">,
): Fragment {
  if (delta) {
    return scratchRows({
      name: "written",
      vecs: "value_vecs",
      access: "read",
    });
  }
  return {
    needs: [
      tokenBlocks({ name: "value", format: valueFormat, dim: "value_dim" }),
    ],
    code: wgsl(`
      fn written_block(chunk: Chunk, state_head: u32, token: u32, vec: u32) -> mat4x4f {
        return value_block(chunk, state_head, token, vec);
      }
    `),
  };
}
