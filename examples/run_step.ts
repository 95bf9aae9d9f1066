/**
 * One step of a scheduler on a device: what the scheduler says is done, in
 * order, and what it wants to know is sampled.
 *
 * @module
 */

import { attention, type KvCache, type KvSwap } from "../mod.ts";
import type { SampleResult, Step } from "../src/engine/mod.ts";
import type { NewRows, TinyDecoder } from "./tiny_decoder.ts";

/** The attention of one layer in one step, for those who check it. */
export interface LayerAttention extends NewRows {
  /** The step. */
  readonly step: Step;
  /** The layer. */
  readonly layer: number;
  /** What came of it, `[tokens, queryHeads, headDim]`. */
  readonly output: Float32Array;
}

/** What a step runs on. */
export interface StepRunner {
  /** The model. */
  readonly decoder: TinyDecoder;
  /** Its keys and values. */
  readonly cache: KvCache;
  /** Where they go when they are swapped; not needed if nothing is. */
  readonly swap?: KvSwap;
  /** Told of every attention. */
  readonly onAttention?: (attention: LayerAttention) => void;
}

/** Carries out a step. */
export async function runStep(
  step: Step,
  { decoder, cache, swap, onAttention }: StepRunner,
): Promise<SampleResult[]> {
  // The scheduler counts these as done already, so they come first, in order.
  for (const operation of step.operations) {
    if (operation.type === "swap") await swap!.run(operation.transfer);
    else cache.copy([operation.copy]);
  }
  const { work } = step;
  if (work.length === 0) return [];

  const { queryHeads, kvHeads, headDim } = decoder.sizes;
  const { gpu } = cache;
  const sequences = work.map(({ sequence }) => sequence);
  // Where the tokens of each sequence begin, and how many there are in all.
  const starts = [0];
  for (const { tokens } of work) starts.push(starts.at(-1)! + tokens.length);
  const total = step.tokens;

  const reserved = cache.step(work);
  const logits = await decoder.forward(
    work.flatMap(({ tokens }) => tokens),
    work.flatMap(({ tokens, start }) => tokens.map((_, i) => start + i)),
    async (layer, rows) => {
      using key = gpu.tensor(rows.key, [total, kvHeads, headDim]);
      using value = gpu.tensor(rows.value, [total, kvHeads, headDim]);
      reserved.write({ layer, key, value });
      const { output } = await attention(gpu, {
        query: { data: rows.query, shape: [total, queryHeads, headDim] },
        cuSeqlens: starts,
        cache,
        sequences,
        layer,
        causal: true,
      });
      onAttention?.({ ...rows, step, layer, output: output.data });
      return output.data;
    },
  );

  // Where several branches begin, each takes another of the likeliest tokens.
  return work.flatMap(({ request, branch, samples }, i) => {
    if (samples === 0) return [];
    const tokens = decoder.likeliest(logits, starts[i + 1] - 1, samples);
    return [{ request, branch, tokens }];
  });
}
