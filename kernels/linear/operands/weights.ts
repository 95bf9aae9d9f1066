// deno-lint-ignore-file camelcase -- weights have the names of WGSL
/**
 * What decay leaves: the weights of rows of tokens between two places of a
 * chunk. No exponent is positive, so no weight is above 1 under any decay.
 *
 * | weights          | of a token          | to              |
 * | ---------------- | ------------------- | --------------- |
 * | `from_start`     | the chunk's start   | the token       |
 * | `to_end`         | the token           | the chunk's end |
 * | `from_reference` | a token before it   | the token       |
 * | `to_reference`   | the token           | a token after   |
 *
 * each as `{name}(chunk, state_head, token, vec[, reference])`, a block of 4
 * tokens, each of 4 channels. A token past the chunk's end has its last one's, as
 * what lies there is not to be read.
 *
 * @module
 */

import type { Fragment } from "../../fragment.ts";
import { wgsl } from "../../wgsl.ts";
import { chunks, heads } from "../chunks.ts";
import type { GateKind } from "../spec.ts";

/**
 * `gate_of(row, state_head, vec)`: a row of scratch's sum of log gates, from its
 * chunk's first token on, of 4 channels. Only where there are gates.
 */
export function gateSums(gate: GateKind): Fragment {
  return gate === "channel"
    ? {
      needs: [heads],
      bindings: [{ name: "gates", type: "array<vec4f>", access: "read" }],
      uniforms: { head_vecs: "u32" },
      code: wgsl(`
        fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
          return gates[(row * params.state_heads + state_head) * params.head_vecs + vec];
        }
      `),
    }
    : {
      needs: [heads],
      bindings: [{ name: "gates", type: "array<f32>", access: "read" }],
      code: wgsl(`
        fn gate_of(row: u32, state_head: u32, vec: u32) -> vec4f {
          return vec4f(gates[row * params.state_heads + state_head]);
        }
      `),
    };
}

/** The weights that a kernel multiplies, by name. */
export type GateWeights =
  | "from_start"
  | "to_end"
  | "from_reference"
  | "to_reference";

/** What stands before them, and the exponent of each token's sum `own`. */
const WEIGHTS: Readonly<
  Record<GateWeights, { readonly begin: string; readonly exponent: string }>
> = {
  from_start: { begin: "", exponent: "own" },
  to_end: {
    begin: "let end = gate_of(last, state_head, vec);",
    exponent: "end - own",
  },
  from_reference: {
    begin: "let base = gate_of(chunk.row + reference, state_head, vec);",
    exponent: "own - base",
  },
  to_reference: {
    begin: "let base = gate_of(chunk.row + reference, state_head, vec);",
    exponent: "base - own",
  },
};

/** Weights of decay, of gates of which there are some. */
export function gateWeights(
  gate: Exclude<GateKind, "none">,
  name: GateWeights,
): Fragment {
  const referred = name.endsWith("reference");
  return {
    needs: [chunks, gateSums(gate), weighted],
    code: wgsl(
      `
      fn $name(chunk: Chunk, state_head: u32, token: u32, vec: u32$more) -> mat4x4f {
        let last = chunk.row + chunk.count - 1u;
        $begin
        var weights = mat4x4f();
        @each j in quad
        {
          let own = gate_of(min(chunk.row + token + $j, last), state_head, vec);
          weights[$j] = exp($exponent);
        }
        @end
        return weights;
      }
      `,
      {
        name,
        ...WEIGHTS[name],
        more: referred ? ", reference: u32" : "",
        quad: 4,
      },
    ),
  };
}

/** `weighted(block, weights)`: their product, element by element. */
const weighted: Fragment = {
  code: wgsl(`
    fn weighted(block: mat4x4f, weights: mat4x4f) -> mat4x4f {
      return mat4x4f(
        block[0] * weights[0],
        block[1] * weights[1],
        block[2] * weights[2],
        block[3] * weights[3],
      );
    }
  `),
};
