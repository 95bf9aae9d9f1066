/**
 * What a failed comparison looks like, so that the reader sees at once which
 * element, by how much, and whether its neighbours are wrong too.
 *
 * @module
 */

/** What to show of a failed comparison. */
export interface MismatchTableOptions {
  /** What was computed. */
  actual: ArrayLike<number>;
  /** What it should have been. */
  expected: ArrayLike<number>;
  /** Flat index of the element to show. */
  where: number;
  /** Errors above this are marked; default 0. */
  bound?: number | undefined;
  /** Sizes of the dimensions, to name the element; default one dimension. */
  shape?: readonly number[] | undefined;
  /** Elements shown on either side; default 3. */
  around?: number | undefined;
}

/**
 * A table of actual and expected around one element: one column an element,
 * `xx` under those that are wrong.
 *
 * @example The second of three is wrong
 * ```ts
 * import { mismatchTable } from "./mismatch_table.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   mismatchTable({ actual: [1, 5, 3], expected: [1, 2, 3], where: 1 }),
 *   `
 * element [1] of 3: actual 5, expected 2, error 3, bound 0
 *    index    0  1 2
 *   actual == 1  5 3
 *   failed ->   xx
 * expected == 1  2 3`.slice(1),
 * );
 * ```
 */
export function mismatchTable(options: MismatchTableOptions): string {
  const { actual, expected, where, bound = 0, around = 3 } = options;
  const { shape = [actual.length] } = options;
  const columns: string[][] = [];
  const first = Math.max(0, where - around);
  const end = Math.min(actual.length, where + around + 1);
  for (let n = first; n < end; n++) {
    columns.push([
      String(n),
      digits(actual[n]),
      isWithin(actual[n], expected[n], bound) ? "" : "xx",
      digits(expected[n]),
    ]);
  }
  const heads = ["   index   ", "  actual ==", "  failed ->", "expected =="];
  const widths = columns.map((cells) =>
    Math.max(...cells.map((cell) => cell.length))
  );
  const lines = heads.map((head, line) =>
    [head, ...columns.map((cells, n) => cells[line].padStart(widths[n]))]
      .join(" ").trimEnd()
  );
  const error = digits(Math.abs(actual[where] - expected[where]));
  return [
    `element [${indexOf(where, shape).join(", ")}] of ${shape.join(" x ")}: ` +
    `actual ${digits(actual[where])}, expected ${digits(expected[where])}, ` +
    `error ${error}, bound ${digits(bound)}`,
    ...lines,
  ].join("\n");
}

/** The index in each dimension of a flat index. */
function indexOf(flat: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  for (let n = shape.length - 1; n >= 0; n--) {
    index.unshift(flat % shape[n]);
    flat = Math.floor(flat / shape[n]);
  }
  return index;
}

function isWithin(actual: number, expected: number, bound: number): boolean {
  return actual === expected || Math.abs(actual - expected) <= bound;
}

function digits(x: number): string {
  return String(Number(x.toPrecision(7)));
}
