/** Blocks that no row of a head looks at again go back to the pool. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  attention as oracle,
  compareWithBound,
  errorBound,
  GATES,
  s2Blocks,
  s2Mask,
} from "../../../reference/mod.ts";
import { attention, type Gpu, type GpuTensor, KvCache } from "../../../mod.ts";
import { BlockPool, BlockTable } from "../../../src/cache/mod.ts";
import type { PolicyShape } from "../../../src/ops/mod.ts";
import { s2, type S2Options } from "../../../src/policies/mod.ts";
import { maskFunction } from "../../../src/mods/mod.ts";
import { TILES } from "../../support/attention/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import { normals } from "../../support/gradients.ts";
import { property } from "../../support/property.ts";
import fc from "fast-check";
import { s2Cases, s2MaskOptions } from "./patterns.ts";

function tablesOf(count: number, tokens: number, blockSize: number) {
  const pool = new BlockPool({ numBlocks: 9000, blockSize });
  const tables = Array.from({ length: count }, () => {
    const table = new BlockTable(pool);
    table.reserve(tokens);
    table.commit();
    return table;
  });
  return { pool, tables };
}

property(
  "evict() gives back the blocks that no later row sees, and no others",
  [s2Cases, fc.integer({ min: 1, max: 12 }), fc.nat(60), fc.nat(60)],
  ({ options, heads }, blockSize, tokens, drawn) => {
    const policy = s2(options);
    const { pool, tables } = tablesOf(heads.kvHeads, tokens, blockSize);
    const from = Math.min(drawn, tokens);
    const given = { queryHeads: heads.queryHeads, from };
    if (!policy.kvEfficient) {
      assertThrows(() => policy.evict(tables, given), TypeError, "evict (s2)");
      return;
    }
    const before = pool.usedBlocks;
    const freed = policy.evict(tables, given);
    assertEquals(before - pool.usedBlocks, freed);
    pool.verify();
    const plain = s2MaskOptions(options, heads);
    const { block } = policy;
    tables.forEach((table, kvHead) => {
      // What all rows from there on see, as far as the pattern takes to repeat.
      const seen = new Set<number>();
      const first = Math.floor(from / block);
      const rows = Math.ceil(tokens / block) + plain.stride + plain.left;
      for (let row = first; row <= first + rows; row++) {
        for (const k of s2Blocks(plain, { kvHead, row, blocks: row + 1 })) {
          seen.add(k);
        }
      }
      table.blocks.forEach((id, i) => {
        const inIt = Array.from(
          { length: blockSize },
          (_, n) => Math.floor((i * blockSize + n) / block),
        );
        const whole = (i + 1) * blockSize <= tokens;
        assertEquals(id === 0, whole && !inIt.some((k) => seen.has(k)));
      });
    });
    assertEquals(policy.evict(tables, given), 0);
  },
  { runs: 200 },
);

const OPTIONS: S2Options = { block: 8, localBlocks: 2, stride: 3 };
const HEADS = { queryHeads: 4, kvHeads: 2 };

Deno.test("what a head keeps is its band and one block in a stride", () => {
  const policy = s2({ block: 64, localBlocks: 4, stride: 16 });
  const { pool, tables } = tablesOf(8, 16_384, 16);
  policy.evict(tables, { queryHeads: 8, from: 16_384 });
  for (const table of tables) {
    const kept = table.blocks.filter((id) => id !== 0).length;
    assert(kept <= (4 + 16_384 / 64 / 16) * (64 / 16), `${kept}`);
    assert(kept >= (3 + 16_384 / 64 / 16 - 1) * (64 / 16), `${kept}`);
  }
  pool.verify();
});

Deno.test("the mask over head tables is each head's own", () => {
  const policy = s2({ ...OPTIONS, denseHeads: 1 });
  const heads = { queryHeads: 6, kvHeads: 3 };
  const shape = (batch: number, queryHeads = 2, kvHeads = 1): PolicyShape => ({
    dtype: "f32",
    queryHeads,
    kvHeads,
    headDim: 8,
    valueHeadDim: 8,
    scale: 1,
    sequences: Array(batch).fill({
      queryCount: 1,
      keyCount: 90,
      queryOffset: 89,
    }),
  });
  const over = policy.forHeadTables(heads);
  const sees = maskFunction(over.select(shape(6)).maskMods!);
  const whole = maskFunction(policy.maskMods(heads));
  for (let batch = 0; batch < 6; batch++) {
    for (let k = 0; k < 90; k++) {
      for (const head of [0, 1]) {
        const own = 2 * (batch % 3) + head;
        assertEquals(sees(batch, head, 80, k), whole(0, own, 80, k));
      }
    }
  }
  assertThrows(
    () => over.select(shape(6, 4)),
    TypeError,
    "select (s2): heads must be 2 query heads over 1 kv head, as each table is one kv head's: current value is [4, 1]",
  );
  assertThrows(() => over.select(shape(6, 2, 2)), TypeError, "heads must be");
  assertThrows(
    () => over.select(shape(5)),
    TypeError,
    "select (s2): batch must be a multiple of 3",
  );
  const strict = s2({ ...OPTIONS, requireCoverage: true });
  assertThrows(
    () => strict.forHeadTables({ queryHeads: 2 }).select(shape(2, 1)),
    RangeError,
    "requireCoverage",
  );
  // Rows far behind the keys: the first two heads leave them none, in turn.
  const far = (sequence: number) => {
    const { sequences, ...rest } = shape(3);
    const moved = sequences.map((own, i) => ({
      ...own,
      keyCount: 8,
      queryOffset: i === sequence ? 89 : 7,
    }));
    return over.select({ ...rest, sequences: moved });
  };
  far(0);
  assertThrows(() => far(1), RangeError, "have none of 8 keys in kv head 1");
  far(2);
});

Deno.test("evict() refuses by name, and changes nothing", () => {
  const policy = s2(OPTIONS);
  const { pool, tables } = tablesOf(2, 50, 4);
  const used = pool.usedBlocks;
  const evict = (
    from: unknown,
    given: readonly BlockTable[] = tables,
    queryHeads = 4,
  ) => policy.evict(given, { queryHeads, from: from as number });
  assertThrows(() => evict(51), RangeError, "from must be an integer in 0..50");
  assertThrows(() => evict(-1), RangeError, "from must be");
  assertThrows(() => evict(undefined), TypeError, "from must be");
  assertThrows(() => evict(50, tables, 3), TypeError, "queryHeads must be");
  assertThrows(
    () => evict(50, []),
    TypeError,
    "tables must be a BlockTable for each key/value head",
  );
  assertThrows(
    () => evict(50, [tables[0], {} as BlockTable]),
    TypeError,
    "tables must be",
  );
  // Of one table for two heads, blocks would go that either of them sees.
  assertThrows(
    () => evict(50, [tables[0], tables[0]]),
    TypeError,
    "tables must be",
  );
  assertThrows(
    () => policy.evict(tables, { queryHeads: 4, position: 3 } as never),
    TypeError,
    "position must not be given",
  );
  assertThrows(
    () =>
      s2({ ...OPTIONS, positions: "relative" }).evict(tables, {
        queryHeads: 4,
        from: 50,
      }),
    TypeError,
    "evict (s2): kvEfficient must be true",
  );
  // The second table is looked at before the first one changes.
  tables[1].drop([10]);
  assertThrows(
    () => evict(50),
    RangeError,
    "tables[1] must have all blocks that rows from 50 on see, and was evicted by another pattern or for later rows: it lacks: current value is 10",
  );
  assertEquals(pool.usedBlocks, used - 1);
  tables[1].free();
  assertThrows(() => evict(50), TypeError, "freed");
  assertEquals(pool.usedBlocks, 13);
});

/** Two sequences, of which the second is shorter. */
const PROMPTS = [60, 33];
const STEPS = 25;
const WIDTH = 16;
const BLOCK_SIZE = 4;

