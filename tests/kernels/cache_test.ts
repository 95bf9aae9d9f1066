import { assertEquals } from "@std/assert";
import { KvCache } from "../../src/cache/mod.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import { type AttentionCase, PLAIN } from "../support/attention_cases.ts";
import { checkCase } from "../support/attention_check.ts";
import { runCases } from "../support/attention_runner.ts";
import { gpuTest } from "../support/gpu.ts";

const CACHED: AttentionCase = {
  ...PLAIN,
  layout: "cache",
  blockSize: 5,
  segments: 2,
  sequences: [[9, 83], [1, 37]],
  kvHeads: 2,
  headDim: 7,
  valueHeadDim: 5,
};

gpuTest("appendKernel() writes each row into its slot", async (_, gpu) => {
  const cases: AttentionCase[] = [CACHED, { ...CACHED, seed: 2, segments: 1 }];
  const results = await runCases(gpu, cases);
  cases.forEach((c, i) => checkCase(c, results[i]));
});

/** All bytes of a cache, as floats, arena after arena. */
async function dump(gpu: Gpu, cache: KvCache): Promise<number[]> {
  const floats = cache.arenas().map((arena) =>
    gpu.wrap(arena.buffer, "f32", [arena.size / 4])
  );
  return (await gpu.read(floats)).flatMap((array) => [...array]);
}

for (const segments of [1, 3]) {
  gpuTest(
    `copyBlocksKernel() copies written rows alone, over ${segments} arenas`,
    async (_, gpu) => {
      const [numBlocks, blockSize, kvHeads, headDim, valueHeadDim] = [
        6,
        4,
        2,
        20,
        16,
      ];
      const perBlock = blockSize * kvHeads * (headDim + valueHeadDim);
      using cache = await KvCache.create(gpu, {
        numBlocks,
        blockSize,
        kvHeads,
        headDim,
        valueHeadDim,
        maxArenaBytes: 4 * perBlock * numBlocks / segments,
      });
      const per = numBlocks / segments;
      const before: number[] = [];
      for (const arena of cache.arenas()) {
        const from = before.length;
        const fill = Float32Array.from(
          { length: per * perBlock },
          (_, n) => from + n,
        );
        gpu.queue.writeBuffer(arena.buffer, 0, fill);
        before.push(...fill);
      }
      const copies = [
        { source: 1, destination: 4, rows: 3 },
        { source: 5, destination: 2, rows: 4 },
        { source: 1, destination: 3, rows: 1 },
      ];
      gpu.submit("copy", (encoder) => cache.encodeCopies(encoder, copies));
      const expected = [...before];
      const start = (block: number, part: "key" | "value") => {
        const arena = Math.floor(block / per) * per * perBlock;
        const local = block % per;
        const keys = per * blockSize * kvHeads * headDim;
        return part === "key"
          ? arena + local * blockSize * kvHeads * headDim
          : arena + keys + local * blockSize * kvHeads * valueHeadDim;
      };
      for (const { source, destination, rows } of copies) {
        const widths = { key: headDim, value: valueHeadDim };
        for (const part of ["key", "value"] as const) {
          for (let n = 0; n < rows * kvHeads * widths[part]; n++) {
            expected[start(destination, part) + n] =
              before[start(source, part) + n];
          }
        }
      }
      assertEquals(await dump(gpu, cache), expected);
    },
  );
}
