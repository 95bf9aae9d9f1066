/**
 * Completes several prompts at once: each is a fork of one cached text, and
 * one decode plan serves all of them at every step.
 *
 * @module
 */

import {
  attentionProblem,
  type BlockTable,
  type Gpu,
  type KvCache,
  planAttention,
} from "../mod.ts";
import { prediction, queryRows } from "./encoding.ts";
import { StepTensors } from "./step_tensors.ts";
import { appendText, cachedAttention, joined } from "./text_cache.ts";

/** What has been completed, and what it took. */
export interface Completions {
  /** Each prompt's sequence: the shared text, the prompt and what followed. */
  readonly sequences: readonly BlockTable[];
  /** Each sequence's text. */
  readonly texts: readonly Uint8Array[];
  /** The kernels that the last step ran. */
  readonly kernels: readonly string[];
  /** Blocks copied because they were shared when they were written. */
  readonly copies: number;
}

/** Which prompts, after what, and how far. */
export interface CompletionOptions {
  /** The shared text. */
  readonly text: Uint8Array;
  /** Its sequence in the cache. */
  readonly prefix: BlockTable;
  /** What comes after it, one for each completion. */
  readonly prompts: readonly Uint8Array[];
  /** Bytes to complete. */
  readonly count: number;
  /** Hears the bytes of each step, one a prompt. */
  readonly onStep: (bytes: readonly number[]) => void;
}

/** A text with another behind it, and room for `room` bytes more. */
function concat(text: Uint8Array, more: Uint8Array, room = 0): Uint8Array {
  const out = new Uint8Array(text.length + more.length + room);
  out.set(text);
  out.set(more, text.length);
  return out;
}

/** Forks the prefix for each prompt, and completes them step by step. */
export async function complete(
  gpu: Gpu,
  cache: KvCache,
  options: CompletionOptions,
): Promise<Completions> {
  const { text, prefix, prompts, count, onStep } = options;
  const sequences = prompts.map(() => prefix.fork());
  const texts = prompts.map((prompt) => concat(text, prompt, count));
  const start = text.length;
  const lengths = prompts.map((prompt) => start + prompt.length);
  // Behind its prompt each fork has a last block of its own: later steps copy
  // nothing more.
  const copies = appendText(
    gpu,
    cache,
    sequences.map((sequence, p) => ({
      sequence,
      text: texts[p],
      start,
      end: lengths[p],
    })),
  );
  const problem = () => cachedAttention(cache, sequences, 1);
  const plan = await planAttention(gpu, problem());
  for (let step = 0; step < count; step++) {
    if (step > 0) await plan.update(attentionProblem(problem()));
    using tensors = new StepTensors(gpu, {
      query: joined(
        texts.map((bytes, p) => queryRows(bytes, lengths[p], lengths[p] + 1)),
      ),
      arenas: cache.arenas(),
    });
    const { output, lse } = await tensors.run(plan);
    const bytes = texts.map((_, p) => prediction(output, lse, p)?.byte ?? 0);
    bytes.forEach((byte, p) => texts[p][lengths[p]] = byte);
    appendText(
      gpu,
      cache,
      sequences.map((sequence, p) => ({
        sequence,
        text: texts[p],
        start: lengths[p],
        end: ++lengths[p],
      })),
    );
    onStep(bytes);
  }
  const kernels = plan.explain().dispatches.map(({ kernel }) => kernel);
  plan.destroy();
  return { sequences, texts, kernels, copies };
}
