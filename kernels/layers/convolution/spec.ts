/**
 * What the kernels of a short convolution have in common: sequences, inputs and
 * taps.
 *
 * ```text
 * z_t = bias + sum over taps i of w_i x_(t - k + 1 + i)    y_t = z_t or silu(z_t)
 * ```
 *
 * channel by channel. Inputs before a sequence's first are those of its state,
 * the last k - 1 of what came before, the oldest first; zeros where there is no
 * state. Nothing of another sequence is read.
 *
 * @module
 */

import type { DType } from "../../../src/core/dtype.ts";
import type { Fragment } from "../../fragment.ts";
import { loadRow, rowBinding, type RowFormat } from "../../fragments/rows.ts";
import { WordRecord } from "../../record.ts";
import { wgsl } from "../../wgsl.ts";
import { silu } from "../pointwise.ts";

/**
 * What the source of a short convolution's kernels depends on.
 *
 * @category Kernels
 */
export interface ConvolutionSpec {
  /** Rows of channels: inputs, outputs, states and their gradients. */
  readonly format: RowFormat;
  /** The storage type of the taps, and of the bias. */
  readonly weight: DType;
  /** Whether there is a bias. */
  readonly bias: boolean;
  /** Whether silu comes last. */
  readonly silu: boolean;
  /** Whether sequences begin with a state. */
  readonly state: boolean;
}

/** Invocations of a workgroup. */
export const CONVOLUTION_LANES = 64;

const SEQUENCE_FIELDS = {
  /** Its first token. */
  start: "u32",
  /** How many it has. */
  count: "u32",
} as const;

/** A sequence; the list of them begins the schedule. */
export const CONVOLUTION_SEQUENCE: WordRecord<typeof SEQUENCE_FIELDS> =
  new WordRecord("ConvolutionSequence", SEQUENCE_FIELDS);

/** Rows of channels, by their binding. */
export function channelRows(name: string, format: RowFormat): Fragment {
  return loadRow({
    name: `load_${name}`,
    bindings: [rowBinding(name, format)],
    format,
    dim: "width",
  });
}

/** `sequence_at` and `sequence_of`: a sequence, and that of a token. */
export const sequences: Fragment = {
  bindings: [{ name: "schedule", type: "array<u32>", access: "read" }],
  uniforms: {
    /** Where the sequence of each token stands in the schedule. */
    tokens_at: "u32",
    row_stride: "u32",
    width_vecs: "u32",
    /** Inputs before a token's own: taps but one. */
    before: "u32",
  },
  code: wgsl(
    `
    $record

    fn sequence_at(index: u32) -> ConvolutionSequence {
      return read_convolution_sequence($words * index);
    }

    fn sequence_of(token: u32) -> u32 {
      return schedule[params.tokens_at + token];
    }
    `,
    {
      record: CONVOLUTION_SEQUENCE.declare("convolution_sequence"),
      words: CONVOLUTION_SEQUENCE.words,
    },
  ),
};

/** `input_at(index, position, vec)`: of a sequence, from its state on. */
export function convolutionInputs(
  { format, state }: ConvolutionSpec,
): Fragment {
  return {
    needs: [
      channelRows("input", format),
      ...(state ? [channelRows("initial_state", format)] : []),
      sequences,
    ],
    code: wgsl(
      `
      fn input_at(index: u32, position: i32, vec: u32) -> vec4f {
        if (position >= 0) {
          let token = sequence_at(index).start + u32(position);
          return load_input(token * params.row_stride, vec);
        }
        @if state
        let slot = index * params.before + u32(position + i32(params.before));
        return load_initial_state(slot * params.row_stride, vec);
        @else
        return vec4f(0.0);
        @end
      }
      `,
      { state },
    ),
  };
}

/** `tap_of(tap, vec)`: of four channels; `[channels, taps]`, an element each. */
export function taps({ weight }: ConvolutionSpec): Fragment {
  return {
    bindings: [{ name: "weight", type: `array<${weight}>`, access: "read" }],
    uniforms: { width: "u32", before: "u32" },
    code: wgsl(`
      fn tap_of(tap: u32, vec: u32) -> vec4f {
        let channels = min(4u * vec + vec4u(0u, 1u, 2u, 3u), vec4u(params.width - 1u));
        let at = channels * (params.before + 1u) + tap;
        return vec4f(f32(weight[at.x]), f32(weight[at.y]), f32(weight[at.z]), f32(weight[at.w]));
      }
    `),
  };
}

/** `convolve(token, vec)`: z of the equation. */
export function convolved(spec: ConvolutionSpec): Fragment {
  return {
    needs: [
      convolutionInputs(spec),
      taps(spec),
      ...(spec.bias ? [biasRow(spec)] : []),
      ...(spec.silu ? [silu] : []),
    ],
    code: wgsl(
      `
      fn convolve(token: u32, vec: u32) -> vec4f {
        let index = sequence_of(token);
        let first = i32(token - sequence_at(index).start) - i32(params.before);
        @if bias
        var sum = load_bias(0u, vec);
        @else
        var sum = vec4f(0.0);
        @end
        for (var tap = 0u; tap <= params.before; tap++) {
          sum = fma(tap_of(tap, vec), input_at(index, first + i32(tap), vec), sum);
        }
        return sum;
      }
      `,
      { bias: spec.bias },
    ),
  };
}

function biasRow({ weight, format }: ConvolutionSpec): Fragment {
  return channelRows("bias", { dtype: weight, vector: format.vector });
}

/** A kernel's label: what it is, and what tells it from others of its kind. */
export function convolutionLabel(
  kernel: string,
  { format, weight, silu, state }: ConvolutionSpec,
): string {
  return `layers.convolution.${kernel}/${format.dtype}.${weight}` +
    (silu ? ".silu" : "") + (state ? ".state" : "");
}

/** The start of a kernel with an invocation for four channels of a row. */
export const EACH_ROW = `
let row = index / params.width_vecs;
let vec = index - row * params.width_vecs;
if (row >= params.row_count) {
  return;
}
`;
