/**
 * One-line faults in the contiguous cache: its extents, its sequences, and how
 * attention finds them.
 *
 * @module
 */

import { type Fault, faultsIn } from "./allocator_mutants.ts";
import type { Mutant } from "./mutate.ts";

/** A stateful property and no examples: what random use alone must find. */
const MODEL = ["tests/cache/extent/extent_model_test.ts"];
const POOL = [...MODEL, "tests/cache/extent/extent_pool_test.ts"];

const DEVICE = [
  "tests/kv/contiguous_cache_test.ts",
  "tests/kv/contiguous_cache_errors_test.ts",
];

const FREE_EXTENTS: readonly Fault[] = [
  {
    name: "of equal runs the last is taken",
    find: "run.blocks < best.blocks",
    replace: "run.blocks <= best.blocks",
  },
  {
    name: "the longest run is taken",
    find: "run.blocks < best.blocks",
    replace: "run.blocks > best.blocks",
  },
  {
    name: "a run that fits exactly is not taken",
    find: "if (run.blocks < blocks) continue;",
    replace: "if (run.blocks <= blocks) continue;",
  },
  {
    name: "a run does not cover its last block",
    find: "endOf(wanted) <= endOf(run);",
    replace: "endOf(wanted) < endOf(run);",
  },
  {
    name: "a run covers the block after it",
    find: "endOf(wanted) <= endOf(run);",
    replace: "endOf(wanted) <= endOf(run) + 1;",
  },
  {
    name: "empty runs stay on the list",
    find: "({ blocks }) => blocks > 0)",
    replace: "({ blocks }) => blocks >= 0)",
  },
  {
    name: "what lies before a taken run is lost",
    find: "{ start: run.start, blocks: taken.start - run.start },",
    replace: "",
  },
  {
    name: "given blocks do not join the run before them",
    find: "const joinsBefore = before !== undefined &&",
    replace: "const joinsBefore = false && before !== undefined &&",
  },
  {
    name: "given blocks do not join the run after them",
    find: "const joinsAfter = after !== undefined &&",
    replace: "const joinsAfter = false && after !== undefined &&",
  },
  {
    name: "taken blocks still count as free",
    find: "this.#blocks -= taken.blocks;",
    replace: "",
  },
  {
    name: "a run that starts at the block is not found",
    find: "start <= block) low",
    replace: "start < block) low",
  },
];

const EXTENT_POOL: readonly Fault[] = [
  {
    name: "an extent never grows in place",
    find: "const stays = blocks > 0 &&",
    replace: "const stays = false && blocks > 0 &&",
  },
  {
    name: "an extent without blocks has a place of its own",
    find: "const stays = blocks > 0 &&",
    replace: "const stays =",
  },
  {
    name: "a refused extent's blocks are given away",
    find: "this.#free.take(extent);\n",
    replace: "",
  },
  {
    name: "an extent's own blocks are in its way",
    find: "stays ? start : this.#free.bestFit(wanted)?.start;",
    replace:
      "stays ? start : (this.#free.take({ start, blocks }), this.#free.bestFit(wanted)?.start);",
  },
  {
    name: "rows that are forgotten are copied",
    find: "Math.min(extent.tokens, to.tokens)",
    replace: "extent.tokens",
  },
  {
    name: "rows that are not yet written are copied",
    find: "Math.min(extent.tokens, to.tokens)",
    replace: "to.tokens",
  },
  {
    name: "copies go the other way",
    find: "blockCopies(extent.start, to.start, {",
    replace: "blockCopies(to.start, extent.start, {",
  },
  {
    name: "an extent's last block is copied whole",
    find: "rows: Math.min(blockSize, rows - i * blockSize),",
    replace: "rows: blockSize,",
  },
  {
    name: "every copy is of the first block",
    find: "source: source + i,",
    replace: "source,",
  },
  {
    name: "the last block is not copied",
    find: "length: Math.ceil(rows / blockSize) }",
    replace: "length: Math.floor(rows / blockSize) }",
  },
  {
    name: "an extent that keeps its size keeps its tokens",
    find: "own.tokens = size.tokens;",
    replace: "",
  },
  {
    name: "compaction changes the order",
    find: "a.start - b.start",
    replace: "b.start - a.start",
  },
  {
    name: "compaction moves nothing",
    find: "start: next }",
    replace: "start: extent.start }",
  },
  {
    name: "a released extent keeps its blocks",
    find: "this.#free.give(own);",
    replace: "",
  },
  {
    name: "an extent can be released twice",
    find: "this.#live.delete(own);",
    replace: "",
  },
  {
    name: "the peak follows the present use down",
    find: "Math.max(this.#peakUsedBlocks, this.usedBlocks)",
    replace: "this.usedBlocks",
  },
  {
    name: "every change counts as a relocation",
    find: "rows > 0 ? 1 : 0",
    replace: "1",
  },
  {
    name: "all free room counts as external waste",
    find: "(this.freeBlocks - this.largestFree) *",
    replace: "this.freeBlocks *",
  },
  {
    name: "more tokens than fit are taken",
    find: "tokens <= blocks * this.#blockSize,",
    replace: "true,",
  },
  {
    name: "extents of another pool are taken",
    find: "this.#live.has(extent),",
    replace: "extent !== null,",
  },
];