/** What rows behind the prompts give, each key/value head with a table. */
async function decode(
  gpu: Gpu,
  { numBlocks, evict }: { readonly numBlocks: number; readonly evict: boolean },
): Promise<Float32Array[]> {
  const sequences = PROMPTS.map(inputs);
  const { queryHeads, kvHeads } = HEADS;
  const policy = s2(OPTIONS);
  const select = policy.forHeadTables(HEADS);
  using cache = await KvCache.create(gpu, {
    numBlocks,
    blockSize: BLOCK_SIZE,
    kvHeads: 1,
    headDim: WIDTH,
  });
  const tables = PROMPTS.map(() =>
    Array.from({ length: kvHeads }, () => cache.createSequence())
  );
  const made: GpuTensor[] = [];
  const upload = (data: number[], shape: readonly number[]) => {
    const tensor = gpu.tensor(Float32Array.from(data), shape);
    made.push(tensor);
    return tensor;
  };
  /** Appends tokens to all sequences, their rows head by head. */
  const append = (spans: readonly (readonly [from: number, end: number])[]) => {
    const rows = (name: "key" | "value") => {
      const out = sequences.flatMap((own, i) => {
        const found: number[] = [];
        for (let h = 0; h < kvHeads; h++) {
          for (let t = spans[i][0]; t < spans[i][1]; t++) {
            const at = (t * kvHeads + h) * WIDTH;
            found.push(...own[name].subarray(at, at + WIDTH));
          }
        }
        return found;
      });
      return upload(out, [out.length / WIDTH, 1, WIDTH]);
    };
    const requests = tables.flatMap((own, i) =>
      own.map((sequence) => ({ sequence, count: spans[i][1] - spans[i][0] }))
    );
    cache.append(requests, { key: rows("key"), value: rows("value") });
    if (!evict) return;
    // Rows of the last token are yet to be computed.
    tables.forEach((own, i) =>
      policy.evict(own, { queryHeads, from: spans[i][1] - 1 })
    );
    poisonFree(gpu, cache);
  };
  append(PROMPTS.map((end) => [0, end] as const));
  const outputs: GpuTensor[] = [];
  for (let step = 0; step < STEPS; step++) {
    append(
      PROMPTS.map((prompt) => [prompt + step, prompt + step + 1] as const),
    );
    const row = queryHeads * WIDTH;
    const queries = sequences.flatMap(({ query }, i) => {
      const at = (PROMPTS[i] + step) * row;
      return [...query.subarray(at, at + row)];
    });
    const { output } = await attention(gpu, {
      query: upload(queries, [
        PROMPTS.length * kvHeads,
        1,
        queryHeads / kvHeads,
        WIDTH,
      ]),
      cache,
      sequences: tables.flat(),
      select,
      tiles: TILES.small!,
    });
    outputs.push(output);
  }
  const rows = await gpu.read(outputs) as Float32Array[];
  for (const tensor of [...made, ...outputs]) tensor.destroy();
  return PROMPTS.map((_, i) => {
    const row = queryHeads * WIDTH;
    return Float32Array.from(
      rows.flatMap((one) => [...one.subarray(i * row, (i + 1) * row)]),
    );
  });
}

