/**
 * One-line faults in what moves blocks to host memory and back, and in how
 * large caches may be.
 *
 * @module
 */

import { type Fault, faultsIn } from "./allocator_mutants.ts";
import type { Mutant } from "./mutate.ts";

const COPIER: readonly Fault[] = [
  {
    name: "values are as wide as keys",
    find: "value: bytes * shape.valueHeadDim",
    replace: "value: bytes * shape.headDim",
  },
  {
    name: "the values of an arena follow its first block",
    find: "valueAt: blocks * keyBlock",
    replace: "valueAt: keyBlock",
  },
  {
    name: "the other side's blocks are as far apart",
    find: "destination_value_block: destination.valueBlock / unit",
    replace: "destination_value_block: source.valueBlock / unit",
  },
  {
    name: "only the first pair of buffers is copied",
    find: "of pairs) {",
    replace: "of pairs.slice(0, 1)) {",
  },
];

const STAGING: readonly Fault[] = [
  {
    name: "only the first layer is packed",
    find: "return cache.layers * packedLayout(cache).keyBlock;",
    replace: "return packedLayout(cache).keyBlock;",
  },
  {
    name: "the staging can be larger than what can be bound",
    find: "Math.floor(bytes / packedBytes(cache)),",
    replace: "Infinity,",
  },
  {
    name: "one round can have more blocks than a grid has workgroups",
    find: "cache.gpu.limits.maxComputeWorkgroupsPerDimension,",
    replace: "Infinity,",
  },
  {
    name: "a buffer stays where the kernels' uniforms cannot be made",
    find: "staging?.destroy();",
    replace: "",
  },
  {
    name: "layers lie on one another",
    find: "i * layers + layer]",
    replace: "i * layers]",
  },
  {
    name: "blocks of a later arena are taken from the first",
    find: "arenas(layer)[segment],",
    replace: "arenas(layer)[0],",
  },
  {
    name: "a block's number in its arena is that in the cache",
    find: "blocks[i] % segmentBlocks,",
    replace: "blocks[i],",
  },
  {
    name: "the way back goes like the way out",
    find: "[packed, block]);",
    replace: "[block, packed]);",
  },
  {
    name: "the last row of a block stays behind",
    find: "[...pair, blockSize]",
    replace: "[...pair, blockSize - 1]",
  },
  {
    name: "the way in is over before the device has done it",
    find: "await gpu.readOne(this.#words(4), options);",
    replace: "",
  },
  {
    name: "the uniforms of the way in are not freed",
    find: "this.#unpack?.destroy();",
    replace: "",
  },
  {
    name: "the last bytes are not sent",
    find: "Math.ceil(blocks.length * packedBytes(this.#cache) / 4) * 4;",
    replace: "Math.floor(blocks.length * packedBytes(this.#cache) / 4) * 4;",
  },
];

const SWAP: readonly Fault[] = [
  {
    name: "a round is larger than the staging",
    find: "size: this.stagingBlocks }",
    replace: "size: this.stagingBlocks + 1 }",
  },
  {
    name: "slots are not emptied",
    find: "this.#host.open(moves.slots);",
    replace:
      "if (!moves.slots.every((s) => this.#host.has(s))) this.#host.open(moves.slots);",
  },
  {
    name: "slots stay empty",
    find: "this.#host.seal(moves.slots);",
    replace: "",
  },
  {
    name: "what is not there is moved in",
    find: "const holds = this.#host.has(slot);",
    replace: "const holds = true;",
  },
  {
    name: "transfers out do not look at others",
    find:
      'const moves = swapMoves("out", copies, this.#sizes);\n    this.#claims.check(moves);',
    replace: 'const moves = swapMoves("out", copies, this.#sizes);',
  },
  {
    name: "transfers in do not look at others",
    find:
      'const moves = swapMoves("in", copies, this.#sizes);\n    this.#claims.check(moves);',
    replace: 'const moves = swapMoves("in", copies, this.#sizes);',
  },
  {
    name: "a signal that was given before is not seen in time",
    find:
      "this.#claims.check(moves);\n    options.signal?.throwIfAborted();\n    await this.#claims.hold(moves, async",
    replace:
      "this.#claims.check(moves);\n    await this.#claims.hold(moves, async",
  },
  {
    name: "a destroyed swap goes on",
    find:
      'checkType(!this.#destroyed, "swap", "must not be destroyed", "destroyed");',
    replace: "",
  },
  {
    name: "a destroyed cache is swapped from",
    find:
      "this.cache.arenas(); // Throws where it is destroyed, or the device lost.",
    replace: "",
  },
  {
    name: "the staging is not freed",
    find: "this.#staging.destroy();",
    replace: "",
  },
  {
    name: "the host's memory is not freed",
    find: "this.#host.clear();",
    replace: "",
  },
  {
    name: "the default is more than the host has",
    find: "Math.min(usual, most, hostBlocks)",
    replace: "Math.min(usual, most)",
  },
  {
    name: "the default is more than the device can bind",
    find: "Math.min(usual, most, hostBlocks)",
    replace: "Math.min(usual, hostBlocks)",
  },
];

