/**
 * Reads a text into the cache chunk by chunk, and predicts every byte of it
 * from those before, with the tiled kernel over the block table.
 *
 * @module
 */

import {
  type AttentionOptions,
  attentionProblem,
  type BlockTable,
  type Gpu,
  type KvCache,
  planAttention,
  type TensorShape,
} from "../mod.ts";
import { type Prediction, prediction, queryRows } from "./encoding.ts";
import { StepTensors } from "./step_tensors.ts";
import { appendText, cachedAttention } from "./text_cache.ts";

/** Queries of one chunk at most. */
export const CHUNK = 1024;

/** A text that has been read. */
export interface Prefill {
  /** Its sequence. */
  readonly sequence: BlockTable;
  /** What each position was predicted to be; none for the first. */
  readonly predictions: readonly (Prediction | undefined)[];
  /** The kernels that the last chunk ran. */
  readonly kernels: readonly string[];
}

/** Options for the queries `start..end - 1` over the same sequence's keys. */
export function chunkAttention(
  cache: KvCache,
  sequence: BlockTable,
  { start, end }: { start: number; end: number },
): AttentionOptions<TensorShape> {
  return {
    ...cachedAttention(cache, [sequence], end - start),
    causal: true,
    // A query must not see its own byte: it attends to those before.
    queryOffset: start - 1,
  };
}

/** Reads a text; `onChunk` hears how far it has come. */
export async function prefill(
  gpu: Gpu,
  cache: KvCache,
  text: Uint8Array,
  onChunk: (done: number) => void,
): Promise<Prefill> {
  const sequence = cache.createSequence();
  const predictions: (Prediction | undefined)[] = [];
  const plan = await planAttention(
    gpu,
    chunkAttention(cache, sequence, { start: 0, end: 0 }),
  );
  for (let start = 0; start < text.length; start += CHUNK) {
    const end = Math.min(start + CHUNK, text.length);
    appendText(gpu, cache, [{ sequence, text, start, end }]);
    const options = chunkAttention(cache, sequence, { start, end });
    await plan.update(attentionProblem(options));
    using tensors = new StepTensors(gpu, {
      query: queryRows(text, start, end),
      arenas: cache.arenas(),
    });
    const { output, lse } = await tensors.run(plan);
    for (let i = 0; i < end - start; i++) {
      predictions.push(prediction(output, lse, i));
    }
    onChunk(end);
  }
  const kernels = plan.explain().dispatches.map(({ kernel }) => kernel);
  plan.destroy();
  return { sequence, predictions, kernels };
}
