/**
 * What a gate's selection keeps in the end: of what was selected, blocks that a
 * row may see, and those that it keeps whatever they score. How many were
 * selected before those is counted: 0 is a row that would have been empty.
 *
 * @module
 */

import type { KernelSource } from "../../../src/core/kernel.ts";
import { invocationEntry } from "../../entry.ts";
import { kernelOf } from "../../fragment.ts";
import { gateRows } from "./spans.ts";

/** Invocations of a workgroup, with a row each. */
export const KEEP_LANES = 64;

/** The kernel; an invocation a row. */
export function keepBlocksKernel(): KernelSource {
  return kernelOf({
    label: "selection.gate.keep/u32",
    fragments: [
      gateRows,
      {
        bindings: [
          { name: "blocks", type: "array<u32>", access: "read_write" },
          { name: "counts", type: "array<u32>", access: "read_write" },
        ],
        uniforms: { row_words: "u32" },
        code: `
          // The first so many bits.
          fn low_bits(count: u32) -> u32 {
            return select((1u << (count & 31u)) - 1u, 0xffffffffu, count >= 32u);
          }

          // Of a word those bits whose blocks are before this one.
          fn bits_before(word: u32, block: u32) -> u32 {
            return low_bits(block - min(block, 32u * word));
          }`,
      },
    ],
    main: invocationEntry(KEEP_LANES, KEEP),
  });
}

const KEEP = `
if (index >= params.rows) {
  return;
}
let own = own_gate_row(index);
var count = 0u;
for (var word = 0u; word < params.row_words; word++) {
  let at = index * params.row_words + word;
  let chosen = blocks[at] & bits_before(word, own.seen);
  let forced = bits_before(word, own.forced_end) & ~bits_before(word, own.forced_first);
  count += countOneBits(chosen);
  blocks[at] = chosen | forced;
}
counts[index] = count;
`;
