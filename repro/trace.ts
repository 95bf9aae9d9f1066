/**
 * Seeded traces of requests, as no real one can be shipped.
 *
 * @module
 */

import { Prng } from "../src/core/prng.ts";

/** One request's tokens. */
export interface Request {
  /** Tokens that are given. */
  readonly prompt: number;
  /** Tokens that are generated; known only in the end. */
  readonly output: number;
}

/** What a trace is drawn from. */
export interface TraceOptions {
  /** Seed of the generator. */
  readonly seed: number;
  /** Requests. */
  readonly requests: number;
  /** Mean of the prompts before they are cut off. */
  readonly promptMean: number;
  /** Mean of the outputs before they are cut off. */
  readonly outputMean: number;
  /** Standard deviation of the logarithms of both. Defaults to 1. */
  readonly sigma?: number;
  /** The longest prompt and output together; a prompt takes half at most. */
  readonly maxLength: number;
}

/**
 * Means of conversations and of single instructions, about those that the
 * PagedAttention paper gives for its ShareGPT and Alpaca traces.
 */
export const WORKLOADS = {
  conversations: { promptMean: 161, outputMean: 338 },
  instructions: { promptMean: 19, outputMean: 58 },
} as const;

/**
 * Requests whose prompts and outputs are drawn from log-normal distributions,
 * independently: `exp(mu + sigma z)` with `mu = ln(mean) - sigma**2 / 2`,
 * rounded up, cut off at the longest length.
 */
export function lengthTrace(options: TraceOptions): Request[] {
  const { seed, requests, promptMean, outputMean, maxLength } = options;
  const { sigma = 1 } = options;
  const prng = new Prng(seed);
  const draw = (mean: number) =>
    Math.ceil(mean * Math.exp(sigma * prng.normal() - sigma ** 2 / 2));
  return Array.from({ length: requests }, () => {
    const prompt = Math.min(draw(promptMean), maxLength / 2);
    return { prompt, output: Math.min(draw(outputMean), maxLength - prompt) };
  });
}