const ROUNDS: readonly Fault[] = [
  {
    name: "all rounds are under way at once",
    find: "await last?.();\n      last =",
    replace: "last =",
  },
  {
    name: "one round is under way at a time",
    find: "const begun = begin(round);",
    replace: "const begun = Promise.resolve(await begin(round));",
  },
  {
    name: "the error of a later round hides that of an earlier one",
    find: "settled = begun.then(() => {}, () => {});",
    replace: "settled = begun.then(() => {});\n      settled.catch(() => {});",
  },
  {
    name: "the last round is not waited for",
    find: "    }\n    await last?.();",
    replace: "    }",
  },
  {
    name: "a round ends though the transfer must not go on",
    find: "check();\n        end(",
    replace: "end(",
  },
  {
    name: "a round begins though the transfer must not go on",
    find: "check();\n      const round",
    replace: "const round",
  },
  {
    name: "a round is left under way",
    find: "await settled;",
    replace: "",
  },
  {
    name: "slots are those of the first round",
    find: "slots.slice(at, at + size)",
    replace: "slots.slice(0, size)",
  },
];

const MOVES: readonly Fault[] = [
  {
    name: "the null block is moved",
    find: "block, firstBlock, numBlocks - 1",
    replace: "block, 0, numBlocks - 1",
  },
  {
    name: "a block after the last is moved",
    find: "block, firstBlock, numBlocks - 1",
    replace: "block, firstBlock, numBlocks",
  },
  {
    name: "slot 0 is used",
    find: "slot, 1, hostBlocks",
    replace: "slot, 0, hostBlocks",
  },
  {
    name: "a slot after the last is used",
    find: "slot, 1, hostBlocks",
    replace: "slot, 1, hostBlocks + 1",
  },
  {
    name: "what is written can be read",
    find: "uses >= 0 :",
    replace: "true :",
  },
  {
    name: "what is read can be written",
    find: ": uses === 0;",
    replace: ": uses >= 0;",
  },
  {
    name: "nothing can be read twice",
    find: 'use === "write" && seen.has(id)',
    replace: "seen.has(id)",
  },
  {
    name: "a thing can be written twice",
    find: "seen.add(id);",
    replace: "",
  },
  {
    name: "one reader that ends lets go for all",
    find: "this.#uses.get(id)! - 1;",
    replace: "0;",
  },
  {
    name: "slots are not let go",
    find: "this.#slots.release(slots, uses.slot);",
    replace: "",
  },
  {
    name: "blocks are not let go",
    find: "this.#blocks.release(blocks, uses.block);",
    replace: "",
  },
  {
    name: "blocks are not claimed",
    find: "this.#blocks.take(blocks, uses.block);",
    replace: "",
  },
  {
    name: "a failed transfer keeps what it claimed",
    find: "} finally {",
    replace: "} catch (error) { throw error; }\n    {",
  },
];

const HOST: readonly Fault[] = [
  {
    name: "an opened slot holds what it held",
    find: "for (const slot of slots) this.#sealed.delete(slot);",
    replace: "",
  },
  {
    name: "all slots are written with the first block",
    find: "packed.subarray(i * this.slotBytes, (i + 1) * this.slotBytes)",
    replace: "packed.subarray(0, this.slotBytes)",
  },
  {
    name: "no memory is given back",
    find: "this.#slots.clear();",
    replace: "",
  },
  {
    name: "cleared slots hold blocks",
    find: "this.#sealed.clear();",
    replace: "",
  },
];

const DEVICE = [
  "tests/kv/kv_swap_test.ts",
  "tests/kv/kv_swap_failure_test.ts",
];

const SIZES: readonly Fault[] = [
  {
    name: "a cache has more arenas than a kernel can bind",
    find: "segments <= bindable,",
    replace: "true,",
  },
  {
    name: "arenas take the buffers that a kernel needs besides",
    find: "gpu.limits.maxStorageBuffersPerShaderStage - OTHER_BUFFERS,",
    replace: "gpu.limits.maxStorageBuffersPerShaderStage,",
  },
];

/** Every mutant of swapping, and of how large caches are. */
export const SWAP_MUTANTS: readonly Mutant[] = [
  ...faultsIn(
    "kv_copier.ts",
    ["tests/kv/copier_test.ts", ...DEVICE],
    COPIER,
  ),
  ...faultsIn("kv_sizes.ts", ["tests/kv/kv_cache_layout_test.ts"], SIZES),
  ...faultsIn("kv_staging.ts", DEVICE, STAGING),
  ...faultsIn("kv_swap.ts", DEVICE, SWAP),
  ...faultsIn(
    "swap_rounds.ts",
    ["tests/cache/swap/swap_rounds_test.ts"],
    ROUNDS,
  ),
  ...faultsIn("swap_moves.ts", ["tests/cache/swap/swap_moves_test.ts"], MOVES),
  ...faultsIn("host_blocks.ts", ["tests/cache/swap/host_blocks_test.ts"], HOST),
];
