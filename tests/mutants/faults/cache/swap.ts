/**
 * One-line faults in what moves blocks to host memory and back, as far as no device is needed.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const SERVICE = ["cache/manager/service_model"];
const MANAGER = ["cache/manager/cache_manager"];
const ROUNDS = ["cache/swap/swap_rounds"];
const MOVES = ["cache/swap/swap_moves"];
const HOST = ["cache/swap/host_blocks"];

/** Every fault listed for it. */
export const SWAP_FAULTS: readonly SourceFault[] = [
  ...faultsIn("Relocation", SERVICE, [
    [
      "a shared block is swapped twice",
      "if (from === NULL_BLOCK || this.#to.has(from)) continue",
      "if (from === NULL_BLOCK) continue",
    ],
    [
      "a shared block that moved is held once",
      "if (seen.has(to)) pool.retain(to);",
      "",
    ],
  ]),
  ...faultsIn("Relocation", MANAGER, [
    [
      "swapped blocks change places",
      "this.#to.set(from, fresh[i])",
      "this.#to.set(from, fresh[fresh.length - 1 - i])",
    ],
  ]),
  ...faultsIn("SwapSpace", SERVICE, [
    [
      "host slots are not given back",
      "if (this.#host) releaseAll(this.#host, state.host);",
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
