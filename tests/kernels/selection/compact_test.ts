/** Lists of the members that have a bit, against brute force. */

import { assertEquals } from "@std/assert";
import { compactKernel } from "../../../kernels/mod.ts";
import {
  COMPACT_LANES,
  compactLoops,
} from "../../../kernels/selection/compact.ts";
import { bitWords } from "../../../kernels/fragments/selection.ts";
import { Prng } from "../../../src/core/prng.ts";
import { Program } from "../../../src/gpu/mod.ts";
import { foldGrid } from "../../../src/gpu/program/dispatch.ts";
import { gpuTest } from "../../support/gpu.ts";

interface Case {
  readonly rows: number;
  readonly members: number;
  readonly density: number;
}

/** One of a workgroup's 2048 members more and fewer, none set, and all. */
const CASES: readonly Case[] = [
  { rows: 1, members: 1, density: 1 },
  { rows: 3, members: 31, density: 0.5 },
  { rows: 2, members: 32, density: 1 },
  { rows: 2, members: 33, density: 0 },
  { rows: 2, members: 2047, density: 0.3 },
  { rows: 3, members: 2048, density: 0.97 },
  { rows: 2, members: 2049, density: 1 },
  { rows: 2, members: 6000, density: 0.01 },
  { rows: 5, members: 9001, density: 0.5 },
];

gpuTest(
  "compactKernel() lists members in order, then the first one's place",
  async (_, gpu) => {
    const random = new Prng(3);
    const owned: { destroy(): void }[] = [];
    const keep = <T extends { destroy(): void }>(one: T): T => {
      owned.push(one);
      return one;
    };
    try {
      const runs = await Promise.all(
        CASES.map(async ({ rows, members, density }) => {
          const words = bitWords(members);
          const set = Array.from(
            { length: rows },
            () =>
              Array.from({ length: members }, () => random.uniform() < density),
          );
          const bits = new Uint32Array(rows * words);
          set.forEach((row, r) =>
            row.forEach((one, i) => {
              if (one) {
                bits[r * words + (i >> 5)] |= 1 << (i & 31);
              }
            })
          );
          const rowChunks = Math.ceil(words / COMPACT_LANES);
          const program = keep(
            await Program.create(gpu, "compact", {
              dispatches: [{
                source: compactKernel({ paged: false }),
                uniforms: {
                  rows,
                  row_words: words,
                  row_chunks: rowChunks,
                  members,
                  member_stride: 7,
                  row_stride: 2,
                },
                grid: foldGrid(rows * rowChunks, gpu.limits),
              }],
            }),
          );
          const unwritten = (length: number) =>
            keep(
              gpu.tensor(new Uint32Array(length).fill(0xdeadbeef), [length]),
            );
          const tensors = {
            bits: keep(gpu.tensor(bits, [bits.length])),
            list: unwritten(rows * members),
            counts: unwritten(rows),
            taken: unwritten(rows * words),
          };
          return { set, members, words, program, tensors };
        }),
      );
      gpu.submit("compact", (encoder) => {
        for (const { program, tensors } of runs) {
          program.encode(encoder, tensors);
        }
      });
      const arrays = await gpu.read(
        runs.flatMap((
          { tensors: { list, counts, taken } },
        ) => [list, counts, taken]),
      );
      for (const { set, members, words } of runs) {
        const [list, counts, taken] = arrays.splice(0, 3) as Uint32Array[];
        set.forEach((row, r) => {
          const kept = [...row.keys()].filter((i) => row[i]);
          assertEquals(counts[r], kept.length);
          const places = kept.map((member) => 7 * member + 2 * r);
          const own = list.subarray(r * members, (r + 1) * members);
          assertEquals([...own.subarray(0, kept.length)], places);
          assertEquals(
            [...new Set(own.subarray(kept.length))].filter((x) => x !== 2 * r),
            [],
          );
          const bits = Array.from(
            { length: 32 * words },
            (_, i) => (taken[r * words + (i >> 5)] >>> (i & 31)) & 1,
          );
          assertEquals(bits.lastIndexOf(1), kept.length - 1);
          assertEquals(bits.filter((bit) => bit === 1).length, kept.length);
        });
      }
    } finally {
      for (const one of owned) one.destroy();
    }
  },
);

Deno.test("compactLoops() grows by a turn for each 64 words", () => {
  assertEquals(compactLoops(64), compactLoops(1));
  assertEquals(compactLoops(65), compactLoops(1) + 1);
});