const SEQUENCE: readonly Fault[] = [
  {
    name: "slots begin where the extent does",
    find: "const next = this.start + first;",
    replace: "const next = this.start;",
  },
  {
    name: "slots are those of the place before the move",
    find: "const next = this.start + first;",
    replace: "const next = (copies[0]?.source ?? this.start) + first;",
  },
  {
    name: "slots repeat the first new one",
    find: "slots[i] = next + i;",
    replace: "slots[i] = next;",
  },
  {
    name: "a fork grows by another policy",
    find: "new ContiguousSequence(this.#pool, this.#growth);",
    replace: "new ContiguousSequence(this.#pool);",
  },
  {
    name: "a fork that is refused leaves an extent behind",
    find: "sequence.free();\n      throw error;",
    replace: "throw error;",
  },
  {
    name: "a fork copies nothing",
    find: "rows: tokens,",
    replace: "rows: 0,",
  },
  {
    name: "a fork copies to its parent",
    find: "blockCopies(this.#extent.start, sequence.#extent.start, {",
    replace: "blockCopies(sequence.#extent.start, this.#extent.start, {",
  },
  {
    name: "truncate gives no room back",
    find: "this.#pool.resize(this.#extent, this.#sizeOf(length));",
    replace:
      "this.#pool.resize(this.#extent, { ...this.#extent, tokens: length });",
  },
  {
    name: "truncate may lengthen",
    find: 'checkInteger("length", length, 0, this.length);',
    replace: 'checkInteger("length", length, 0);',
  },
  {
    name: "the slot past the last token can be read",
    find: "this.length - 1);",
    replace: "this.length);",
  },
  {
    name: "a freed sequence can be used",
    find: "this.#freed = true;",
    replace: "",
  },
  {
    name: "the growth policy is not asked",
    find: "const room = grownCapacity(length, this.#growth);",
    replace:
      "const room = grownCapacity(length, { blockSize: this.#pool.blockSize });",
  },
];

/** Each makes `verify()` blind to one invariant. */
const INVARIANTS: readonly Fault[] = [
  {
    name: "verify() does not look for empty runs",
    find: "run.blocks > 0,",
    replace: "true,",
  },
  {
    name: "verify() lets free runs touch",
    find: "endOf(free[i - 1]) < run.start",
    replace: "endOf(free[i - 1]) <= run.start",
  },
  {
    name: "verify() does not look for gaps and overlaps",
    find: "run.start === next,",
    replace: "true,",
  },
  {
    name: "verify() does not look at the last block",
    find: "next === totalBlocks,",
    replace: "true,",
  },
  {
    name: "verify() does not compare tokens with room",
    find: "tokens <= blocks * state.blockSize,",
    replace: "true,",
  },
  {
    name: "verify() does not add up free blocks",
    find: "state.freeBlocks === freeBlocks,",
    replace: "true,",
  },
  {
    name: "verify() lets the peak be lower than the use",
    find: "peakUsedBlocks >= totalBlocks - freeBlocks &&",
    replace: "",
  },
];

