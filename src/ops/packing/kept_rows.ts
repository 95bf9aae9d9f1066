/**
 * Which rows of a padded batch are tokens.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { type Indices, indicesOf } from "../attention/options/spans.ts";

/**
 * The tokens of a padded batch: by their lengths, or by a mask.
 *
 * @category Packing
 */
export interface PackingOptions {
  /** Tokens of each sequence; the padding is behind them. */
  readonly lengths?: Indices;
  /** With `lengths`: rows that the padded batch has for each sequence. */
  readonly length?: number;
  /** With `lengths`: `"left"` where the padding is before the tokens. */
  readonly padding?: "left" | "right";
  /** Instead: nonzero (or true) for each row that is a token. */
  readonly mask?: Uint8Array | readonly (number | boolean)[];
  /** With `mask`: `[batch, length]`. */
  readonly shape?: readonly number[];
}

/** Rows that are tokens, and how many each sequence has. */
export interface Kept {
  /** Ascending, counted over all sequences. */
  readonly indices: readonly number[];
  /** Of each sequence. */
  readonly counts: readonly number[];
}

/** `[batch, length]` of a batch by its mask, where that is as it should be. */
export function maskShape(
  { mask, shape, length, padding }: PackingOptions,
): number[] {
  for (const [name, given] of Object.entries({ length, padding })) {
    checkType(given === undefined, name, "must not be given with mask", given);
  }
  checkType(
    Array.isArray(mask) || mask instanceof Uint8Array,
    "mask",
    "must be a Uint8Array or an array, nonzero where a row is a token",
    mask,
  );
  checkType(
    Array.isArray(shape) && shape.length === 2,
    "shape",
    "must be [batch, length], that of mask",
    shape,
  );
  shape.forEach((size, i) => checkInteger(`shape[${i}]`, size, 0, 2 ** 31 - 1));
  checkType(
    mask.length === shape[0] * shape[1],
    "mask.length",
    `must be ${shape[0] * shape[1]}, the product of shape [${shape}]`,
    mask.length,
  );
  return [...shape];
}

/** Rows that a mask keeps. */
export function keptByMask(
  mask: Uint8Array | readonly (number | boolean)[],
  batch: number,
  length: number,
): Kept {
  const indices: number[] = [];
  const counts = new Array<number>(batch).fill(0);
  for (const [row, value] of mask.entries()) {
    checkType(
      typeof value === "boolean" || typeof value === "number",
      `mask[${row}]`,
      "must be a number or a boolean",
      value,
    );
    if (!value) continue;
    indices.push(row);
    counts[Math.floor(row / length)]++;
  }
  return { indices, counts };
}

/** `[batch, length]` of a batch by its lengths, likewise. */
export function lengthsShape(
  { lengths, length, shape, padding }: PackingOptions,
): number[] {
  checkType(shape === undefined, "shape", "must be given with mask", shape);
  checkInteger("length", length, 0, 2 ** 31 - 1);
  checkType(
    padding === undefined || padding === "left" || padding === "right",
    "padding",
    'must be "left" or "right"',
    padding,
  );
  return [indicesOf("lengths", lengths).length, length];
}

/** Rows that lengths keep, with the padding on the left or the right. */
export function keptByLengths(
  given: Indices,
  length: number,
  left: boolean,
): Kept {
  const counts = indicesOf("lengths", given);
  const indices: number[] = [];
  for (const [b, count] of counts.entries()) {
    checkInteger(`lengths[${b}]`, count, 0, length);
    const start = b * length + (left ? length - count : 0);
    for (let i = 0; i < count; i++) indices.push(start + i);
  }
  return { indices, counts };
}
