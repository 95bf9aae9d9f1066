/**
 * A toy of recurrent layers alone, whose next token follows from the states of
 * all of them: on the host in float64, and on a device over slots of states.
 *
 * @module
 */

import { stateRounds } from "../../src/cache/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type { SequenceWork } from "../../src/engine/mod.ts";
import type { StateCache } from "../../src/kv/mod.ts";
import { linearAttention } from "../../src/ops/mod.ts";

/** Tokens of the toy. */
export const VOCABULARY = 24;

/** Sizes of its states. */
export const TOY = {
  layers: 2,
  stateHeads: 2,
  headDim: 4,
  valueHeadDim: 3,
} as const;

const WIDTH = TOY.stateHeads * TOY.valueHeadDim;
const DECAY = Float32Array.of(-0.2, -0.05);

/** Random numbers that follow from what they are for. */
function draw(length: number, ...keys: readonly number[]): Float32Array {
  const seed = keys.reduce((sum, key) => sum * 131 + key + 1, 7);
  const prng = new Prng(seed);
  return Float32Array.from({ length }, () => prng.normal());
}

/** The rows of one token in one layer. */
function rowsOf(token: number, layer: number) {
  const keys = TOY.stateHeads * TOY.headDim;
  return {
    query: draw(keys, token, layer, 0),
    key: draw(keys, token, layer, 1),
    value: draw(WIDTH, token, layer, 2),
  };
}

/** Tokens from the likeliest on, by the sum of the layers' outputs. */
export function ranked(outputs: ArrayLike<number>): number[] {
  const score = (token: number) =>
    draw(WIDTH, token, 9).reduce((sum, w, i) => sum + w * outputs[i], 0);
  const tokens = Array.from({ length: VOCABULARY }, (_, token) => token);
  return tokens.sort((a, b) => score(b) - score(a));
}

/** The likeliest tokens behind `tokens`, by the recurrence in float64. */
export function nextAlone(tokens: readonly number[]): number[] {
  const { layers, stateHeads, headDim, valueHeadDim } = TOY;
  const outputs = new Float64Array(WIDTH);
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < stateHeads; head++) {
      for (let column = 0; column < valueHeadDim; column++) {
        const state = new Float64Array(headDim);
        const at = head * valueHeadDim + column;
        let output = 0;
        for (const token of tokens) {
          const { query, key, value } = rowsOf(token, layer);
          output = 0;
          for (let d = 0; d < headDim; d++) {
            const row = head * headDim + d;
            state[d] = Math.exp(DECAY[head]) * state[d] + key[row] * value[at];
            output += state[d] * query[row] / Math.sqrt(headDim);
          }
        }
        outputs[at] += output;
      }
    }
  }
  return ranked(outputs);
}

/** Runs a step's work over a cache; gives each work's likeliest tokens. */
export async function runWork(
  cache: StateCache,
  work: readonly SequenceWork[],
): Promise<number[][]> {
  const { layers, stateHeads, headDim, valueHeadDim } = TOY;
  const outputs = work.map(() => new Float64Array(WIDTH));
  const rounds = stateRounds(work.map(({ states }) => states![0]));
  for (const { sequences, starts, counts, read, write } of rounds) {
    const tokens = [...sequences].flatMap((s, i) => {
      const at = starts[i] - work[s].start;
      return work[s].tokens.slice(at, at + counts[i]);
    });
    const cuSeqlens = [0];
    for (const count of counts) cuSeqlens.push(cuSeqlens.at(-1)! + count);
    for (let layer = 0; layer < layers; layer++) {
      const rows = tokens.map((token) => rowsOf(token, layer));
      const tensor = (name: "query" | "key" | "value", dim: number) => ({
        data: Float32Array.from(rows.flatMap((row) => [...row[name]])),
        shape: [tokens.length, stateHeads, dim],
      });
      const { output } = await linearAttention(cache.gpu, {
        query: tensor("query", headDim),
        key: tensor("key", headDim),
        value: tensor("value", valueHeadDim),
        decay: { data: DECAY, shape: [stateHeads] },
        cuSeqlens,
        states: cache.states(layer),
        stateIndices: read,
        finalStateIndices: write,
      });
      sequences.forEach((sequence, i) => {
        const last = (cuSeqlens[i + 1] - 1) * WIDTH;
        // A later round of the sequence takes this one's place.
        outputs[sequence].forEach((sum, at) => {
          const before = layer === 0 ? 0 : sum;
          outputs[sequence][at] = before + output.data[last + at];
        });
      });
    }
  }
  return outputs.map(ranked);
}
