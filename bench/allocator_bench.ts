/**
 * The allocator: what a scheduler pays for each step, without a device.
 *
 * @module
 */

import { BlockPool, BlockTable, packTables } from "../src/cache/mod.ts";

const BLOCK_SIZE = 16;
const pool = new BlockPool({ numBlocks: 65_536, blockSize: BLOCK_SIZE });

function tableOf(tokens: number): BlockTable {
  const table = new BlockTable(pool);
  table.reserve(tokens);
  return table;
}

Deno.bench({
  name: "allocate and release 64 blocks at once",
  group: "64 blocks",
  baseline: true,
  fn: () => {
    for (const id of pool.allocate(64)) pool.release(id);
  },
});

Deno.bench({
  name: "allocate and release 64 blocks one by one",
  group: "64 blocks",
  fn: () => {
    for (let i = 0; i < 64; i++) {
      for (const id of pool.allocate(1)) pool.release(id);
    }
  },
});

Deno.bench({
  name: "reserve 4096 tokens at once, free",
  group: "reserve",
  baseline: true,
  fn: () => tableOf(4096).free(),
});

Deno.bench({
  name: "reserve 4096 tokens one by one, free",
  group: "reserve",
  fn: () => {
    const table = new BlockTable(pool);
    for (let i = 0; i < 4096; i++) table.reserve(1);
    table.free();
  },
});

const prefix = tableOf(4096 - BLOCK_SIZE / 2);

Deno.bench({
  name: "fork 4088 tokens, free",
  group: "fork",
  baseline: true,
  fn: () => prefix.fork().free(),
});

Deno.bench({
  name: "fork 4088 tokens, reserve 1 (copy on write), free",
  group: "fork",
  fn: () => {
    const fork = prefix.fork();
    fork.reserve(1);
    fork.free();
  },
});

const batch = Array.from({ length: 256 }, (_, i) => tableOf(1 + 16 * i));

Deno.bench({
  name: "pack the tables of 256 sequences of 1 to 4081 tokens",
  group: "tables",
  fn: () => {
    packTables(batch);
  },
});
