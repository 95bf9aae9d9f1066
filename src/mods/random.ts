/**
 * Random bits by position: the hash of `src/core/dropout.ts` as an expression,
 * bit by bit. A mask of them is random, and for a seed always the same: it
 * depends on no tile, split or layout.
 *
 * @module
 */

import { GOLDEN, type HashState } from "../core/dropout.ts";
import { type Int, int } from "./expression.ts";

/**
 * The 32 bits of `last` after `words`, as a signed integer.
 *
 * @param state What the hash has taken in before, from the seed on.
 */
export function randomBits(
  state: HashState,
  words: readonly Int[],
  last: Int,
): Int {
  // Of each literal one node, so that kernels read it once.
  const [sixteen, thirteen] = [int(16), int(13)];
  const [first, second] = [int(0x85ebca6b | 0), int(0xc2b2ae35 | 0)];
  const golden = int(GOLDEN | 0);
  const mix = (x: Int): Int => {
    const h = x.xor(x.shr(sixteen)).mul(first);
    const g = h.xor(h.shr(thirteen)).mul(second);
    return g.xor(g.shr(sixteen));
  };
  let [a, b] = state.map((word) => int(word | 0));
  for (const word of words) {
    a = mix(a.xor(word).add(golden));
    b = mix(b.xor(a));
  }
  return mix(mix(last.xor(a)).xor(b));
}
