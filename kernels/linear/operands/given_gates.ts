/**
 * Gates and strengths as the caller gives them: one a token, head and channel,
 * or fewer, by strides of 0.
 *
 * @module
 */

import type { DType } from "../../../src/core/dtype.ts";
import type { Fragment } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks } from "../chunks.ts";

/**
 * `{name}_at(chunk, token, head)`: where the gates of a chunk's token are; its
 * channels are `{name}_channel_stride` apart.
 */
export function givenGates(name: "decay" | "beta", dtype: DType): Fragment {
  const stride = (of: string) => `${name}_${of}_stride`;
  return {
    needs: [chunks],
    bindings: [{ name, type: `array<${dtype}>`, access: "read" }],
    uniforms: {
      [stride("batch")]: "u32",
      [stride("token")]: "u32",
      [stride("head")]: "u32",
      ...name === "decay" && { [stride("channel")]: "u32" },
    },
    code: wgsl(
      `
      fn $at(chunk: Chunk, token: u32, head: u32) -> u32 {
        return chunk.batch * params.$batch + (chunk.token + token) * params.$token + head * params.$head;
      }
      `,
      {
        at: `${name}_at`,
        batch: stride("batch"),
        token: stride("token"),
        head: stride("head"),
      },
    ),
  };
}

/**
 * `decay_of(at, channel)`: a log gate. Below -104 nothing is left in float32,
 * and a sum of gates that lie no lower rounds the less.
 */
export function decayGates(dtype: DType): Fragment {
  return {
    needs: [givenGates("decay", dtype)],
    code: wgsl(`
      fn decay_of(at: u32, channel: u32) -> f32 {
        return max(f32(decay[at + channel * params.decay_channel_stride]), -104.0);
      }
    `),
  };
}
