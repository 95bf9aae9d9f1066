/**
 * Rows that lie apart: how, what lies between them, and where each one is.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";
import type { HostTensor, StridedHostTensor } from "../../src/ops/mod.ts";

/** Element types of rows. */
export type Elements = "f32" | "f16";
/** What lies between rows: a kernel that reads it is seen. */
export const POISON = 777;

/** Normal numbers of a shape. */
export function noise(shape: readonly number[], seed: number, type: Elements) {
  const prng = new Prng(seed);
  const length = shape.reduce((product, n) => product * n, 1);
  const data = type === "f16"
    ? new Float16Array(length)
    : new Float32Array(length);
  for (let i = 0; i < length; i++) data[i] = prng.normal();
  return { data, shape };
}

/** Where each row of a shape begins, by its index. */
export function eachRow(
  shape: readonly number[],
  visit: (index: readonly number[], row: number) => void,
): void {
  const rows = shape.slice(0, -1);
  const count = rows.reduce((product, n) => product * n, 1);
  for (let row = 0; row < count; row++) {
    const index: number[] = [];
    let rest = row;
    for (const size of rows.toReversed()) {
      index.unshift(rest % size);
      rest = Math.floor(rest / size);
    }
    visit(index, row);
  }
}

/** The element at which a row begins. */
export const at = (
  index: readonly number[],
  { strides, offset }: { strides: readonly number[]; offset: number },
) => index.reduce((sum, i, axis) => sum + i * strides[axis], offset);

/** Rows laid apart, with poison between them; expanded ones once. */
export function laidApart(
  { data, shape }: HostTensor,
  strides: readonly number[],
  offset: number,
): StridedHostTensor {
  const width = shape.at(-1)!;
  let end = offset;
  eachRow(shape, (index) => {
    end = Math.max(end, at(index, { strides, offset }) + width);
  });
  const out =
    (data instanceof Float32Array
      ? new Float32Array(end + 3)
      : new Float16Array(end + 3)).fill(POISON);
  eachRow(shape, (index, row) => {
    const from = data.subarray(row * width, (row + 1) * width);
    out.set(from as never, at(index, { strides, offset }));
  });
  return { data: out, shape, strides, offset };
}

/** How rows of `[b, s, h, d]` may lie: their strides, and the first element. */
export const VIEWS: Readonly<
  Record<
    string,
    (b: number, s: number, h: number, d: number) => readonly [number[], number]
  >
> = {
  "a slice of a fused projection": (_, s, h, d) => [
    [3 * s * h * d, 3 * h * d, d],
    h * d,
  ],
  "a slice of what has room for more": (_, s, h, d) => [
    [(s + 5) * h * d, h * d, d],
    0,
  ],
  "sequence before batch": (b, _, h, d) => [[h * d, b * h * d, d], 0],
  "heads before tokens, rows padded": (_, s, h, d) => [
    [h * (s + 1) * (d + 4), d + 4, (s + 1) * (d + 4)],
    8,
  ],
  "at an odd place, with odd steps": (_, s, h, d) => [
    [s * (h * (d + 1) + 3), h * (d + 1) + 3, d + 1],
    5,
  ],
  "with heads at odd places": (_, s, h, d) => {
    const token = 4 * Math.ceil(h * (d + 1) / 4);
    return [[s * token, token, d + 1], 4];
  },
  "with a size of 1 that has any stride": (b, s, h, d) => [
    [b === 1 ? 9 : s * h * d, s === 1 ? 3 : h * d, h === 1 ? 999 : d],
    0,
  ],
};
