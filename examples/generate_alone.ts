/**
 * Generation as the definition has it: one sequence, no cache, no device, and
 * the attention of `reference/`. What a service generates must be the same.
 *
 * @module
 */

import { attention } from "../reference/mod.ts";
import type { NewRows, TinyDecoder } from "./tiny_decoder.ts";

/** How {@linkcode generateAlone} goes on from a prompt. */
export interface AloneOptions {
  /** Tokens to generate. */
  readonly maxTokens: number;
  /** Begins with the likeliest token but for so many. Defaults to 0. */
  readonly branch?: number;
}

/** The likeliest tokens after a prompt; each computes the whole text anew. */
export async function generateAlone(
  decoder: TinyDecoder,
  prompt: readonly number[],
  { maxTokens, branch = 0 }: AloneOptions,
): Promise<number[]> {
  const generated: number[] = [];
  while (generated.length < maxTokens) {
    const text = [...prompt, ...generated];
    const positions = text.map((_, position) => position);
    const logits = await decoder.forward(
      text,
      positions,
      (_layer, rows) => causalAttention(decoder, rows),
    );
    const choice = generated.length === 0 ? branch : 0;
    const best = decoder.likeliest(logits, text.length - 1, choice + 1);
    generated.push(best[choice]);
  }
  return generated;
}

function causalAttention({ sizes }: TinyDecoder, rows: NewRows): Float32Array {
  const { queryHeads, kvHeads, headDim } = sizes;
  const length = rows.key.length / kvHeads / headDim;
  const { output } = attention({
    ...rows,
    batch: 1,
    queryLength: length,
    keyLength: length,
    queryHeads,
    kvHeads,
    headDim,
    mask: (_batch, _head, query, key) => key <= query,
  });
  return Float32Array.from(output);
}
