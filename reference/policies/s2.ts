/**
 * S2-Attention's mask, by walking: from block to block, a stride at a time.
 *
 * @module
 */

import type { MaskFunction } from "../problem.ts";

/**
 * The pattern, with no default.
 *
 * @category Reference
 */
export interface S2MaskOptions {
  /** Query heads. */
  readonly queryHeads: number;
  /** Key/value heads. */
  readonly kvHeads: number;
  /** Positions of a block. */
  readonly block: number;
  /** Blocks of the band up to the row's own, that one included. */
  readonly left: number;
  /** Blocks of the band from the row's own on; nothing to a causal pattern. */
  readonly right: number;
  /** One block in so many beyond the band. */
  readonly stride: number;
  /** Whether a row sees no later key. */
  readonly causal: boolean;
  /** Whether blocks are counted from the band, or from block 0 of all. */
  readonly relative: boolean;
  /** From one key/value head to the next, to the left. */
  readonly headStep: number;
  /** How far head 0's blocks are to the left of the multiples of the stride. */
  readonly offset: number;
  /** The last so many key/value heads keep all. */
  readonly denseHeads: number;
}

/**
 * The blocks of keys that rows of block `row` see, of `blocks`, in order.
 *
 * @example A band of two blocks, and one block in four
 * ```ts
 * import { s2Blocks } from "@quire/attention/reference";
 *
 * const options = {
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   block: 64,
 *   left: 2,
 *   right: 1,
 *   stride: 4,
 *   causal: true,
 *   relative: false,
 *   headStep: 1,
 *   offset: 0,
 *   denseHeads: 0,
 * };
 * console.log(s2Blocks(options, { kvHead: 0, row: 10, blocks: 11 }));
 * // 0 4 8 9 10
 * ```
 *
 * @category Reference
 */
export function s2Blocks(
  options: S2MaskOptions,
  { kvHead, row, blocks }: {
    readonly kvHead: number;
    readonly row: number;
    readonly blocks: number;
  },
): number[] {
  const { left, right, stride, causal, relative } = options;
  const { kvHeads, denseHeads, headStep, offset } = options;
  const last = causal ? Math.min(row, blocks - 1) : blocks - 1;
  const kept = new Set<number>();
  const all = kvHead >= kvHeads - denseHeads;
  for (let k = 0; all && k <= last; k++) kept.add(k);
  for (let k = row; k > row - left; k--) kept.add(k);
  for (let k = row; k < row + right; k++) kept.add(k);
  if (relative) {
    for (let k = row - left + 1; k >= 0; k -= stride) kept.add(k);
    for (let k = row + right - 1; k <= last; k += stride) kept.add(k);
  } else {
    let k = -(kvHead * headStep + offset);
    while (k < 0) k += stride;
    while (k >= stride) k -= stride;
    for (; k <= last; k += stride) kept.add(k);
  }
  return [...kept].filter((k) => k >= 0 && k <= last).sort((a, b) => a - b);
}

/**
 * Whether query position `q` of a query head sees key `k`.
 *
 * @example
 * ```ts
 * import { s2Mask } from "@quire/attention/reference";
 *
 * const sees = s2Mask({
 *   queryHeads: 1,
 *   kvHeads: 1,
 *   block: 64,
 *   left: 2,
 *   right: 1,
 *   stride: 4,
 *   causal: true,
 *   relative: false,
 *   headStep: 1,
 *   offset: 0,
 *   denseHeads: 0,
 * });
 * console.log(sees(0, 0, 640, 300), sees(0, 0, 640, 330)); // true false
 * ```
 *
 * @category Reference
 */
export function s2Mask(options: S2MaskOptions): MaskFunction {
  const { queryHeads, kvHeads, block, causal } = options;
  const known = new Map<string, Set<number>>();
  return (_, head, q, k) => {
    if (causal && k > q) return false;
    const kvHead = Math.floor(head / (queryHeads / kvHeads));
    const [row, column] = [Math.floor(q / block), Math.floor(k / block)];
    const key = `${kvHead},${row},${column >> 5}`;
    let blocks = known.get(key);
    if (blocks === undefined) {
      const upTo = ((column >> 5) + 1) << 5;
      blocks = new Set(s2Blocks(options, { kvHead, row, blocks: upTo }));
      known.set(key, blocks);
    }
    return blocks.has(column);
  };
}
