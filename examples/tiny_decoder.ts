/**
 * A decoder of the usual kind, as small as can be and with random weights, all
 * in plain TypeScript but its attention, which the caller computes.
 *
 * @module
 */

import { Prng } from "../src/core/prng.ts";
import { add, project, randomWeight, rowsOf, type Weight } from "./matrices.ts";

/** How large a {@linkcode TinyDecoder} is. */
export interface DecoderSizes {
  /** Tokens that there are. */
  readonly vocabulary: number;
  /** Layers. */
  readonly layers: number;
  /** Query heads, a multiple of `kvHeads`. */
  readonly queryHeads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a query, key or value vector. */
  readonly headDim: number;
  /** The longest length of a sequence. */
  readonly maxLength: number;
}

/** Of one layer the queries, keys and values of new tokens. */
export interface NewRows {
  /** `[tokens, queryHeads, headDim]`. */
  readonly query: Float32Array;
  /** `[tokens, kvHeads, headDim]`. */
  readonly key: Float32Array;
  /** `[tokens, kvHeads, headDim]`. */
  readonly value: Float32Array;
}

/**
 * Attention of one layer: of each new query over the keys of its sequence up to
 * its own. Gives `[tokens, queryHeads, headDim]`.
 */
export type Attend = (
  layer: number,
  rows: NewRows,
) => Float32Array | Promise<Float32Array>;

type Layer = Readonly<
  Record<"query" | "key" | "value" | "output" | "up" | "down", Weight>
>;

/** Embeddings, layers of attention and perceptron, and a head over tokens. */
export class TinyDecoder {
  /** How large it is. */
  readonly sizes: DecoderSizes;
  readonly #width: number;
  readonly #tokens: Weight;
  readonly #positions: Weight;
  readonly #layers: readonly Layer[];
  readonly #head: Weight;

  /** Draws the weights from a seed. */
  constructor(sizes: DecoderSizes, seed: number) {
    const { vocabulary, layers, queryHeads, kvHeads, headDim } = sizes;
    const width = queryHeads * headDim;
    const prng = new Prng(seed);
    const weight = (outputs: number, inputs: number, scale = 1) =>
      randomWeight(prng, { outputs, inputs, scale });
    this.sizes = sizes;
    this.#width = width;
    this.#tokens = weight(vocabulary, width);
    this.#positions = weight(sizes.maxLength, width);
    this.#layers = Array.from({ length: layers }, () => ({
      // Large queries, so that attention has something to choose.
      query: weight(width, width, 2),
      key: weight(kvHeads * headDim, width),
      value: weight(kvHeads * headDim, width),
      output: weight(width, width),
      up: weight(2 * width, width),
      down: weight(width, 2 * width),
    }));
    this.#head = weight(vocabulary, width);
  }

  /**
   * Computes tokens, each of any sequence and at any position of it.
   *
   * @returns The logits of what follows each token, `[tokens, vocabulary]`.
   */
  async forward(
    tokens: readonly number[],
    positions: readonly number[],
    attend: Attend,
  ): Promise<Float32Array> {
    const x = new Float32Array(tokens.length * this.#width);
    add(x, rowsOf(this.#tokens, tokens));
    add(x, rowsOf(this.#positions, positions));
    for (const [layer, weights] of this.#layers.entries()) {
      const input = normalize(x, this.#width);
      const attended = await attend(layer, {
        query: project(input, weights.query),
        key: project(input, weights.key),
        value: project(input, weights.value),
      });
      add(x, project(attended, weights.output));
      const hidden = project(normalize(x, this.#width), weights.up);
      add(x, project(hidden.map(silu), weights.down));
    }
    return project(normalize(x, this.#width), this.#head);
  }

  /** The `count` likeliest tokens by one row of logits, the best one first. */
  likeliest(logits: Float32Array, row: number, count: number): number[] {
    const { vocabulary } = this.sizes;
    const own = logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    return Array.from(own.keys())
      .sort((a, b) => own[b] - own[a])
      .slice(0, count);
  }
}

/** RMSNorm of rows of `width`. */
function normalize(x: Float32Array, width: number): Float32Array {
  const y = x.slice();
  for (let start = 0; start < y.length; start += width) {
    const row = y.subarray(start, start + width);
    const squares = row.reduce((sum, value) => sum + value * value, 0);
    const scale = 1 / Math.sqrt(squares / width + 1e-5);
    row.forEach((value, i) => row[i] = value * scale);
  }
  return y;
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}
