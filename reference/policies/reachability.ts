/**
 * What tokens know of each other after several layers of sparse attention.
 *
 * @module
 */

import type { MaskFunction } from "../../src/mods/mod.ts";
import { checkInteger } from "../../src/core/check.ts";

/**
 * Layers that all have one mask.
 *
 * @category Policies
 */
export interface ReachabilityOptions {
  /** Queries, and keys. */
  readonly tokens: number;
  /** Query heads. */
  readonly heads: number;
  /** Which keys a query sees in each head; of sequence 0. */
  readonly mask: MaskFunction;
  /** Layers; 1 by default. */
  readonly layers?: number;
}

/**
 * On which tokens each depends after so many layers: in a layer on itself (the
 * residual) and on what any head sees, and so from layer to layer, the product
 * of boolean matrices.
 *
 * @returns `[tokens, tokens]`, 1 where the row's output depends on the column's
 * input
 * @throws {RangeError} If a number is out of range.
 *
 * @example Each token sees the one before it: three layers reach three back
 * ```ts
 * import { reachability } from "@quire/attention/reference";
 *
 * const reached = reachability({
 *   tokens: 6,
 *   heads: 1,
 *   mask: (_batch, _head, query, key) => key === query - 1,
 *   layers: 3,
 * });
 * console.log(reached.slice(5 * 6)); // 0 0 1 1 1 1
 * ```
 *
 * @category Policies
 */
export function reachability(
  { tokens, heads, mask, layers = 1 }: ReachabilityOptions,
): Uint8Array {
  checkInteger("tokens", tokens, 0);
  checkInteger("heads", heads, 1);
  checkInteger("layers", layers, 0);
  const layer = new Uint8Array(tokens * tokens);
  let reached = new Uint8Array(tokens * tokens);
  for (let query = 0; query < tokens; query++) {
    const row = query * tokens;
    for (let key = 0; key < tokens; key++) {
      for (let head = 0; head < heads && !layer[row + key]; head++) {
        if (mask(0, head, query, key)) layer[row + key] = 1;
      }
    }
    layer[row + query] = 1;
    reached[row + query] = 1;
  }
  for (let i = 0; i < layers; i++) reached = product(layer, reached, tokens);
  return reached;
}

/** Where a row of `a` and a column of `b` have a 1 in common. */
function product(
  a: Uint8Array,
  b: Uint8Array,
  size: number,
): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let through = 0; through < size; through++) {
      if (!a[row * size + through]) continue;
      for (let column = 0; column < size; column++) {
        result[row * size + column] |= b[through * size + column];
      }
    }
  }
  return result;
}
