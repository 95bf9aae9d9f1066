/**
 * From a bit of each member to the list of those that are set, in their order:
 * a prefix sum over how many each word has, so no atomics, and the same list
 * every time. A workgroup has 64 words of a row, and counts those before itself.
 *
 * ```text
 * bits [rows, words]   list [rows, members]   counts [rows]   taken [rows, words]
 * ```
 *
 * Of the list the first `counts` are written as `token * member_stride + row *
 * row_stride`, which may be the place of a key: the token is the member or, where
 * tokens are in blocks, what a block table makes of it. Those after them are that
 * of member 0, so that whoever reads too far reads what is there. `taken` says of
 * each place of the list whether it is one of the first.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { groupEntry } from "../entry.ts";
import { kernelOf } from "../fragment.ts";
import { BLOCKS_A_WORD } from "../fragments/selection.ts";
import { wgsl } from "../wgsl.ts";

/**
 * What the kernel's source depends on.
 *
 * @category Kernels
 */
export interface CompactSpec {
  /** Whether members are tokens that a block table finds. */
  readonly paged: boolean;
}

/** Invocations of a workgroup, a word each. */
export const COMPACT_LANES = 64;

/** Iterations that an invocation's loops take for rows of so many words. */
export function compactLoops(words: number): number {
  return Math.ceil(words / COMPACT_LANES) + 1 + Math.log2(COMPACT_LANES) + 1 +
    2 * (BLOCKS_A_WORD + 1);
}

/**
 * The kernel; grid: 64 words a workgroup of each row, folded.
 *
 * @example What it binds
 * ```ts
 * import { compactKernel } from "@quire/attention/kernels";
 *
 * const { bindings } = compactKernel({ paged: false });
 * console.log(bindings.map(({ name }) => name));
 * // bits list counts taken params
 * ```
 *
 * @category Kernels
 */
export function compactKernel({ paged }: CompactSpec): KernelSource {
  const scope = {
    paged,
    lanes: COMPACT_LANES,
    last: COMPACT_LANES - 1,
    each: BLOCKS_A_WORD,
  };
  return kernelOf({
    label: `selection.compact/u32${paged ? ".paged" : ""}`,
    fragments: [{
      bindings: [
        { name: "bits", type: "array<u32>", access: "read" },
        ...(paged
          ? [
            {
              name: "block_table",
              type: "array<u32>",
              access: "read",
            } as const,
          ]
          : []),
        { name: "list", type: "array<u32>", access: "read_write" },
        { name: "counts", type: "array<u32>", access: "read_write" },
        { name: "taken", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {
        rows: "u32",
        row_words: "u32",
        row_chunks: "u32",
        members: "u32",
        member_stride: "u32",
        row_stride: "u32",
        ...(paged && { block_size: "u32" }),
      },
      code: wgsl(DECLARATIONS, scope),
    }],
    main: groupEntry(COMPACT_LANES, wgsl(COMPACT, scope)),
  });
}

const DECLARATIONS = `
// Up to each lane: members of its row, of chunks before, and of this chunk.
var<workgroup> found: array<vec3u, $lanes>;

fn sum_lanes(own: vec3u, lane: u32) {
  found[lane] = own;
  workgroupBarrier();
  for (var distance = 1u; distance < $lanes; distance *= 2u) {
    var sum = found[lane];
    if (lane >= distance) {
      sum += found[lane - distance];
    }
    workgroupBarrier();
    found[lane] = sum;
    workgroupBarrier();
  }
}

fn entry_of(member: u32, row: u32) -> u32 {
  @if paged
  let block = member / params.block_size;
  let token = block_table[block] * params.block_size + member - block * params.block_size;
  @else
  let token = member;
  @end
  return token * params.member_stride + row * params.row_stride;
}
`;

const COMPACT = `
let row = group / params.row_chunks;
if (row >= params.rows) {
  return;
}
let own_word = (group - row * params.row_chunks) * $lanes + lane;
let first_own = own_word - lane;
var own = vec3u(0u);
for (var word = lane; word < params.row_words; word += $lanes) {
  let count = countOneBits(bits[row * params.row_words + word]);
  own.x += count;
  own.y += select(0u, count, word < first_own);
  own.z += select(0u, count, word == own_word);
}
sum_lanes(own, lane);
let all = found[$last].x;
if (own_word >= params.row_words) {
  return;
}
let list_at = row * params.members;
var at = found[$last].y + found[lane].z - own.z;
var open = bits[row * params.row_words + own_word];
while (open != 0u) {
  list[list_at + at] = entry_of(own_word * $each + firstTrailingBit(open), row);
  at++;
  open &= open - 1u;
}
// The same places of the list, as far as it does not reach them.
let first = own_word * $each;
let end = min(first + $each, params.members);
for (var place = max(first, all); place < end; place++) {
  list[list_at + place] = entry_of(0u, row);
}
let here = min(max(all, first) - first, $each);
taken[row * params.row_words + own_word] = select((1u << (here & 31u)) - 1u, 0xffffffffu, here == $each);
if (own_word == 0u) {
  counts[row] = all;
}
`;
