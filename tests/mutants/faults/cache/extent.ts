/**
 * One-line faults in the contiguous cache: extents, their pool and how they grow.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const FREE_EXTENTS = ["cache/extent/free_extents"];
const POOL = ["cache/extent/extent_model", "cache/extent/extent_pool"];
const MODEL = ["cache/extent/extent_model"];
const INVARIANTS = ["cache/extent/extent_invariants"];
const GROWTH = ["cache/extent/growth"];

/** Every fault listed for it. */
export const EXTENT_FAULTS: readonly SourceFault[] = [
  ...faultsIn("FreeExtents", FREE_EXTENTS, [
    [
      "of equal runs the last is taken",
      "run.blocks < best.blocks",
      "run.blocks <= best.blocks",
    ],
    [
      "the longest run is taken",
      "run.blocks < best.blocks",
      "run.blocks > best.blocks",
    ],
    [
      "a run that fits exactly is not taken",
      "if (run.blocks < blocks) continue",
      "if (run.blocks <= blocks) continue",
    ],
    [
      "a run does not cover its last block",
      "endOf(wanted) <= endOf(run)",
      "endOf(wanted) < endOf(run)",
    ],
    [
      "a run covers the block after it",
      "endOf(wanted) <= endOf(run)",
      "endOf(wanted) <= endOf(run) + 1",
    ],
    [
      "empty runs stay on the list",
      "({ blocks }) => blocks > 0)",
      "({ blocks }) => blocks >= 0)",
    ],
    [
      "what lies before a taken run is lost",
      "{ start: run.start, blocks: taken.start - run.start },",
      "",
    ],
    [
      "given blocks do not join the run before them",
      "const joinsBefore = before !== undefined &&",
      "const joinsBefore = false && before !== undefined &&",
    ],
    [
      "given blocks do not join the run after them",
      "const joinsAfter = after !== undefined &&",
      "const joinsAfter = false && after !== undefined &&",
    ],
    ["taken blocks still count as free", "this.#blocks -= taken.blocks;", ""],
    [
      "a run that starts at the block is not found",
      "start <= block) low",
      "start < block) low",
    ],
  ]),
  ...faultsIn("ExtentPool", POOL, [
    [
      "an extent never grows in place",
      "const stays = blocks > 0 &&",
      "const stays = false && blocks > 0 &&",
    ],
    [
      "an extent without blocks has a place of its own",
      "const stays = blocks > 0 &&",
      "const stays =",
    ],
    [
      "an extent's own blocks are in its way",
      "stays ? start : this.#free.bestFit(wanted)?.start",
      "stays ? start : (this.#free.take({ start, blocks }), this.#free.bestFit(wanted)?.start)",
    ],
    [
      "rows that are forgotten are copied",
      "Math.min(extent.tokens, to.tokens)",
      "extent.tokens",
    ],
    [
      "rows that are not yet written are copied",
      "Math.min(extent.tokens, to.tokens)",
      "to.tokens",
    ],
    [
      "copies go the other way",
      "blockCopies(extent.start, to.start, {",
      "blockCopies(to.start, extent.start, {",
    ],
    [
      "an extent that keeps its size keeps its tokens",
      "own.tokens = size.tokens;",
      "",
    ],
    ["compaction changes the order", "a.start - b.start", "b.start - a.start"],
    ["compaction moves nothing", "start: next }", "start: extent.start }"],
    ["a released extent keeps its blocks", "this.#free.give(own);", ""],
    ["an extent can be released twice", "this.#live.delete(own);", ""],
    [
      "the peak follows the present use down",
      "Math.max(this.#peakUsedBlocks, this.usedBlocks)",
      "this.usedBlocks",
    ],
    ["every change counts as a relocation", "rows > 0 ? 1 : 0", "1"],
    [
      "all free room counts as external waste",
      "(this.freeBlocks - this.largestFree) *",
      "this.freeBlocks *",
    ],
    [
      "more tokens than fit are taken",
      "tokens <= blocks * this.#blockSize",
      "true",
    ],
    [
      "extents of another pool are taken",
      "this.#live.has(extent)",
      "extent !== null",
    ],
  ]),
  ...faultsIn("ExtentPool.#place", POOL, [
    [
      "a refused extent's blocks are given away",
      "this.#free.take(extent);",
      "",
    ],
  ]),
  ...faultsIn("blockCopies", POOL, [
    [
      "an extent's last block is copied whole",
      "rows: Math.min(blockSize, rows - i * blockSize)",
      "rows: blockSize",
    ],
    ["every copy is of the first block", "source: source + i", "source"],
    [
      "the last block is not copied",
      "length: Math.ceil(rows / blockSize) }",
      "length: Math.floor(rows / blockSize) }",
    ],
  ]),
  ...faultsIn("ContiguousSequence", MODEL, [
    [
      "slots begin where the extent does",
      "const next = this.start + first",
      "const next = this.start",
    ],
    [
      "slots are those of the place before the move",
      "const next = this.start + first",
      "const next = (copies[0]?.source ?? this.start) + first",
    ],
    [
      "slots repeat the first new one",
      "slots[i] = next + i",
      "slots[i] = next",
    ],
    [
      "a fork grows by another policy",
      "new ContiguousSequence(this.#pool, this.#growth)",
      "new ContiguousSequence(this.#pool)",
    ],
    ["a fork copies nothing", "rows: tokens", "rows: 0"],
    [
      "a fork copies to its parent",
      "blockCopies(this.#extent.start, sequence.#extent.start, {",
      "blockCopies(sequence.#extent.start, this.#extent.start, {",
    ],
    [
      "truncate gives no room back",
      "this.#pool.resize(this.#extent, this.#sizeOf(length))",
      "this.#pool.resize(this.#extent, { ...this.#extent, tokens: length })",
    ],
    [
      "truncate may lengthen",
      'checkInteger("length", length, 0, this.length)',
      'checkInteger("length", length, 0)',
    ],
    [
      "the slot past the last token can be read",
      "this.length - 1)",
      "this.length)",
    ],
    ["a freed sequence can be used", "this.#freed = true;", ""],
    [
      "the growth policy is not asked",
      "const room = grownCapacity(length, this.#growth)",
      "const room = grownCapacity(length, { blockSize: this.#pool.blockSize })",
    ],
  ]),
  ...faultsIn("ContiguousSequence", MODEL, [
    [
      "a fork forgets what is committed",
      "sequence.#committed = this.#committed;",
      "",
    ],
    [
      "forgotten tokens stay committed",
      "this.#committed = Math.min(this.#committed, length);",
      "",
    ],
  ]),
  ...faultsIn("ContiguousSequence.commit", MODEL, [
    ["commit notes nothing", "this.#committed = length;", ""],
    [
      "tokens without a slot can be committed",
      'checkInteger("length", length, this.committed, this.length)',
      'checkInteger("length", length, this.committed)',
    ],
  ]),
  ...faultsIn("ContiguousSequence.fork", MODEL, [
    [
      "a fork that is refused leaves an extent behind",
      "sequence.free();",
      "",
    ],
  ]),
  ...faultsIn("verifyExtents", INVARIANTS, [
    ["verify() does not look for empty runs", "run.blocks > 0,", "true,"],
    [
      "verify() lets free runs touch",
      "endOf(free[i - 1]) < run.start",
      "endOf(free[i - 1]) <= run.start",
    ],
    [
      "verify() does not compare tokens with room",
      "tokens <= blocks * state.blockSize",
      "true",
    ],
    [
      "verify() does not add up free blocks",
      "state.freeBlocks === freeBlocks",
      "true",
    ],
    [
      "verify() lets the peak be lower than the use",
      "peakUsedBlocks >= totalBlocks - freeBlocks &&",
      "",
    ],
  ]),
  ...faultsIn("verifyTiling", INVARIANTS, [
    [
      "verify() does not look for gaps and overlaps",
      "run.start === next",
      "true",
    ],
    [
      "verify() does not look at the last block",
      "next === totalBlocks",
      "true",
    ],
  ]),
  ...faultsIn("nextPowerOfTwo", GROWTH, [
    [
      "a power of two is doubled once more",
      "2 ** Math.ceil(Math.log2(length))",
      "2 ** Math.floor(Math.log2(length) + 1)",
    ],
  ]),
  ...faultsIn("grownCapacity", GROWTH, [
    [
      "growth exceeds the longest length",
      "Math.min(nextPowerOfTwo(length), maxLength)",
      "nextPowerOfTwo(length)",
    ],
  ]),
];
