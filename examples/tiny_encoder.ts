/**
 * An encoder in the manner of MosaicBERT, as small as can be and with random
 * weights: ALiBi in the place of position embeddings, gated linear units, and
 * tokens packed from the beginning to the end. It is all plain TypeScript but
 * its attention, which the caller computes.
 *
 * @module
 */

import { Prng } from "../src/core/prng.ts";
import { add, project, randomWeight, rowsOf, type Weight } from "./matrices.ts";

/** How large a {@linkcode TinyEncoder} is. */
export interface EncoderSizes {
  /** Tokens that there are. */
  readonly vocabulary: number;
  /** Layers. */
  readonly layers: number;
  /** Heads. */
  readonly heads: number;
  /** Elements of a query, key or value vector. */
  readonly headDim: number;
}

/** Of one layer the rows to attend with and to. */
export interface EncoderRows {
  /** `[picked tokens or all, heads, headDim]`. */
  readonly query: Float32Array;
  /** `[tokens, heads, headDim]`. */
  readonly key: Float32Array;
  /** `[tokens, heads, headDim]`. */
  readonly value: Float32Array;
}

/**
 * Attention of one layer, of each token over its sequence, with ALiBi. Gives
 * rows like the query's.
 *
 * @param picked The tokens that the queries are; all where undefined.
 */
export type EncoderAttend = (
  rows: EncoderRows,
  picked: readonly number[] | undefined,
) => Float32Array | Promise<Float32Array>;

type Layer = Readonly<
  Record<"query" | "key" | "value" | "output" | "gate" | "up" | "down", Weight>
>;

/** Layers of bidirectional attention and gated perceptrons. */
export class TinyEncoder {
  /** How large it is. */
  readonly sizes: EncoderSizes;
  /** Elements of a token's row. */
  readonly width: number;
  readonly #tokens: Weight;
  readonly #layers: readonly Layer[];

  /** Draws the weights from a seed. */
  constructor(sizes: EncoderSizes, seed: number) {
    const width = sizes.heads * sizes.headDim;
    const prng = new Prng(seed);
    const weight = (outputs: number, inputs: number, scale = 1) =>
      randomWeight(prng, { outputs, inputs, scale });
    this.sizes = sizes;
    this.width = width;
    this.#tokens = weight(sizes.vocabulary, width, Math.sqrt(width));
    this.#layers = Array.from({ length: sizes.layers }, () => ({
      query: weight(width, width, 2),
      key: weight(width, width),
      value: weight(width, width),
      output: weight(width, width),
      gate: weight(2 * width, width),
      up: weight(2 * width, width),
      down: weight(width, 2 * width),
    }));
  }

  /**
   * Encodes packed tokens. Where only some are wanted, such as those that a
   * loss is of, the last layer is computed for them alone.
   *
   * @param picked Their numbers among the tokens, ascending; all by default.
   * @returns `[picked tokens or all, width]`.
   */
  async encode(
    tokens: ArrayLike<number>,
    attend: EncoderAttend,
    picked?: readonly number[],
  ): Promise<Float32Array> {
    let x = rowsOf(this.#tokens, tokens);
    normalize(x, this.width);
    for (const [i, layer] of this.#layers.entries()) {
      const some = i === this.#layers.length - 1 ? picked : undefined;
      const own = some ? rowsOf({ inputs: this.width, data: x }, some) : x;
      const attended = await attend({
        query: project(own, layer.query),
        key: project(x, layer.key),
        value: project(x, layer.value),
      }, some);
      x = own;
      add(x, project(attended, layer.output));
      normalize(x, this.width);
      const gate = project(x, layer.gate);
      const gated = project(x, layer.up).map((up, j) => gelu(gate[j]) * up);
      add(x, project(gated, layer.down));
      normalize(x, this.width);
    }
    return x;
  }
}

/** LayerNorm of rows of `width`, in place. */
function normalize(x: Float32Array, width: number): void {
  for (let start = 0; start < x.length; start += width) {
    const row = x.subarray(start, start + width);
    const mean = row.reduce((sum, value) => sum + value, 0) / width;
    const squares = row.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const scale = 1 / Math.sqrt(squares / width + 1e-12);
    row.forEach((value, i) => row[i] = (value - mean) * scale);
  }
}

/** The Gaussian error linear unit, by its usual approximation. */
function gelu(x: number): number {
  const inner = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
  return 0.5 * x * (1 + Math.tanh(inner));
}
