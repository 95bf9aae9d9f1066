/**
 * Trains one layer of attention by gradient descent: of a dozen tokens one is
 * marked, and the layer is to say which letter it has. It has to learn where to
 * look (its query and keys) and what to say (its values), all of it through
 * `attention()` and `attentionBackward()`.
 *
 * @module
 */

import {
  attention,
  attentionBackward,
  type Gpu,
  type HostTensor,
} from "../mod.ts";
import type { Prng } from "../src/core/prng.ts";

/** Letters; a token is a letter, marked or not. */
const LETTERS = 8;
const TOKENS = 2 * LETTERS;
const LENGTH = 12;
const HEAD_DIM = 16;

/** What is learned. */
export interface Model {
  /** Where to look: `[headDim]`. */
  readonly query: Float32Array;
  /** What a token is found by: `[tokens, headDim]`. */
  readonly keys: Float32Array;
  /** What a token says, as logits of letters: `[tokens, letters]`. */
  readonly values: Float32Array;
}

/** Sequences, and the letter that each should say. */
export interface Batch {
  /** `[batch, length]`. */
  readonly tokens: readonly (readonly number[])[];
  /** One a sequence. */
  readonly letters: readonly number[];
}

/** A differentiable call: what it gives, and how gradients go back through it. */
export interface Differentiable {
  /** `[batch, 1, 1, letters]`. */
  readonly output: HostTensor;
  /** Gradients with respect to query, key and value; to be called once. */
  readonly backward: (
    outputGradient: HostTensor,
  ) => Promise<Record<"query" | "key" | "value", HostTensor>>;
}

/** Attention whose gradients can be asked for. */
export async function differentiable(
  gpu: Gpu,
  inputs: Readonly<Record<"query" | "key" | "value", HostTensor>>,
): Promise<Differentiable> {
  const { output, saved } = await attention(gpu, {
    ...inputs,
    forBackward: true,
  });
  return {
    output,
    backward: async (outputGradient) => {
      using state = saved!;
      return await attentionBackward(gpu, state, { outputGradient });
    },
  };
}

/** A model that knows nothing. */
export function untrained(random: Prng): Model {
  const small = (length: number) =>
    Float32Array.from({ length }, () => 0.3 * random.normal());
  return {
    query: small(HEAD_DIM),
    keys: small(TOKENS * HEAD_DIM),
    values: small(TOKENS * LETTERS),
  };
}

/** Sequences with one marked token each. */
export function drawBatch(random: Prng, size: number): Batch {
  const tokens = Array.from(
    { length: size },
    () => Array.from({ length: LENGTH }, () => random.below(LETTERS)),
  );
  const letters = tokens.map((sequence) => {
    const marked = random.below(LENGTH);
    const letter = sequence[marked];
    sequence[marked] += LETTERS;
    return letter;
  });
  return { tokens, letters };
}

/** One step of gradient descent, in place; returns the mean loss before it. */
export async function trainStep(
  gpu: Gpu,
  model: Model,
  { tokens, letters }: Batch,
  rate: number,
): Promise<number> {
  const size = tokens.length;
  const flat = tokens.flat();
  const layer = await differentiable(gpu, {
    query: gather(model.query, HEAD_DIM, tokens.map(() => 0), [
      size,
      1,
      1,
      HEAD_DIM,
    ]),
    key: gather(model.keys, HEAD_DIM, flat, [size, LENGTH, 1, HEAD_DIM]),
    value: gather(model.values, LETTERS, flat, [size, LENGTH, 1, LETTERS]),
  });
  // Cross entropy: its gradient is the softmax, less 1 at the right letter.
  const { data, shape } = layer.output;
  const outputGradient = new Float32Array(data.length);
  let loss = 0;
  letters.forEach((letter, i) => {
    const logits = data.subarray(i * LETTERS, (i + 1) * LETTERS);
    const largest = Math.max(...logits);
    const exponentials = Array.from(logits, (x) => Math.exp(x - largest));
    const sum = exponentials.reduce((a, b) => a + b);
    exponentials.forEach((e, c) => {
      outputGradient[i * LETTERS + c] = (e / sum - (c === letter ? 1 : 0)) /
        size;
    });
    loss -= Math.log(exponentials[letter] / sum) / size;
  });
  const gradients = await layer.backward({ data: outputGradient, shape });
  descend(model.query, gradients.query, tokens.map(() => 0), rate);
  descend(model.keys, gradients.key, flat, rate);
  descend(model.values, gradients.value, flat, rate);
  return loss;
}

/** Rows of a table, one an index. */
function gather(
  table: Float32Array,
  width: number,
  rows: readonly number[],
  shape: readonly number[],
): HostTensor {
  const data = new Float32Array(rows.length * width);
  rows.forEach((row, i) =>
    data.set(table.subarray(row * width, (row + 1) * width), i * width)
  );
  return { data, shape };
}

/** Takes each gathered row's gradient from the row of the table it came from. */
function descend(
  table: Float32Array,
  { data }: HostTensor,
  rows: readonly number[],
  rate: number,
): void {
  const width = data.length / rows.length;
  rows.forEach((row, i) => {
    for (let c = 0; c < width; c++) {
      table[row * width + c] -= rate * data[i * width + c];
    }
  });
}
