/**
 * One-line faults in the block pool, the block table and what is beside them.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const FREE_LIST = [
  "cache/block/free_list",
  "cache/manager/cache_model",
  "cache/block/pool_model",
];
const SERVICE = ["cache/manager/service_model"];
const MODELS = ["cache/manager/cache_model", "cache/block/pool_model"];
const INDEX = ["cache/prefix/prefix_index"];
const MANAGER = ["cache/manager/cache_manager"];
const SERVICE_AND_MANAGER = [
  "cache/manager/service_model",
  "cache/manager/cache_manager",
];
const TABLE = ["cache/block/block_table"];
const RESERVE_ALL = ["cache/block/reserve_all"];
const DROP = ["cache/block/drop"];
const TABLES = ["cache/block/tables"];
const INVARIANTS = ["cache/block/pool_invariants"];
const STATS = ["cache/block/stats"];

/** Every fault listed for it. */
export const BLOCK_FAULTS: readonly SourceFault[] = [
  ...faultsIn("FreeList", FREE_LIST, [
    [
      "the most recently freed block is handed out first",
      "const front = this.#next[0]",
      "const front = this.#previous[0]",
    ],
    [
      "the null block is handed out",
      "if (front === 0) return undefined",
      "if (front <= 1) return 0",
    ],
    [
      "the back link of a pushed id is not set",
      "this.#previous[id] = back;",
      "",
    ],
    ["the ring's back does not move on a push", "this.#previous[0] = id;", ""],
    [
      "the link over a removed id is one-way",
      "this.#previous[after] = before;",
      "",
    ],
    ["a removed id stays marked as free", "this.#next[id] = ABSENT;", ""],
    ["the length does not shrink", "this.#length--;", ""],
    [
      "an id that is on the list is pushed again",
      'checkRange(!this.has(id), "id", "must not be on the list", id);',
      "",
    ],
  ]),
  ...faultsIn("FreeList", SERVICE, [
    [
      "the back link of an id pushed to the front is not set",
      "this.#previous[id] = 0;",
      "",
    ],
    ["the ring's front does not move on a push", "this.#next[0] = id;", ""],
  ]),
  ...faultsIn("BlockPool", MODELS, [
    [
      "the pool is one block short",
      "this.#free = new FreeList(numBlocks - 1)",
      "this.#free = new FreeList(numBlocks - 2)",
    ],
    ["a block is handed out twice", "ids.push(id)", "ids.push(ids[0] ?? id)"],
    [
      "blocks are taken before the request is refused",
      'checkInteger("count", count, 0)',
      'checkInteger("count", count, 0); if (count > this.#free.length) this.#free.popFront()',
    ],
    [
      "a fresh block has no holder",
      "this.#references[id] = 1",
      "this.#references[id] = 0",
    ],
    [
      "used blocks are not counted",
      "this.#usedBlocks += count",
      "this.#usedBlocks += 1",
    ],
    [
      "the peak follows the present use down",
      "Math.max(this.#peakUsedBlocks, this.#usedBlocks)",
      "this.#usedBlocks",
    ],
    ["retain does not raise the count", "this.#references[id]++;", ""],
    [
      "a release frees a block that is still held",
      "if (--this.#references[id] > 0) return",
      "if (--this.#references[id] > 1) return",
    ],
    ["a released block is lost", "this.#free.pushBack(id);", ""],
    [
      "a release takes no holder off",
      "if (--this.#references[id] > 0) return",
      "if (this.#references[id] > 1) return",
    ],
    [
      "the null block can be released",
      'checkInteger("id", id, 1, this.totalBlocks)',
      'if (id === 0) return; checkInteger("id", id, 1, this.totalBlocks)',
    ],
    [
      "a double free is not noticed",
      "this.#references[id] > 0,",
      "this.#references[id] >= 0,",
    ],
  ]),
  ...faultsIn("BlockPool", SERVICE, [
    ["a block that is handed out again stays cached", "this.#evict(id);", ""],
    ["the index is not told of an eviction", "this.#onEvict!(id);", ""],
    [
      "a reused block still counts as evictable",
      "this.#evictableBlocks -= this.#cached[id];",
      "",
    ],
    [
      "a freed cached block does not count as evictable",
      "this.#evictableBlocks += this.#cached[id];",
      "",
    ],
    [
      "cached blocks are evicted while others are free",
      "if (this.#onEvict !== undefined && this.#cached[id] === 0) {",
      "if (false) {",
    ],
    [
      "a double that was freed stays cached",
      "this.#cached[id] === 1 && !this.#onFree(id)",
      "false",
    ],
  ]),
  ...faultsIn("BlockPool.#evict", SERVICE, [
    [
      "an evicted block still counts as evictable",
      "this.#evictableBlocks--;",
      "",
    ],
  ]),
  ...faultsIn("BlockPool.#hold", SERVICE, [
    [
      "a reused block stays on the free list",
      "this.#free.remove(id);",
      "",
    ],
  ]),
  ...faultsIn("BlockPool.#unmark", SERVICE, [
    [
      "an unmarked free block is evicted last",
      "this.#free.remove(id); this.#free.pushFront(id);",
      "",
    ],
  ]),
  ...faultsIn("checkRoom", MODELS, [
    [
      "the last free block cannot be had",
      "if (count > free + evictable) {",
      "if (count >= free + evictable) {",
    ],
    [
      "one block more than is free is handed out",
      "if (count > free + evictable) {",
      "if (count > free + evictable + 1) {",
    ],
  ]),
  ...faultsIn("checkRoom", INDEX, [
    ["blocks to be reused count as room", "move(id, -1)", "move(id, 0)"],
    ["holds are given back twice", "holds <= references[id]", "true"],
    [
      "free and evictable blocks are confused",
      "if (cached[id] === 1) evictable += blocks",
      "if (cached[id] === 0) evictable += blocks",
    ],
  ]),
  ...faultsIn("checkRoom", MANAGER, [
    [
      "released blocks do not count as room",
      "if (holds === references[id]) move(id, 1);",
      "",
    ],
  ]),
  ...faultsIn("BlockTable", MODELS, [
    [
      "the copy is skipped",
      "copyNeeded ? [this.#replaceLast(fresh.shift()!)] : []",
      "[]; if (copyNeeded) this.#replaceLast(fresh.shift()!)",
    ],
    [
      "a shared block is written without a copy",
      "return this.#pool.refCount(id) > 1 ||",
      "return this.#pool.refCount(id) > 2 ||",
    ],
    [
      "a block that is not shared is copied",
      "return this.#pool.refCount(id) > 1 ||",
      "return this.#pool.refCount(id) > 0 ||",
    ],
    [
      "a full shared block is copied",
      "if (count === 0 || this.#length % this.#pool.blockSize === 0) return false",
      "if (count === 0 || this.#length === 0) return false",
    ],
    [
      "reserving nothing copies",
      "if (count === 0 || this.#length %",
      "if (this.#length %",
    ],
    [
      "the copy lacks its last row",
      "rows: this.#length % this.#pool.blockSize }",
      "rows: this.#length % this.#pool.blockSize - 1 }",
    ],
    [
      "the copy goes the other way",
      "return { source, destination, rows:",
      "return { source: destination, destination: source, rows:",
    ],
    [
      "the copy's block is not asked for",
      "this.#blocksFor(count) + (this.#mustCopy(count) ? 1 : 0)",
      "Math.max(this.#blocksFor(count), this.#mustCopy(count) ? 1 : 0)",
    ],
    [
      "the shared block stays held after the copy",
      "this.#pool.release(source);",
      "",
    ],
    [
      "the copied block is not put into the table",
      "this.#blocks[this.#last] = destination;",
      "",
    ],
    [
      "a failed reservation has counted its tokens",
      "const needed = this.blocksNeeded(count)",
      "const needed = this.blocksNeeded(count); this.#length += count",
    ],
    [
      "a failed reservation leaks the copy's block",
      "const fresh = this.#take(needed, options.blocks)",
      "const fresh = [...this.#pool.allocate(copyNeeded ? 1 : 0), ...this.#pool.allocate(needed - (copyNeeded ? 1 : 0))]",
    ],
    [
      "a block too many at each block boundary",
      "Math.max(0, Math.ceil(overflow / this.#pool.blockSize))",
      "Math.max(0, Math.floor(overflow / this.#pool.blockSize) + 1)",
    ],
    [
      "slots are one too far",
      "return block * blockSize + position % blockSize",
      "return block * blockSize + (position + 1) % blockSize",
    ],
    [
      "slots repeat the first new one",
      "slots[i] = this.#slot(first + i)",
      "slots[i] = this.#slot(first)",
    ],
    [
      "slots are read from the wrong block",
      "this.#blocks[Math.floor(position / blockSize)]",
      "this.#blocks[Math.floor((position + 1) / blockSize)] ?? 0",
    ],
    [
      "the count is not raised on fork",
      "for (const id of fork.#held()) this.#pool.retain(id);",
      "",
    ],
    [
      "a fork's table is not its own",
      "fork.#blocks = this.#blocks.slice(0, begun)",
      "fork.#blocks = this.#blocks",
    ],
    [
      "a fork forgets its length",
      "fork.#length = this.#length",
      "fork.#length = fork.capacity",
    ],
    [
      "truncate keeps a block",
      "const kept = Math.ceil(length / this.#pool.blockSize)",
      "const kept = Math.ceil((length + 1) / this.#pool.blockSize)",
    ],
    [
      "truncate frees a block that is still partly used",
      "const kept = Math.ceil(length / this.#pool.blockSize)",
      "const kept = Math.floor(length / this.#pool.blockSize)",
    ],
    [
      "truncate frees a block that others share",
      "if (id !== NULL_BLOCK) this.#pool.release(id);",
      "while (this.#pool.refCount(id) > 0) this.#pool.release(id);",
    ],
    [
      "truncate may lengthen",
      'checkInteger("length", length, this.dropped, this.#length)',
      'checkInteger("length", length, this.dropped, this.capacity)',
    ],
    [
      "the first block is given back first",
      "const id = this.#blocks.pop()!;",
      "const id = this.#blocks.splice(kept, 1)[0];",
    ],
    [
      "a freed table still holds its first block",
      "this.#releaseFrom(0)",
      "this.#releaseFrom(1)",
    ],
    [
      "the slot past the last token can be read",
      "this.#length - 1)",
      "this.#length)",
    ],
  ]),
  ...faultsIn("BlockTable", TABLE, [
    [
      "a fork forgets what is committed",
      "fork.#committed = this.#committed;",
      "",
    ],
    [
      "forgotten tokens stay committed",
      "this.#committed = Math.min(this.#committed, length);",
      "",
    ],
  ]),
  ...faultsIn("BlockTable.commit", TABLE, [
    ["commit notes nothing", "this.#committed = length;", ""],
    [
      "tokens without a slot can be committed",
      'checkInteger("length", length, this.#committed, this.#length)',
      'checkInteger("length", length, this.#committed)',
    ],
    [
      "commit may go back",
      'checkInteger("length", length, this.#committed, this.#length)',
      'checkInteger("length", length, 0, this.#length)',
    ],
  ]),
  ...faultsIn("BlockTable.free", MODELS, [
    [
      "a freed table can be used",
      "this.#freed = true;",
      "",
    ],
  ]),
  ...faultsIn("BlockTable", DROP, [
    [
      "a block is dropped twice",
      "if (id === NULL_BLOCK) return 0;",
      "if (id === -1) return 0;",
    ],
    [
      "a block that is not written is dropped",
      "this.#committed / this.#pool.blockSize",
      "this.#length / this.#pool.blockSize",
    ],
    [
      "blocks in the middle are given back first first",
      ".sort((a, b) => b - a)",
      ".sort((a, b) => a - b)",
    ],
    [
      "indices are checked as they are dropped",
      'for (const index of wanted) checkInteger("indices", index, 0, last);',
      'for (const index of wanted) { checkInteger("indices", index, 0, last); this.#giveUp(index); }',
    ],
    [
      "a table ends in a block that is gone",
      'this.#checkThere("length", length); }',
      "}",
    ],
    [
      "a slot of the null block is handed out",
      'this.#checkThere("position", position);',
      "",
    ],
    [
      "a hole is given back at the end",
      "if (id !== NULL_BLOCK) this.#pool.release(id);",
      "this.#pool.release(id);",
    ],
    [
      "a table with a hole at its end is adopted",
      'if (length % pool.blockSize !== 0) table.#checkThere("length", length);',
      "",
    ],
    [
      "a hole counts as held",
      "this.#blocks.filter((id) => id !== NULL_BLOCK)",
      "this.#blocks.slice(this.#dropped)",
    ],
  ]),
  ...faultsIn("BlockTable", SERVICE_AND_MANAGER, [
    [
      "a block of reserve is shared with a fork",
      "this.#blocks.slice(0, begun)",
      "[...this.#blocks]",
    ],
    ["a fork forgets what was dropped", "fork.#dropped = this.#dropped;", ""],
    [
      "a block that the window still reaches is dropped",
      "const end = Math.floor(position / this.#pool.blockSize)",
      "const end = Math.ceil(position / this.#pool.blockSize)",
    ],
    [
      "a dropped block is not given back",
      "this.#pool.release(id); this.#blocks[index]",
      "this.#blocks[index]",
    ],
    [
      "a dropped block stays in the table",
      "this.#blocks[index] = NULL_BLOCK;",
      "",
    ],
    [
      "dropped blocks are dropped again",
      "this.#blocks[this.#dropped] === NULL_BLOCK",
      "false",
    ],
    [
      "a dropped slot can be read",
      'checkInteger("position", position, this.dropped, this.#length - 1)',
      'checkInteger("position", position, 0, this.#length - 1)',
    ],
    [
      "a position lies in the block before",
      "return this.#blocks[Math.floor(position / this.#pool.blockSize)]",
      "return this.#blocks[Math.ceil(position / this.#pool.blockSize)]",
    ],
  ]),
  ...faultsIn("blocksForEach", MANAGER, [
    ["holds that are given back do not count", "release.forEach(lose);", ""],
    [
      "everyone who shares a block copies, the last one too",
      "if (holders === 1 && !pool.isCached(tail)) return begun;",
      "",
    ],
    ["a copy takes no holder off", "lose(tail);", ""],
    [
      "what is taken ahead is asked for again",
      "count - (capacity - length)",
      "count",
    ],
  ]),
  ...faultsIn("blocksForEach", SERVICE, [
    [
      "the last but one copies nothing",
      "if (holders === 1 && !pool.isCached(tail)) return begun",
      "if (holders <= 2 && !pool.isCached(tail)) return begun",
    ],
    [
      "a whole block is copied",
      "if (count === 0 || length % blockSize === 0) return begun",
      "if (count === 0) return begun",
    ],
  ]),
  ...faultsIn("reserveAll", RESERVE_ALL, [
    [
      "a table that cannot take more is found out late",
      "for (const { table, count } of requests) table.blocksNeeded(count);",
      "",
    ],
    [
      "two tables get one block",
      "fresh.slice(taken, taken += needs[i])",
      "fresh.slice(0, needs[i])",
    ],
  ]),
  ...faultsIn("packTables", TABLES, [
    ["padding is not the null block", ".fill(NULL_BLOCK)", ".fill(1)"],
    [
      "rows are packed without their padding",
      "i * maxBlocks)",
      "i * row.length)",
    ],
    [
      "lengths are rounded up to blocks",
      "(table) => table.length)",
      "(table) => table.capacity)",
    ],
  ]),
  ...faultsIn("checkTables", TABLES, [
    [
      "tables of another pool are taken",
      "table.pool === tables[0].pool",
      "true",
    ],
  ]),
  ...faultsIn("verifyPool", INVARIANTS, [
    ["verify() does not look at the null block", "references[0] === 0", "true"],
    [
      "verify() does not compare holders with the free list",
      "free === (references[id] === 0)",
      "true",
    ],
    [
      "verify() does not add up free and used",
      "usedBlocks === held && links.length + usedBlocks === total",
      "true",
    ],
  ]),
  ...faultsIn("verifyFreeLinks", INVARIANTS, [
    [
      "verify() does not compare the links' directions",
      "previous[following] === id",
      "true",
    ],
    ["verify() does not count the free list", "visited === length", "true"],
    [
      "verify() does not look for free blocks off the list",
      "present === visited",
      "true",
    ],
  ]),
  ...faultsIn("footprints", STATS, [
    [
      "paged memory is counted in tokens, not in blocks",
      "Math.ceil(n / blockSize) * blockSize)",
      "n)",
    ],
    [
      "the power of two exceeds the longest length",
      "Math.min(nextPowerOfTwo(n), maxLength)",
      "nextPowerOfTwo(n)",
    ],
  ]),
  ...faultsIn("sharing", STATS, [
    ["every block counts as shared", "count > 1 ? 1 : 0", "count > 0 ? 1 : 0"],
  ]),
];