/** NaN in the null block and in every block that nobody holds. */
function poisonFree(gpu: Gpu, cache: KvCache): void {
  const [{ buffer }] = cache.arenas();
  const block = BLOCK_SIZE * WIDTH * 4;
  const poison = new Float32Array(BLOCK_SIZE * WIDTH).fill(NaN);
  for (let id = 0; id < cache.numBlocks; id++) {
    if (cache.pool.refCount(id) > 0) continue;
    for (const part of [0, cache.numBlocks]) {
      gpu.device.queue.writeBuffer(buffer, (part + id) * block, poison);
    }
  }
}

/** Rows of all tokens of a sequence, `[tokens, heads, WIDTH]`. */
function inputs(prompt: number) {
  const rows = (heads: number, seed: number) =>
    normals([prompt + STEPS, heads, WIDTH], seed).data as Float32Array;
  const { queryHeads, kvHeads } = HEADS;
  return {
    query: rows(queryHeads, prompt),
    key: rows(kvHeads, prompt + 1),
    value: rows(kvHeads, prompt + 2),
  };
}

gpuTest(
  "decode is the same, bit by bit, when blocks that a head is done with are reused",
  async (_, gpu) => {
    const kept = await decode(gpu, { numBlocks: 96, evict: false });
    // Room for the prompts and one block: all that follows is in freed ones.
    const needed = PROMPTS.map((prompt) => 2 * Math.ceil(prompt / BLOCK_SIZE));
    const numBlocks = needed.reduce((sum, blocks) => sum + blocks) + 2;
    const evicted = await decode(gpu, { numBlocks, evict: true });
    assertEquals(evicted, kept);
    PROMPTS.forEach((prompt, i) => {
      const tokens = prompt + STEPS;
      const problem = {
        ...inputs(prompt),
        batch: 1,
        queryLength: tokens,
        keyLength: tokens,
        ...HEADS,
        headDim: WIDTH,
        valueHeadDim: WIDTH,
        scale: Math.fround(1 / Math.sqrt(WIDTH)),
        mask: s2Mask(s2MaskOptions(OPTIONS, HEADS)),
      };
      const from = prompt * HEADS.queryHeads * WIDTH;
      const { ok, max } = compareWithBound({
        actual: evicted[i],
        expected: oracle(problem).output.subarray(from),
        bound: errorBound(problem, { keys: 8, gate: GATES.wgsl }).output,
      });
      assert(ok, `${max}`);
    });
  },
);
