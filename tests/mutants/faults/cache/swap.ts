/**
 * One-line faults in what moves blocks to host memory and back, as far as no device is needed.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const SERVICE = ["cache/manager/service_model"];
const MANAGER = ["cache/manager/cache_manager"];
const HYBRID = ["cache/manager/hybrid_model"];
const HYBRID_UNITS = ["cache/manager/hybrid_manager"];
const ROUNDS = ["cache/swap/swap_rounds"];
const MOVES = ["cache/swap/swap_moves"];
const HOST = ["cache/swap/host_blocks"];

/** Every fault listed for it. */
export const SWAP_FAULTS: readonly SourceFault[] = [
  ...faultsIn("distinct", SERVICE, [
    [
      "the null block is swapped",
      "if (id !== NULL_BLOCK && !groups.has(id)) groups.set(id, number)",
      "if (!groups.has(id)) groups.set(id, number)",
    ],
  ]),
  ...faultsIn("distinct", HYBRID_UNITS, [
    [
      "a state of any group belongs to the first one",
      "groups.set(id, number)",
      "groups.set(id, 0)",
    ],
  ]),
  ...faultsIn("take", SERVICE, [
    [
      "a shared block that moved is held once",
      "if (seen.has(id)) pool.retain(id);",
      "",
    ],
  ]),
  ...faultsIn("take", MANAGER, [
    [
      "swapped blocks change places",
      "[from, fresh[i]]",
      "[from, fresh[fresh.length - 1 - i]]",
    ],
  ]),
  ...faultsIn("SwapSpace.releaseHost", SERVICE, [
    [
      "host slots are not given back",
      "this.#blocks.release(state.host);",
      "",
    ],
  ]),
  ...faultsIn("SwapSpace.releaseHost", HYBRID, [
    [
      "host slots of states are not given back",
      "this.states?.release([state.hostStates]);",
      "",
    ],
  ]),
  ...faultsIn("SwapSpace", HYBRID_UNITS, [
    [
      "blocks are swapped out though there is no room for states",
      "this.states?.checkOut(held);",
      "",
    ],
  ]),
  ...faultsIn("SwapSpace", HYBRID, [
    [
      "blocks are swapped in though there is no room for states",
      "this.states?.checkIn(held);",
      "",
    ],
  ]),
  ...faultsIn("swapRounds", ROUNDS, [
    ["all rounds are under way at once", "await last?.(); last =", "last ="],
    [
      "one round is under way at a time",
      "const begun = begin(round)",
      "const begun = Promise.resolve(await begin(round))",
    ],
    [
      "the error of a later round hides that of an earlier one",
      "settled = begun.then(() => {}, () => {})",
      "settled = begun.then(() => {}); settled.catch(() => {})",
    ],
    ["the last round is not waited for", "} await last?.();", "}"],
    [
      "a round ends though the transfer must not go on",
      "check(); end(",
      "end(",
    ],
    [
      "a round begins though the transfer must not go on",
      "check(); const round",
      "const round",
    ],
    ["a round is left under way", "await settled;", ""],
    [
      "slots are those of the first round",
      "slots.slice(at, at + size)",
      "slots.slice(0, size)",
    ],
  ]),
  ...faultsIn("swapMoves", MOVES, [
    [
      "the null block is moved",
      "block, firstBlock, numBlocks - 1",
      "block, 0, numBlocks - 1",
    ],
    [
      "a block after the last is moved",
      "block, firstBlock, numBlocks - 1",
      "block, firstBlock, numBlocks",
    ],
    ["slot 0 is used", "slot, 1, hostBlocks", "slot, 0, hostBlocks"],
    [
      "a slot after the last is used",
      "slot, 1, hostBlocks",
      "slot, 1, hostBlocks + 1",
    ],
  ]),
  ...faultsIn("Claims", MOVES, [
    ["what is written can be read", "uses >= 0 :", "true :"],
    ["what is read can be written", ": uses === 0", ": uses >= 0"],
    [
      "nothing can be read twice",
      'use === "write" && seen.has(id)',
      "seen.has(id)",
    ],
    ["a thing can be written twice", "seen.add(id);", ""],
    ["one reader that ends lets go for all", "this.#uses.get(id)! - 1", "0"],
  ]),
  ...faultsIn("SwapClaims", MOVES, [
    ["slots are not let go", "this.#slots.release(slots, uses.slot);", ""],
    ["blocks are not let go", "this.#blocks.release(blocks, uses.block);", ""],
    ["blocks are not claimed", "this.#blocks.take(blocks, uses.block);", ""],
    [
      "a failed transfer keeps what it claimed",
      "} finally {",
      "} catch (error) { throw error; } {",
    ],
  ]),
  ...faultsIn("HostBlocks", HOST, [
    [
      "an opened slot holds what it held",
      "for (const slot of slots) this.#sealed.delete(slot);",
      "",
    ],
    [
      "all slots are written with the first block",
      "packed.subarray(i * this.slotBytes, (i + 1) * this.slotBytes)",
      "packed.subarray(0, this.slotBytes)",
    ],
    ["no memory is given back", "this.#slots.clear();", ""],
    ["cleared slots hold blocks", "this.#sealed.clear();", ""],
  ]),
];
