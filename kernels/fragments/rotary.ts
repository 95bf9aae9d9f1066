/**
 * Rotary position embedding (RoPE, Su et al. 2021) of rows that are loaded: each
 * by its own position, with cosines and sines from a table, as WGSL's own are
 * not accurate at large angles.
 *
 * @module
 */

import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";

/**
 * Which elements make a pair: `(2t, 2t + 1)` where interleaved, `(t, t + pairs)`
 * where half-split. What is past the last pair stays as it is.
 *
 * @category Kernels
 */
export type RotaryPairing = "interleaved" | "half-split";

/**
 * `rotate_{name}(base, vec, position)`: four elements of what `load_{name}`
 * loads, rotated at a position.
 */
export function rotatedRows(name: string, pairing: RotaryPairing): Fragment {
  return {
    bindings: [
      { name: "positions", type: "array<u32>", access: "read" },
      { name: "rotary", type: "array<vec2f>", access: "read" },
    ],
    uniforms: { rotary_pairs: "u32" },
    code: wgsl(ROTATE, { name, interleaved: pairing === "interleaved" }),
  };
}

const ROTATE = `
fn rotate_$name(base: u32, vec: u32, position: u32) -> vec4f {
  var $name = load_$name(base, vec);
  for (var c = 0u; c < 4u; c++) {
    let i = 4u * vec + c;
    if (i < 2u * params.rotary_pairs) {
      @if interleaved
      let pair = i / 2u;
      let partner = i ^ 1u;
      let first = (i & 1u) == 0u;
      @else
      let pair = i % params.rotary_pairs;
      let partner = (i + params.rotary_pairs) % (2u * params.rotary_pairs);
      let first = i < params.rotary_pairs;
      @end
      let turn = rotary[position * params.rotary_pairs + pair];
      let other = load_$name(base, partner / 4u)[partner % 4u];
      $name[c] = fma($name[c], turn.x, select(other, -other, first) * turn.y);
    }
  }
  return $name;
}
`;
