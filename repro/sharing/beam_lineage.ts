/**
 * Beams as a family tree: what a beam search shares, told without any block.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";

/** For each step, which beam each beam goes on from. */
export type Lineage = readonly (readonly number[])[];

/**
 * Parents of a beam search over a toy model: at each step a beam's next tokens
 * have falling log-probabilities, the first of them and each gap drawn from an
 * exponential distribution with mean 1/2 and 2; the best `beams` of all
 * continuations go on, ties to the first.
 */
export function toyBeamSearch(
  { beams, steps, seed }: { beams: number; steps: number; seed: number },
): Lineage {
  const prng = new Prng(seed);
  const exponential = (mean: number) => -mean * Math.log(1 - prng.uniform());
  // There is one beam at first, so that the first tokens differ.
  let scores = Array.from({ length: beams }, (_, i) => i === 0 ? 0 : -Infinity);
  return Array.from({ length: steps }, () => {
    const next = scores.flatMap((score, parent) => {
      let own = score - exponential(0.5);
      return Array.from({ length: beams }, () => {
        const continuation = { parent, score: own };
        own -= exponential(2);
        return continuation;
      });
    }).sort((a, b) => b.score - a.score).slice(0, beams);
    scores = next.map(({ score }) => score);
    return inPlace(next.map(({ parent }) => parent));
  });
}

/** The same continuations, each surviving beam in its own place. */
function inPlace(parents: readonly number[]): number[] {
  const rest = [...parents];
  const placed = parents.map((_, beam) => {
    const at = rest.indexOf(beam);
    return at < 0 ? undefined : rest.splice(at, 1)[0];
  });
  return placed.map((parent) => parent ?? rest.shift()!);
}

/** A beam search, and how its tokens are kept. */
export interface BeamSearch {
  /** What each beam goes on from, step by step; at least one step. */
  readonly lineage: Lineage;
  /** Beams. */
  readonly beams: number;
  /** Tokens before the first step. */
  readonly prompt: number;
  /** Tokens of a block. */
  readonly blockSize: number;
}

/**
 * Blocks that beams take together: the full ones of the prompt once, and of
 * every other as many as there were different beams, among the last ones'
 * ancestors, when it was filled. One that is not full belongs to one beam.
 */
export function lineageBlocks(
  { lineage, beams, prompt, blockSize }: BeamSearch,
): number {
  const length = prompt + lineage.length;
  const blocks = Math.ceil(length / blockSize);
  const shared = Math.floor(prompt / blockSize);
  let unique = shared;
  let ancestors = Array.from({ length: beams }, (_, i) => i);
  let step = lineage.length;
  for (let block = blocks - 1; block >= shared; block--) {
    const filledAt = Math.min((block + 1) * blockSize, length) - prompt;
    while (step > filledAt) {
      step--;
      ancestors = ancestors.map((beam) => lineage[step][beam]);
    }
    unique += new Set(ancestors).size;
  }
  return unique;
}
