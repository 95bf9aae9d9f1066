/**
 * Sums of log gates inside chunks:
 *
 * ```text
 * G_t = g_first + ... + g_t
 * ```
 *
 * of each token, state head and channel. Gates that are constant have strides of
 * 0. They are at most 0, so the sums fall, and `exp(G_t - G_s)` with `s <= t` is
 * at most 1 however strong the decay is.
 *
 * @module
 */

import type { DType } from "../../../src/core/dtype.ts";
import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { decayGates } from "../operands/given_gates.ts";

/** Invocations of a workgroup. */
export const GATE_LANES = 64;

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface GateSumsSpec {
  /** The storage type of the log gates. */
  readonly dtype: DType;
}

/**
 * The sums of gates; one invocation a chunk, a state head and a channel, of
 * which there is one where a gate is for a whole state.
 *
 * @example What it binds
 * ```ts
 * import { gateSumsKernel } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { bindings } = gateSumsKernel({ dtype: "f32" });
 * assertEquals(bindings.map(({ name }) => name), [
 *   "schedule",
 *   "decay",
 *   "gates",
 *   "params",
 * ]);
 * ```
 *
 * @category Kernels
 */
export function gateSumsKernel({ dtype }: GateSumsSpec): KernelSource {
  return kernelOf({
    label: `linear.gates/${dtype}`,
    fragments: [
      decayGates(dtype),
      {
        bindings: [
          { name: "gates", type: "array<f32>", access: "read_write" },
        ],
        uniforms: {
          state_heads: "u32",
          gate_channels: "u32",
          gate_width: "u32",
        },
      },
    ],
    main: invocationEntry(GATE_LANES, wgsl(SUMS)),
  });
}

// Channels up to a whole vec4 have gates too, though no key has an element there:
// what is read beside it must be a number.
const SUMS = `
let channel = index % params.gate_width;
let head = index / params.gate_width % params.state_heads;
let chunk_index = index / (params.gate_width * params.state_heads);
if (chunk_index >= params.chunk_count) {
  return;
}
let chunk = chunk_of(chunk_index);
let given = min(channel, params.gate_channels - 1u);
var sum = 0.0;
for (var token = 0u; token < chunk.count; token++) {
  sum += decay_of(decay_at(chunk, token, head), given);
  gates[((chunk.row + token) * params.state_heads + head) * params.gate_width + channel] = sum;
}
`;
