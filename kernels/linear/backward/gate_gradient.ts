/**
 * Gradients of log gates: a gate weighs each pair of a chunk that it lies
 * between, what enters the chunk and is read after it, what is written before it
 * and leaves, and what goes through.
 *
 * ```text
 * dg_t =   sum over s < t of k_s (exp(G_end - G_s) D u_s)    written, and leaves
 *        + exp(G_end) sum over columns of h_in * D           goes through
 *        + sum over s >= t of q_s dq'_s - k_s dk'_s          read
 * ```
 *
 * where `dq'` and `dk'` are what other tokens of the chunk and the state that
 * enters it give. A pair of which both come after the gate is in both, and
 * nothing is left of it but a rounding error. So what has no need to be taken
 * away is not put in: the pair of a token with itself, and what leaves the
 * chunk, which is summed from the other side. What is left is no larger than the
 * pairs that decay has spared.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { rowBinding, storeRow } from "../../fragments/rows.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads } from "../chunks.ts";
import { chunkStates, tokenBlocks } from "../operands/operands.ts";
import { gateSums } from "../operands/weights.ts";
import type { GateKind } from "../spec.ts";
import { gradientTerms, type LinearBackwardSpec, readers } from "./spec.ts";

/** Invocations of a workgroup. */
export const GATE_GRADIENT_LANES = 64;

/** `through`, scratch of `[chunks, stateHeads, headDim]` in whole vec4s. */
function throughChunks(access: "read" | "read_write") {
  return {
    needs: [heads],
    bindings: [{
      name: "through",
      type: access === "read" ? "array<vec4f>" : "array<f32>",
      access,
    }],
    uniforms: { head_vecs: "u32" },
  } as const;
}

/**
 * What goes through a chunk; one invocation a row of its state.
 *
 * @example What it binds
 * ```ts
 * import { throughGradientKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = throughGradientKernel("head");
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "gates",
 *   "states",
 *   "state_gradients",
 *   "through",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function throughGradientKernel(
  gate: Exclude<GateKind, "none">,
): KernelSource {
  return kernelOf({
    label: `linear.backward.through/${gate}`,
    fragments: [
      chunks,
      gateSums(gate),
      chunkStates("read"),
      {
        bindings: [{
          name: "state_gradients",
          type: "array<vec4f>",
          access: "read",
        }],
      },
      throughChunks("read_write"),
    ],
    main: invocationEntry(GATE_GRADIENT_LANES, wgsl(THROUGH)),
  });
}

// Rows up to a whole vec4 are written too: as zeros.
const THROUGH = `
let width = 4u * params.head_vecs;
let row = index % width;
let state_head = index / width % params.state_heads;
let chunk_index = index / (width * params.state_heads);
if (chunk_index >= params.chunk_count) {
  return;
}
var sum = 0.0;
if (row < params.state_rows) {
  let at = state_at(chunk_index, state_head, row);
  var sums = vec4f(0.0);
  for (var vec = 0u; vec < params.state_vecs; vec++) {
    sums = fma(states[at + vec], state_gradients[at + vec], sums);
  }
  let chunk = chunk_of(chunk_index);
  let end = gate_of(chunk.row + chunk.count - 1u, state_head, row / 4u)[row % 4u];
  sum = exp(end) * (sums.x + sums.y + sums.z + sums.w);
}
through[index] = sum;
`;

/**
 * The gradients of gates, of each token, state and channel; one invocation goes
 * along a chunk's tokens for four channels.
 *
 * @example What it binds
 * ```ts
 * import { gateGradientKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const rows = rowFormat("f32", 64);
 * const { bindings } = gateGradientKernel({
 *   queryFormat: rows,
 *   keyFormat: rows,
 *   gradientFormat: rows,
 * });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "query",
 *   "key",
 *   "query_terms",
 *   "key_terms",
 *   "through",
 *   "gate_terms",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function gateGradientKernel(
  { queryFormat, keyFormat, gradientFormat, delta = false }: Pick<
    LinearBackwardSpec,
    "queryFormat" | "keyFormat" | "gradientFormat" | "delta"
  >,
): KernelSource {
  // Rows of gates' gradients are whole vec4s where those of queries' are.
  const format = { dtype: "f32", vector: gradientFormat.vector } as const;
  return kernelOf({
    label: `linear.backward.gates/${queryFormat.dtype}` +
      (delta ? ".delta" : ""),
    fragments: [
      chunks,
      tokenBlocks({ name: "query", format: queryFormat, dim: "head_dim" }),
      tokenBlocks({ name: "key", format: keyFormat, dim: "head_dim" }),
      gradientTerms("query_terms", "read"),
      gradientTerms("key_terms", "read_write"),
      throughChunks("read"),
      readers,
      storeRow({
        name: "store_gate",
        bindings: [rowBinding("gate_terms", format, "read_write")],
        format,
        dim: "head_dim",
      }),
      { uniforms: { gate_stride: "u32", sequence_tokens: "u32" } },
    ],
    main: invocationEntry(GATE_GRADIENT_LANES, wgsl(GATES, { delta })),
  });
}

// The sums from the chunk's start stand where their terms were, until those from
// its end are added.
const GATES = `
let vec = index % params.head_vecs;
let state_head = index / params.head_vecs % params.state_heads;
let chunk_index = index / (params.head_vecs * params.state_heads);
if (chunk_index >= params.chunk_count) {
  return;
}
let chunk = chunk_of(chunk_index);
let key_head = key_head_of(state_head);
var before = through[index];
for (var token = 0u; token < chunk.count; token++) {
  let at = key_terms_at(chunk.row + token, state_head, 1u) + vec;
  let leaving = key_terms[at];
  key_terms[at] = before;
  before = fma(load_key(key_at(chunk, token, key_head), vec), leaving, before);
}
var after = vec4f(0.0);
for (var c = 0u; c < chunk.count; c++) {
  let token = chunk.count - 1u - c;
  let row = chunk.row + token;
  let key = load_key(key_at(chunk, token, key_head), vec);
  var own = -key * key_terms[key_terms_at(row, state_head, 0u) + vec];
  @if delta
  own = fma(key, key_terms[key_terms_at(row, state_head, 2u) + vec], own);
  @end
  for (var reader = first_reader(state_head); reader < first_reader(state_head + 1u); reader++) {
    let query = load_query(query_at(chunk, token, query_head_of(reader)), vec);
    own = fma(query, query_terms[query_terms_at(row, reader) + vec], own);
  }
  after += own;
  let place = chunk.batch * params.sequence_tokens + chunk.token + token;
  store_gate((place * params.state_heads + state_head) * params.gate_stride, vec,
    key_terms[key_terms_at(row, state_head, 1u) + vec] + after);
}
`;
