/**
 * One-line faults in the block pool, the block table and what is beside them.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";

/** A fault, before it is known where. */
export type Fault = Pick<Mutant, "name" | "find" | "replace">;

/** Faults of one file, with the tests that must notice each of them. */
export function faultsIn(
  file: string,
  tests: readonly string[],
  faults: readonly Fault[],
): Mutant[] {
  return faults.map((fault) => ({
    ...fault,
    file: `src/cache/${file}`,
    tests,
  }));
}

/** Stateful properties and no examples: what random use alone must find. */
const MODELS = [
  "tests/cache/manager/cache_model_test.ts",
  "tests/cache/block/pool_model_test.ts",
];

const LIST = ["tests/cache/block/free_list_test.ts", ...MODELS];

const FREE_LIST: readonly Fault[] = [
  {
    name: "the most recently freed block is handed out first",
    find: "const front = this.#next[0];",
    replace: "const front = this.#previous[0];",
  },
  {
    name: "the null block is handed out",
    find: "if (front === 0) return undefined;",
    replace: "if (front <= 1) return 0;",
  },
  {
    name: "the back link of a pushed id is not set",
    find: "this.#previous[id] = back;",
    replace: "",
  },
  {
    name: "the ring's back does not move on a push",
    find: "this.#previous[0] = id;",
    replace: "",
  },
  {
    name: "the link over a removed id is one-way",
    find: "this.#previous[after] = before;",
    replace: "",
  },
  {
    name: "a removed id stays marked as free",
    find: "this.#next[id] = ABSENT;",
    replace: "",
  },
  {
    name: "the length does not shrink",
    find: "this.#length--;",
    replace: "",
  },
  {
    name: "an id that is on the list is pushed again",
    find: 'checkRange(!this.has(id), "id", "must not be on the list", id);',
    replace: "",
  },
];

const BLOCK_POOL: readonly Fault[] = [
  {
    name: "the pool is one block short",
    find: "this.#free = new FreeList(numBlocks - 1);",
    replace: "this.#free = new FreeList(numBlocks - 2);",
  },
  {
    name: "a block is handed out twice",
    find: "ids.push(id);",
    replace: "ids.push(ids[0] ?? id);",
  },
  {
    name: "blocks are taken before the request is refused",
    find: 'checkInteger("count", count, 0);',
    replace:
      'checkInteger("count", count, 0); if (count > this.#free.length) this.#free.popFront();',
  },
  {
    name: "a fresh block has no holder",
    find: "this.#references[id] = 1;",
    replace: "this.#references[id] = 0;",
  },
  {
    name: "used blocks are not counted",
    find: "this.#usedBlocks += count;",
    replace: "this.#usedBlocks += 1;",
  },
  {
    name: "the peak follows the present use down",
    find: "Math.max(this.#peakUsedBlocks, this.#usedBlocks)",
    replace: "this.#usedBlocks",
  },
  {
    name: "retain does not raise the count",
    find: "this.#references[id]++;",
    replace: "",
  },
  {
    name: "a release frees a block that is still held",
    find: "if (--this.#references[id] > 0) return;",
    replace: "if (--this.#references[id] > 1) return;",
  },
  {
    name: "a released block is lost",
    find: "this.#free.pushBack(id);",
    replace: "",
  },
  {
    name: "a release takes no holder off",
    find: "if (--this.#references[id] > 0) return;",
    replace: "if (this.#references[id] > 1) return;",
  },
  {
    name: "the null block can be released",
    find: 'checkInteger("id", id, 1, this.totalBlocks);',
    replace:
      'if (id === 0) return; checkInteger("id", id, 1, this.totalBlocks);',
  },
  {
    name: "a double free is not noticed",
    find: "this.#references[id] > 0,",
    replace: "this.#references[id] >= 0,",
  },
];

const POOL_ROOM: readonly Fault[] = [
  {
    name: "the last free block cannot be had",
    find: "if (count > free + evictable) {",
    replace: "if (count >= free + evictable) {",
  },
  {
    name: "one block more than is free is handed out",
    find: "if (count > free + evictable) {",
    replace: "if (count > free + evictable + 1) {",
  },
];

