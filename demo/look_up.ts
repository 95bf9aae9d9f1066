/**
 * The same question answered by a plain search, to hold the attention against.
 *
 * @module
 */

import { MAX_CONTEXT, type Prediction } from "./encoding.ts";

/**
 * The byte that followed the longest earlier occurrence of the context before
 * `position` (of {@linkcode MAX_CONTEXT} bytes at most); of several as long,
 * the most recent one's.
 *
 * @returns `undefined` at the start, where nothing came before.
 */
export function lookUp(
  text: Uint8Array,
  position: number,
): Prediction | undefined {
  let [best, context] = [-1, -1];
  for (let at = position - 1; at >= 0 && context < MAX_CONTEXT; at--) {
    const length = commonContext(text, at, position);
    if (length > context) [best, context] = [at, length];
  }
  return best < 0 ? undefined : { byte: text[best], context };
}

/** How many bytes before two positions are the same. */
function commonContext(text: Uint8Array, at: number, position: number): number {
  const most = Math.min(MAX_CONTEXT, at);
  let length = 0;
  while (
    length < most && text[at - 1 - length] === text[position - 1 - length]
  ) {
    length++;
  }
  return length;
}

/** Continues a text by `count` bytes, each looked up. */
export function continueText(text: Uint8Array, count: number): Uint8Array {
  const longer = new Uint8Array(text.length + count);
  longer.set(text);
  for (let at = text.length; at < longer.length; at++) {
    longer[at] = lookUp(longer.subarray(0, at), at)?.byte ?? 0;
  }
  return longer.subarray(text.length);
}
