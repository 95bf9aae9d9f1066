/**
 * What the sources of linear attention's gradients depend on.
 *
 * With `do` the loss's derivative by the output and `D` that by the state that
 * leaves a chunk, `u` the values, and `G` the sums of log gates inside the chunk:
 *
 * ```text
 * dq_t = scale (exp(G_t) h_in do_t + sum over s <= t of <do_t, u_s> exp(G_t - G_s) k_s)
 * dk_s = exp(G_end - G_s) D u_s + scale sum over t >= s of <do_t, u_s> exp(G_t - G_s) q_t
 * du_s = D^T (exp(G_end - G_s) k_s) + sum over t >= s of A_ts do_t
 * D_in = diag(exp(G_end)) D + scale sum over t of (exp(G_t) q_t) do_t^T
 * ```
 *
 * (Gated Linear Attention, Yang et al. 2024, appendix). What several heads share
 * has the sum of their gradients, head by head in their order.
 *
 * @module
 */

import type { RowFormat } from "../../fragments/rows.ts";
import type { Fragment } from "../../fragment.ts";
import type { ProductTile } from "../../product.ts";
import { wgsl } from "../../wgsl.ts";
import { heads } from "../chunks.ts";
import type { LinearSpec } from "../spec.ts";

/**
 * What every kernel of linear attention's gradients depends on. Gradients of
 * outputs and values lie as outputs do.
 *
 * @category Kernels
 */
export interface LinearBackwardSpec extends LinearSpec {
  /** The format of the gradients of queries and keys. */
  readonly gradientFormat: RowFormat;
}

/** Rows of gradients have sums of three kinds at once: a lane has few columns. */
export function gradientTile({ tile }: LinearSpec): ProductTile {
  return { ...tile, columnQuads: 1 };
}

/** `first_reader`: the first of the outputs that read a state. */
export const readers: Fragment = {
  needs: [heads],
  code: wgsl(`
    fn first_reader(state_head: u32) -> u32 {
      return state_head * params.heads / params.state_heads;
    }
  `),
};

/**
 * Gradients before they are summed over heads, and without what a token has of
 * itself, which gates do not see: `query_terms` of `[tokens, heads, headDim]`,
 * and `key_terms` of `[tokens, stateHeads, 3, headDim]`, in whole vec4s: of the
 * chunk's later tokens, of the state that leaves it, and of the delta rules what
 * keys recall, as queries do.
 */
export function gradientTerms(
  name: "query_terms" | "key_terms",
  access: "read" | "read_write",
): Fragment {
  return {
    needs: [heads],
    bindings: [{ name, type: "array<vec4f>", access }],
    uniforms: { head_vecs: "u32" },
    code: name === "query_terms"
      ? wgsl(`
        fn query_terms_at(row: u32, head: u32) -> u32 {
          return (row * params.heads + head) * params.head_vecs;
        }
      `)
      : wgsl(`
        fn key_terms_at(row: u32, state_head: u32, part: u32) -> u32 {
          return ((row * params.state_heads + state_head) * 3u + part) * params.head_vecs;
        }
      `),
  };
}
