/**
 * A causal depthwise convolution over a few tokens, sequence by sequence:
 *
 * ```text
 * z_t = bias + sum over taps i of w_i x_(t - k + 1 + i)    y_t = z_t or silu(z_t)
 * ```
 *
 * channel by channel. A sequence's inputs follow those of its state, or zeros.
 *
 * @module
 */

import { silu, siluSlope } from "./gates.ts";
import { EXACT, type Rounding } from "./rounding.ts";

/**
 * Sequences, taps and states.
 *
 * @category Layers
 */
export interface ConvolutionProblem {
  /** `[tokens, channels]`, one sequence after the other. */
  readonly input: ArrayLike<number>;
  /** How many tokens each sequence has. */
  readonly lengths: readonly number[];
  /** Channels. */
  readonly channels: number;
  /** `[channels, taps]`, the last one the token's own. */
  readonly weight: ArrayLike<number>;
  /** Taps. */
  readonly taps: number;
  /** `[channels]`. */
  readonly bias?: ArrayLike<number> | undefined;
  /** Whether silu comes last. */
  readonly silu?: boolean;
  /** `[sequences, taps - 1, channels]`, the oldest first; zeros by default. */
  readonly initialState?: ArrayLike<number> | undefined;
  /** Float64 by default. */
  readonly round?: Rounding;
}

/** The inputs of a sequence in one channel, from its state on. */
function inputsOf(
  { input, channels, taps, initialState }: ConvolutionProblem,
  { sequence, start, count, channel }: Place,
): number[] {
  const before = taps - 1;
  return Array.from({ length: before + count }, (_, i) => {
    if (i >= before) return input[(start + i - before) * channels + channel];
    return initialState?.[(sequence * before + i) * channels + channel] ?? 0;
  });
}

/** A channel of a sequence. */
interface Place {
  readonly sequence: number;
  readonly start: number;
  readonly count: number;
  readonly channel: number;
}

/** Every channel of every sequence. */
function* placesOf(
  { lengths, channels }: ConvolutionProblem,
): Generator<Place> {
  let start = 0;
  for (const [sequence, count] of lengths.entries()) {
    for (let channel = 0; channel < channels; channel++) {
      yield { sequence, start, count, channel };
    }
    start += count;
  }
}

function preActivation(
  { weight, taps, bias, round = EXACT }: ConvolutionProblem,
  inputs: readonly number[],
  { channel, t }: { readonly channel: number; readonly t: number },
): number {
  let z = bias?.[channel] ?? 0;
  for (let i = 0; i < taps; i++) {
    z = round(z + round(weight[channel * taps + i] * inputs[t + i]));
  }
  return z;
}

/**
 * Convolves, and says what each sequence leaves: its last `taps - 1` inputs.
 *
 * @example Each token and the one before it
 * ```ts
 * import { convolution } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { output, finalState } = convolution({
 *   input: [1, 2, 3],
 *   lengths: [3],
 *   channels: 1,
 *   weight: [10, 1],
 *   taps: 2,
 * });
 * assertEquals([...output], [1, 12, 23]);
 * assertEquals([...finalState], [3]);
 * ```
 *
 * @category Layers
 */
export function convolution(problem: ConvolutionProblem): {
  readonly output: Float64Array;
  readonly finalState: Float64Array;
} {
  const { input, lengths, channels, taps, round = EXACT } = problem;
  const before = taps - 1;
  const output = new Float64Array(input.length);
  const finalState = new Float64Array(lengths.length * before * channels);
  for (const place of placesOf(problem)) {
    const { sequence, start, count, channel } = place;
    const inputs = inputsOf(problem, place);
    for (let t = 0; t < count; t++) {
      const z = preActivation(problem, inputs, { channel, t });
      output[(start + t) * channels + channel] = problem.silu
        ? silu(z, round)
        : z;
    }
    inputs.slice(count).forEach((x, i) =>
      finalState[(sequence * before + i) * channels + channel] = x
    );
  }
  return { output, finalState };
}

/**
 * The gradients of a convolution.
 *
 * @category Layers
 */
export interface ConvolutionGradients {
  /** `[tokens, channels]`. */
  readonly inputGradient: Float64Array;
  /** `[channels, taps]`. */
  readonly weightGradient: Float64Array;
  /** `[channels]`. */
  readonly biasGradient: Float64Array;
  /** `[sequences, taps - 1, channels]`. */
  readonly initialStateGradient: Float64Array;
}

/**
 * The gradients of {@linkcode convolution}; `finalStateGradient` is 0 by default.
 *
 * @example The gradient of the taps
 * ```ts
 * import { convolutionBackward } from "@quire/attention/reference";
 * import { assertEquals } from "@std/assert";
 *
 * const { weightGradient } = convolutionBackward({
 *   input: [1, 2, 3],
 *   lengths: [3],
 *   channels: 1,
 *   weight: [10, 1],
 *   taps: 2,
 *   outputGradient: [1, 1, 1],
 * });
 * assertEquals([...weightGradient], [3, 6]);
 * ```
 *
 * @category Layers
 */
export function convolutionBackward(
  problem: ConvolutionProblem & {
    readonly outputGradient: ArrayLike<number>;
    readonly finalStateGradient?: ArrayLike<number>;
  },
): ConvolutionGradients {
  const { input, lengths, channels, weight, taps, outputGradient } = problem;
  const { finalStateGradient, round = EXACT } = problem;
  const before = taps - 1;
  const inputGradient = new Float64Array(input.length);
  const weightGradient = new Float64Array(channels * taps);
  const biasGradient = new Float64Array(channels);
  const initialStateGradient = new Float64Array(
    lengths.length * before * channels,
  );
  for (const place of placesOf(problem)) {
    const { sequence, start, count, channel } = place;
    const inputs = inputsOf(problem, place);
    const gradients = new Float64Array(inputs.length);
    const slotAt = (i: number) => (sequence * before + i) * channels + channel;
    for (let t = 0; t < count; t++) {
      const dy = outputGradient[(start + t) * channels + channel];
      const z = preActivation(problem, inputs, { channel, t });
      const dz = problem.silu ? round(dy * siluSlope(z, round)) : dy;
      biasGradient[channel] = round(biasGradient[channel] + dz);
      for (let i = 0; i < taps; i++) {
        const tap = channel * taps + i;
        gradients[t + i] = round(gradients[t + i] + round(weight[tap] * dz));
        weightGradient[tap] = round(
          weightGradient[tap] + round(dz * inputs[t + i]),
        );
      }
    }
    for (let i = 0; i < before && finalStateGradient; i++) {
      gradients[count + i] = round(
        gradients[count + i] + finalStateGradient[slotAt(i)],
      );
    }
    gradients.forEach((gradient, i) => {
      if (i < before) initialStateGradient[slotAt(i)] = gradient;
      else inputGradient[(start + i - before) * channels + channel] = gradient;
    });
  }
  return { inputGradient, weightGradient, biasGradient, initialStateGradient };
}
