/**
 * Captured buffers, held against a problem: an index that is outside would be
 * clamped, and the last row or column be read again without a word.
 *
 * @module
 */

import { checkType } from "../../../core/check.ts";
import {
  type CapturedAxis,
  type CapturedBuffer,
  evaluationOrder,
} from "../../../mods/nodes.ts";
import type { MaskMod, ScoreMod } from "../../../mods/mod.ts";
import type { SequenceShape } from "../problem.ts";

/** What the dimensions of a problem's masks and biases run over. */
export interface MaskExtents {
  /** The sequences. */
  readonly sequences: readonly SequenceShape[];
  /** Query heads. */
  readonly heads: number;
  /**
   * Keys that the key tensor has for each sequence, where all sequences have
   * as many queries and room for as many keys; else they are ragged, and a
   * mask may be larger than the longest.
   */
  readonly keys: number | undefined;
}

/**
 * Throws unless every dimension whose axis is known is 1 or has the problem's
 * size.
 *
 * @throws {TypeError} If one is not.
 */
export function checkCaptureSizes(
  mods: readonly (MaskMod | ScoreMod)[],
  extents: MaskExtents,
): void {
  const checked = new Set<CapturedBuffer>();
  for (const { expression } of mods) {
    for (const node of evaluationOrder(expression)) {
      if (node.kind !== "load" || checked.has(node.buffer)) continue;
      checked.add(node.buffer);
      checkBuffer(node.buffer, extents);
    }
  }
}

function checkBuffer(buffer: CapturedBuffer, extents: MaskExtents): void {
  const { shape, axes = [], given = shape, name } = buffer;
  axes.forEach((axis, i) => {
    if (axis === undefined || shape[i] === 1) return;
    const rule = typeof axis === "object"
      ? positionsRule(axis.from, shape[i], extents)
      : sizeRule(axis, shape[i], extents);
    checkType(rule === undefined, `${name} shape`, rule ?? "", given);
  });
}

/** The broadcast rule that a size breaks, if it does. */
function sizeRule(
  axis: Exclude<CapturedAxis, object>,
  size: number,
  { sequences, heads, keys }: MaskExtents,
): string | undefined {
  const ragged = keys === undefined;
  const queries = largest(sequences.map(({ queryCount }) => queryCount));
  const written = largest(sequences.map(({ keyCount }) => keyCount));
  const batch = sequences.length;
  const sizes = { batch, head: heads, row: queries, key: keys ?? written };
  // Nothing is read where nothing is computed.
  if (batch * queries * sizes.key === 0) return undefined;
  const fits = {
    batch: size === batch,
    head: size === heads,
    row: size === queries || ragged && size > queries,
    key: size === sizes.key || size === written ||
      ragged && size > written,
  };
  if (fits[axis]) return undefined;
  const what = { batch: "batch", head: "heads", row: "queries", key: "keys" };
  const least = ragged && (axis === "row" || axis === "key") ? ">= " : "";
  return `must broadcast to [batch, heads, queries, keys], here [${
    Object.values(sizes).join(", ")
  }]: ${what[axis]} must be ${least}${sizes[axis]} or 1, not ${size}`;
}

/** The same for data that goes by positions. */
export function positionsRule(
  from: number,
  size: number,
  { sequences }: MaskExtents,
): string | undefined {
  for (const [i, { queryOffset, queryCount }] of sequences.entries()) {
    const [first, end] = [queryOffset, queryOffset + queryCount];
    if (queryCount === 0 || first >= from && end <= from + size) continue;
    return `with queryOffset ${from} must have a row for each query's position, of which sequence ${i} has ${first}..${
      end - 1
    }, not ${from}..${
      from + size - 1
    }; leave queryOffset out where row i is query i's`;
  }
  return undefined;
}

function largest(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), 0);
}
