/**
 * One-line faults in the cache's device half: arenas, rows, copies, swapping.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../fault.ts";

const CONTIGUOUS = ["kv/contiguous_cache", "kv/contiguous_cache_errors"];
const KV_CACHE = ["kv/kv_cache"];
const COPIER = ["kv/copier", "kv/kv_swap", "kv/kv_swap_failure"];
const STEP = ["kv/step"];
const READ = ["kv/read_rows"];
const LAYOUT = ["kv/kv_cache_layout"];
const SWAP = ["kv/kv_swap", "kv/kv_swap_failure"];

/** Every fault listed for it. */
export const KV_FAULTS: readonly SourceFault[] = [
  ...faultsIn("ContiguousCache", CONTIGUOUS, [
    ["more than one arena is taken", "sizes.segments === 1", "true"],
    [
      "the first block cannot be written",
      "override readonly firstBlock = 0",
      "override readonly firstBlock = 1",
    ],
    [
      "sequences do not grow as they are told",
      "new ContiguousSequence(this.pool, this.#growth)",
      "new ContiguousSequence(this.pool)",
    ],
    [
      "the growth policy is not checked",
      "checkedGrowth(growth, sizes.blockSize)",
      "growth",
    ],
    [
      "sequences of another cache are forked",
      "sequence.pool === this.pool",
      "true",
    ],
  ]),
  ...faultsIn("ContiguousCache.fork", CONTIGUOUS, [
    ["a fork's rows are not copied", "this.copy(copies);", ""],
  ]),
  ...faultsIn("ContiguousCache.compact", CONTIGUOUS, [
    [
      "compacted rows stay where they are",
      "this.copy(this.pool.compact())",
      "this.pool.compact()",
    ],
  ]),
  ...faultsIn("ContiguousCache.reserveAll", STEP, [
    [
      "what was reserved before there was no room stays reserved",
      "made.forEach(({ start }, i) => requests[i].sequence.truncate(start));",
      "",
    ],
    [
      "what moved before there was no room is not copied",
      "this.copy(made.flatMap(({ copies }) => copies));",
      "",
    ],
  ]),
  ...faultsIn("PendingCopies", STEP, [
    [
      "a step's own copies come too late",
      "entry.serial > serial",
      "entry.serial >= serial",
    ],
    [
      "copies are carried out again",
      "this.entries = entries.filter((entry) => entry.serial > serial);",
      "",
    ],
  ]),
  ...faultsIn("CacheStep.commit", STEP, [
    [
      "a layer that is not written is committed",
      "if (this.#written.has(layer)) continue;",
      "continue;",
    ],
    ["what was moved since is committed", "this.#checkPlaces();", ""],
    ["a step is committed twice", 'this.#state = "committed";', ""],
    [
      "nothing is committed",
      "if (sequence.committed < end) sequence.commit(end);",
      "",
    ],
    [
      "a later step's commit is in the way",
      "if (sequence.committed < end) sequence.commit(end);",
      "sequence.commit(end);",
    ],
  ]),
  ...faultsIn("CacheStep.cancel", STEP, [
    [
      "a cancelled step's tokens stay",
      "if (sequence.length > start) sequence.truncate(start);",
      "",
    ],
    [
      "a cancelled step's copies are lost",
      "this.#host.copy(this.#serial);",
      "",
    ],
    [
      "a step is cancelled below a later one",
      "if (sequence.length <= start + count) continue;",
      "continue;",
    ],
  ]),
  ...faultsIn("CacheStep", STEP, [
    [
      "a step writes to slots that moved",
      "firstSlot(part) === this.#first[i]",
      "true",
    ],
  ]),
  ...faultsIn("KvArenas.read", READ, [
    ["rows are read before they are copied", "this.copyPending();", ""],
  ]),
  ...faultsIn("rowBytes", READ, [
    [
      "rows begin where the copy does",
      "const first = to + from - copyFrom;",
      "const first = to;",
    ],
  ]),
  ...faultsIn("KvCache.writtenSlots", READ, [
    [
      "dropped tokens are read",
      "Math.min(table.dropped, table.committed)",
      "0",
    ],
    [
      "tokens that are not written are read",
      "table.committed - start",
      "table.length - start",
    ],
  ]),
  ...faultsIn("KvArenas.append", STEP, [
    ["an append that failed keeps its tokens", "this.#cancel(step);", ""],
  ]),
  ...faultsIn("checkRequests", STEP, [
    ["a sequence comes twice", "!seen.has(sequence)", "true"],
  ]),
  ...faultsIn("reservationsOf", STEP, [
    [
      "copies of other layer groups are carried out",
      '!("group" in copy) || copy.group === group',
      "true",
    ],
  ]),
  ...faultsIn("checkCopies", KV_CACHE, [
    [
      "the null block can be written by a copy",
      "destination, firstBlock, last)",
      "destination, 0, last)",
    ],
  ]),
  ...faultsIn("checkOrder", CONTIGUOUS, [
    ["rows are copied before they are written", "early === undefined", "true"],
    [
      "a reservation may not write where it has read",
      "reservations.slice(0, i)",
      "reservations",
    ],
  ]),
  ...faultsIn("tokenBytes", COPIER, [
    [
      "values are as wide as keys",
      "value: bytes * shape.valueHeadDim",
      "value: bytes * shape.headDim",
    ],
  ]),
  ...faultsIn("arenaLayout", COPIER, [
    [
      "the values of an arena follow its first block",
      "valueAt: blocks * keyBlock",
      "valueAt: keyBlock",
    ],
  ]),
  ...faultsIn("BlockCopier", COPIER, [
    [
      "the other side's blocks are as far apart",
      "destination_value_block: destination.valueBlock / unit",
      "destination_value_block: source.valueBlock / unit",
    ],
    [
      "only the first pair of buffers is copied",
      "const dispatches = batches.map(",
      "const dispatches = batches.slice(0, 1).map(",
    ],
    [
      "all pairs of buffers get the first one's copies",
      "first_copy: first",
      "first_copy: 0",
    ],
  ]),
  ...faultsIn("cacheSizes", LAYOUT, [
    [
      "a cache has more arenas than a kernel can bind",
      "segments <= bindable",
      "true",
    ],
    [
      "arenas take the buffers that a kernel needs besides",
      "gpu.limits.maxStorageBuffersPerShaderStage - OTHER_BUFFERS",
      "gpu.limits.maxStorageBuffersPerShaderStage",
    ],
  ]),
  ...faultsIn("packedBytes", SWAP, [
    [
      "only the first layer is packed",
      "return cache.layers * packedLayout(cache).keyBlock",
      "return packedLayout(cache).keyBlock",
    ],
  ]),
  ...faultsIn("mostPacked", SWAP, [
    [
      "the staging can be larger than what can be bound",
      "Math.floor(bytes / packedBytes(cache))",
      "Infinity",
    ],
    [
      "one round can have more blocks than a grid has workgroups",
      "cache.gpu.limits.maxComputeWorkgroupsPerDimension",
      "Infinity",
    ],
  ]),
  ...faultsIn("BlockStaging", SWAP, [
    [
      "a buffer stays where the kernels cannot be compiled",
      "staging?.destroy();",
      "",
    ],
    ["layers lie on one another", "i * layers + layer]", "i * layers]"],
    [
      "blocks of a later arena are taken from the first",
      "arenaName(segment, layer)",
      "arenaName(0, layer)",
    ],
    [
      "a block's number in its arena is that in the cache",
      "blocks[i] % segmentBlocks",
      "blocks[i]",
    ],
    [
      "the way back goes like the way out",
      "[packed, block])",
      "[block, packed])",
    ],
    [
      "the last row of a block stays behind",
      "[...pair, blockSize]",
      "[...pair, blockSize - 1]",
    ],
    [
      "the way in is over before the device has done it",
      "await gpu.readOne(this.#words(4), options);",
      "",
    ],
    [
      "the uniforms of the way in are not freed",
      "this.#unpack?.destroy();",
      "",
    ],
    [
      "the last bytes are not sent",
      "Math.ceil(blocks.length * packedBytes(this.#cache) / 4) * 4",
      "Math.floor(blocks.length * packedBytes(this.#cache) / 4) * 4",
    ],
  ]),
  ...faultsIn("BlockStaging.read", SWAP, [
    [
      "blocks are read before what is due is copied into them",
      "this.#cache.copyPending();",
      "",
    ],
  ]),
  ...faultsIn("BlockStaging.write", SWAP, [
    [
      "what is due is copied over blocks that are moved in",
      "this.#cache.copyPending();",
      "",
    ],
  ]),
  ...faultsIn("HostSwap", SWAP, [
    [
      "a round is larger than the staging",
      "size: this.stagingBlocks }",
      "size: this.stagingBlocks + 1 }",
    ],
    [
      "slots are not emptied",
      "host.open(moves.slots)",
      "if (!moves.slots.every((s) => host.has(s))) host.open(moves.slots)",
    ],
    ["slots stay empty", "host.seal(moves.slots);", "host;"],
    [
      "what is not there is moved in",
      "const holds = this.#hosts.every((host) => host.has(slot))",
      "const holds = true",
    ],
    [
      "a destroyed swap goes on",
      'checkType(!this.#destroyed, "swap", "must not be destroyed", "destroyed");',
      "",
    ],
    [
      "a destroyed cache is swapped from",
      "this.#swapped.check();",
      "",
    ],
    [
      "the staging is not freed",
      "for (const staging of this.#stagings) staging.destroy();",
      "",
    ],
    ["the host's memory is not freed", "host.clear();", "host;"],
    [
      "the default is more than the host has",
      "Math.min(usual, most, hostBlocks)",
      "Math.min(usual, most)",
    ],
    [
      "the default is more than the device can bind",
      "Math.min(usual, most, hostBlocks)",
      "Math.min(usual, hostBlocks)",
    ],
  ]),
  ...faultsIn("HostSwap.out", SWAP, [
    [
      "transfers out do not look at others",
      "this.#claims.check(moves);",
      "",
    ],
    [
      "a signal that was given before is not seen in time",
      "options.signal?.throwIfAborted();",
      "",
    ],
  ]),
  ...faultsIn("HostSwap.in", SWAP, [
    [
      "transfers in do not look at others",
      "this.#claims.check(moves);",
      "",
    ],
  ]),
];