const BLOCK_TABLE: readonly Fault[] = [
  {
    name: "the copy is skipped",
    find: "copyNeeded ? [this.#replaceLast(fresh.shift()!)] : [];",
    replace: "[]; if (copyNeeded) this.#replaceLast(fresh.shift()!);",
  },
  {
    name: "a shared block is written without a copy",
    find: "return this.#pool.refCount(id) > 1 ||",
    replace: "return this.#pool.refCount(id) > 2 ||",
  },
  {
    name: "a block that is not shared is copied",
    find: "return this.#pool.refCount(id) > 1 ||",
    replace: "return this.#pool.refCount(id) > 0 ||",
  },
  {
    name: "a full shared block is copied",
    find:
      "if (count === 0 || this.#length % this.#pool.blockSize === 0) return false;",
    replace: "if (count === 0 || this.#length === 0) return false;",
  },
  {
    name: "appending nothing copies",
    find: "if (count === 0 || this.#length %",
    replace: "if (this.#length %",
  },
  {
    name: "the copy lacks its last row",
    find: "rows: this.#length % this.#pool.blockSize };",
    replace: "rows: this.#length % this.#pool.blockSize - 1 };",
  },
  {
    name: "the copy goes the other way",
    find: "return { source, destination, rows:",
    replace: "return { source: destination, destination: source, rows:",
  },
  {
    name: "the copy's block is not asked for",
    find: "this.#blocksFor(count) + (this.#mustCopy(count) ? 1 : 0);",
    replace: "Math.max(this.#blocksFor(count), this.#mustCopy(count) ? 1 : 0);",
  },
  {
    name: "the shared block stays held after the copy",
    find: "this.#pool.release(source);",
    replace: "",
  },
  {
    name: "the copied block is not put into the table",
    find: "this.#blocks[this.#last] = destination;",
    replace: "",
  },
  {
    name: "a failed append has counted its tokens",
    find: "const needed = this.blocksNeeded(count);",
    replace: "const needed = this.blocksNeeded(count); this.#length += count;",
  },
  {
    name: "a failed append leaks the copy's block",
    find: "const fresh = this.#take(needed, options.blocks);",
    replace:
      "const fresh = [...this.#pool.allocate(copyNeeded ? 1 : 0), ...this.#pool.allocate(needed - (copyNeeded ? 1 : 0))];",
  },
  {
    name: "a block too many at each block boundary",
    find: "Math.max(0, Math.ceil(overflow / this.#pool.blockSize));",
    replace: "Math.max(0, Math.floor(overflow / this.#pool.blockSize) + 1);",
  },
  {
    name: "slots are one too far",
    find: "return block * blockSize + position % blockSize;",
    replace: "return block * blockSize + (position + 1) % blockSize;",
  },
  {
    name: "slots repeat the first new one",
    find: "slots[i] = this.#slot(first + i);",
    replace: "slots[i] = this.#slot(first);",
  },
  {
    name: "slots are read from the wrong block",
    find: "this.#blocks[Math.floor(position / blockSize)];",
    replace: "this.#blocks[Math.floor((position + 1) / blockSize)] ?? 0;",
  },
  {
    name: "the count is not raised on fork",
    find: "for (const id of fork.#held()) this.#pool.retain(id);",
    replace: "",
  },
  {
    name: "a fork's table is not its own",
    find: "fork.#blocks = this.#blocks.slice(0, written);",
    replace: "fork.#blocks = this.#blocks;",
  },
  {
    name: "a fork forgets its length",
    find: "fork.#length = this.#length;",
    replace: "fork.#length = fork.capacity;",
  },
  {
    name: "truncate keeps a block",
    find: "const kept = Math.ceil(length / this.#pool.blockSize);",
    replace: "const kept = Math.ceil((length + 1) / this.#pool.blockSize);",
  },
  {
    name: "truncate frees a block that is still partly used",
    find: "const kept = Math.ceil(length / this.#pool.blockSize);",
    replace: "const kept = Math.floor(length / this.#pool.blockSize);",
  },
  {
    name: "truncate frees a block that others share",
    find: "this.#pool.release(this.#blocks.pop()!);",
    replace:
      "const id = this.#blocks.pop()!; while (this.#pool.refCount(id) > 0) this.#pool.release(id);",
  },
  {
    name: "truncate may lengthen",
    find: 'checkInteger("length", length, this.dropped, this.#length);',
    replace: 'checkInteger("length", length, this.dropped, this.capacity);',
  },
  {
    name: "the first block is given back first",
    find: "this.#pool.release(this.#blocks.pop()!);",
    replace: "this.#pool.release(this.#blocks.splice(kept, 1)[0]);",
  },
  {
    name: "a freed table still holds its first block",
    find: "this.#releaseFrom(0);",
    replace: "this.#releaseFrom(1);",
  },
  {
    name: "a freed table can be used",
    find: "this.#length = 0;\n    this.#freed = true;",
    replace: "this.#length = 0;",
  },
  {
    name: "the slot past the last token can be read",
    find: "this.#length - 1);",
    replace: "this.#length);",
  },
];

