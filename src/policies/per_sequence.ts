/**
 * A number of each sequence's own in a policy's mods.
 *
 * @module
 */

import { capture, type Int, int } from "../mods/mod.ts";

/**
 * A number for each sequence of a batch, by its index: a literal where all have
 * the same, so that kernels load nothing.
 *
 * @param name What errors and explanations call the numbers.
 */
export function perSequence(
  name: string,
  numbers: readonly number[],
): (batch: Int) => Int {
  const [first = 0] = numbers;
  if (numbers.every((number) => number === first)) return () => int(first);
  const each = capture(Int32Array.from(numbers), { name, axes: ["batch"] });
  return (batch) => each.at(batch);
}
