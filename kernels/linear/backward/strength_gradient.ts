/**
 * The last of the delta rules' gradients: those of values, which have been found
 * with those of states, and of each token and state head that of its strength,
 *
 * ```text
 * db_t = <du_t, r_t>    r_t = v_t - h'^T k_t
 * ```
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { storedTokens } from "../operands/operands.ts";
import { scratchRows } from "../operands/written.ts";
import type { LinearSpec } from "../spec.ts";

/** Invocations of a workgroup. */
export const STRENGTH_LANES = 64;

/**
 * The kernel of strengths' gradients; one invocation a token and a state head.
 *
 * @example What it binds
 * ```ts
 * import { rowFormat, strengthGradientKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = strengthGradientKernel({
 *   outputFormat: rowFormat("f32", 64),
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "rest",
 *   "residual",
 *   "written",
 *   "value_gradient",
 *   "strength_terms",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function strengthGradientKernel(
  { outputFormat }: Pick<LinearSpec, "outputFormat">,
): KernelSource {
  const rows = (name: string) =>
    scratchRows({ name, vecs: "value_vecs", access: "read" });
  return kernelOf({
    label: `linear.backward.strength/${outputFormat.dtype}`,
    fragments: [
      rows("rest"),
      rows("residual"),
      rows("written"),
      storedTokens({
        name: "value_gradient",
        format: outputFormat,
        dim: "value_dim",
      }),
      {
        bindings: [{
          name: "strength_terms",
          type: "array<f32>",
          access: "read_write",
        }],
        uniforms: { chunk_tokens: "u32", sequence_tokens: "u32" },
      },
    ],
    main: invocationEntry(STRENGTH_LANES, wgsl(STRENGTHS)),
  });
}

const STRENGTHS = `
let state_head = index % params.state_heads;
let token = index / params.state_heads % params.chunk_tokens;
let chunk_index = index / (params.state_heads * params.chunk_tokens);
if (chunk_index >= params.chunk_count) {
  return;
}
let chunk = chunk_of(chunk_index);
if (token >= chunk.count) {
  return;
}
let at = rest_at(chunk, token, state_head);
let value_at = value_gradient_at(chunk, token, state_head);
var sum = vec4f(0.0);
for (var vec = 0u; vec < params.value_vecs; vec++) {
  sum = fma(rest[at + vec], residual[at + vec], sum);
  store_value_gradient(value_at, vec, written[at + vec]);
}
let place = chunk.batch * params.sequence_tokens + chunk.token + token;
strength_terms[place * params.state_heads + state_head] = sum.x + sum.y + sum.z + sum.w;
`;