const CACHE: readonly Fault[] = [
  {
    name: "more than one arena is taken",
    find: "sizes.segments === 1,",
    replace: "true,",
  },
  {
    name: "the first block cannot be written",
    find: "override readonly firstBlock = 0;",
    replace: "override readonly firstBlock = 1;",
  },
  {
    name: "sequences do not grow as they are told",
    find: "new ContiguousSequence(this.pool, this.#growth);",
    replace: "new ContiguousSequence(this.pool);",
  },
  {
    name: "the growth policy is not checked",
    find: "checkedGrowth(growth, sizes.blockSize);",
    replace: "growth;",
  },
  {
    name: "sequences of another cache are forked",
    find: "sequence.pool === this.pool,",
    replace: "true,",
  },
  {
    name: "a fork's rows are not copied",
    find: '"kv.fork", (encoder) => this.encodeCopies(encoder, copies)',
    replace: '"kv.fork", () => {}',
  },
  {
    name: "compacted rows stay where they are",
    find: "(encoder) => this.encodeCopies(encoder, copies),\n    );",
    replace: "() => {},\n    );",
  },
];

const SOURCES: readonly Fault[] = [
  {
    name: "every extent begins at the arena's start",
    find: "keyStart: start,",
    replace: "keyStart: 0 * start,",
  },
  {
    name: "all room counts as written",
    find: "extents.map(({ start, length })",
    replace: "extents.map(({ start, capacity: length })",
  },
  {
    name: "values are looked for too early",
    find: "keyTokens: cache.numBlocks * cache.blockSize,",
    replace: "keyTokens: (cache.numBlocks - 1) * cache.blockSize,",
  },
];

/** Faults in a file that is not of the cache. */
function faultsOf(
  file: string,
  tests: readonly string[],
  faults: readonly Fault[],
): Mutant[] {
  return faults.map((fault) => ({ ...fault, file, tests }));
}

/** Every mutant of the contiguous cache, with the tests that must kill it. */
export const EXTENT_MUTANTS: readonly Mutant[] = [
  ...faultsIn("free_extents.ts", [
    "tests/cache/extent/free_extents_test.ts",
  ], FREE_EXTENTS),
  ...faultsIn("extent_pool.ts", POOL, EXTENT_POOL),
  ...faultsIn("contiguous_sequence.ts", MODEL, SEQUENCE),
  ...faultsIn(
    "extent_invariants.ts",
    ["tests/cache/extent/extent_invariants_test.ts"],
    INVARIANTS,
  ),
  ...faultsIn(
    "kv_contiguous.ts",
    DEVICE,
    CACHE,
  ),
  ...faultsIn("kv_rows.ts", ["tests/kv/kv_cache_test.ts"], [{
    name: "the null block can be written by a copy",
    find: "destination, firstBlock, last);",
    replace: "destination, 0, last);",
  }]),
  ...faultsIn("kv_rows.ts", DEVICE, [{
    name: "rows are copied before they are written",
    find: "early === undefined,",
    replace: "true,",
  }, {
    name: "an append may not write where it has read",
    find: "appends.slice(0, i)",
    replace: "appends",
  }]),
  ...faultsOf(
    "src/ops/attention/options/cache_keys.ts",
    ["tests/laws/contiguous_test.ts"],
    SOURCES,
  ),
  ...faultsOf("src/ops/attention/options/cache_keys.ts", DEVICE, [{
    name: "extents of another cache are read",
    find: "sequence.pool === cache.pool,",
    replace: "true,",
  }]),
  ...faultsOf("src/ops/attention/limits.ts", [
    "tests/ops/attention/limits_test.ts",
  ], [{
    name: "an arena of extents is checked as two tensors",
    find: "if (source.segments > 0) {",
    replace: 'if (source.kind === "paged" && source.segments > 0) {',
  }]),
  ...faultsOf("src/ops/attention/plan.ts", DEVICE, [{
    name: "arenas may be too small",
    find: "arena.size >= bytes,",
    replace: "true,",
  }]),
];