const TABLES: readonly Fault[] = [
  {
    name: "padding is not the null block",
    find: ".fill(NULL_BLOCK)",
    replace: ".fill(1)",
  },
  {
    name: "rows are packed without their padding",
    find: "i * maxBlocks)",
    replace: "i * row.length)",
  },
  {
    name: "lengths are rounded up to blocks",
    find: "(table) => table.length)",
    replace: "(table) => table.capacity)",
  },
  {
    name: "tables of another pool are taken",
    find: "table.pool === tables[0].pool,",
    replace: "true,",
  },
];

/** Each makes `verify()` blind to one invariant. */
const INVARIANTS: readonly Fault[] = [
  {
    name: "verify() does not look at the null block",
    find: "references[0] === 0,",
    replace: "true,",
  },
  {
    name: "verify() does not compare the links' directions",
    find: "previous[following] === id,",
    replace: "true,",
  },
  {
    name: "verify() does not count the free list",
    find: "visited === length,",
    replace: "true,",
  },
  {
    name: "verify() does not look for free blocks off the list",
    find: "present === visited,",
    replace: "true,",
  },
  {
    name: "verify() does not compare holders with the free list",
    find: "free === (references[id] === 0),",
    replace: "true,",
  },
  {
    name: "verify() does not add up free and used",
    find: "usedBlocks === held && links.length + usedBlocks === total,",
    replace: "true,",
  },
];

const STATS: readonly Fault[] = [
  {
    name: "paged memory is counted in tokens, not in blocks",
    find: "Math.ceil(n / blockSize) * blockSize)",
    replace: "n)",
  },
  {
    name: "the power of two exceeds the longest length",
    find: "Math.min(nextPowerOfTwo(n), maxLength)",
    replace: "nextPowerOfTwo(n)",
  },
  {
    name: "every block counts as shared",
    find: "count > 1 ? 1 : 0;",
    replace: "count > 0 ? 1 : 0;",
  },
];

/** Every allocator mutant, with the tests that must kill it. */
export const ALLOCATOR_MUTANTS: readonly Mutant[] = [
  ...faultsIn("free_list.ts", LIST, FREE_LIST),
  ...faultsIn("block_pool.ts", MODELS, BLOCK_POOL),
  ...faultsIn("pool_room.ts", MODELS, POOL_ROOM),
  ...faultsIn("block_table.ts", MODELS, BLOCK_TABLE),
  ...faultsIn("tables.ts", ["tests/cache/block/tables_test.ts"], TABLES),
  ...faultsIn(
    "invariants.ts",
    ["tests/cache/block/pool_invariants_test.ts"],
    INVARIANTS,
  ),
  ...faultsIn("stats.ts", ["tests/cache/block/stats_test.ts"], STATS),
];
