/**
 * One-line faults in the cache manager and what it is put together from.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const SERVICE = ["cache/manager/service_model"];
const MANAGER = ["cache/manager/cache_manager"];
const SIZES = ["cache/manager/sequence_sizes"];
const INVARIANTS = ["cache/manager/manager_invariants"];

/** Every fault listed for it. */
export const MANAGER_FAULTS: readonly SourceFault[] = [
  ...faultsIn("matchGroups", SERVICE, [
    [
      "a hit of the manager covers the last token",
      "const limit = Math.max(0, tokens.length - 1)",
      "const limit = tokens.length",
    ],
    [
      "a hit needs only one group",
      "groups.every((group, i) => {",
      "groups.some((group, i) => {",
    ],
    [
      "a windowed hit lacks a block that the window reaches",
      ">= depth - first",
      ">= depth - first - 1",
    ],
    [
      "groups share blocks",
      "index?.walk(tokens, { ...domain, group })",
      "index?.walk(tokens, { ...domain, group: group * 0 })",
    ],
    [
      "a partial hit is as long as the longest group's",
      "Math.min(...partials",
      "Math.max(...partials",
    ],
  ]),
  ...faultsIn("firstSeen", SERVICE, [
    [
      "the window is one key short",
      "Math.max(0, length - left)",
      "Math.max(0, length - left + 1)",
    ],
    [
      "the window is one key long",
      "Math.max(0, length - left)",
      "Math.max(0, length - left - 1)",
    ],
  ]),
  ...faultsIn("CacheManager", SERVICE, [
    [
      "groups allocate one after the other",
      "const fresh = this.#pool.allocate(needs.reduce((sum, n) => sum + n, 0))",
      "const fresh = needs.flatMap((n) => this.#pool.allocate(n))",
    ],
    [
      "a sequence in a transfer is freed",
      'checkStatus(state, ["running", "preempted", "swapped"]);',
      "",
    ],
    ["an empty sequence is forked", "state.tokens.length > 0", "true"],
    [
      "a resumed sequence counts as a query",
      "{ ...query, resumed: true }",
      "query",
    ],
    [
      "a sequence in a transfer is preempted",
      'checkStatus(state, ["running", "swapped"]);',
      "",
    ],
    ["a freed sequence can be used", "this.#registry.remove(sequence);", ""],
  ]),
  ...faultsIn("CacheManager", MANAGER, [
    [
      "a draft can be taken back below what is committed",
      'checkInteger("length", length, state.committed, state.tokens.length)',
      'checkInteger("length", length, 0, state.tokens.length)',
    ],
    [
      "the watermark is given away",
      "return left >= this.#watermark &&",
      "return left >= 0 &&",
    ],
    ["shared blocks count as needed", "(needed - shared.length)", "needed"],
    [
      "what can never fit is told to wait",
      'if (this.#pool.totalBlocks - needed < this.#watermark) return "never";',
      "",
    ],
    [
      "a sequence whose host copy is lost cannot be preempted",
      'checkStatus(state, ["running", "swapped"])',
      'checkStatus(state, ["running"])',
    ],
  ]),
  ...faultsIn("CacheManager.free", SERVICE, [
    [
      "a freed sequence keeps its host slots",
      "this.#swap.releaseHost(state);",
      "",
    ],
  ]),
  ...faultsIn("CacheManager.preempt", SERVICE, [
    [
      "a sequence whose host copy is lost keeps its slots",
      "this.#swap.releaseHost(state);",
      "",
    ],
  ]),
  ...faultsIn("CacheManager.completeSwap", SERVICE, [
    [
      "swapped blocks stay on the device",
      "this.#tables.drop(state);",
      "",
    ],
  ]),
  ...faultsIn("SequenceTables", SERVICE, [
    [
      "blocks are found before they are committed",
      "while ((cursor.blocks + 1) * blockSize <= committed) {",
      "while ((cursor.blocks + 1) * blockSize <= tokens.length) {",
    ],
    [
      "partial blocks are stored",
      "while ((cursor.blocks + 1) * blockSize <= committed) {",
      "while (cursor.blocks * blockSize < committed) {",
    ],
    [
      "a partial hit's source is handed out as its destination",
      "const reuse = [...blocks, ...sources]",
      "const reuse = [...blocks]; this.#pool.allocate(0, { reuse: sources.filter((id) => this.#pool.refCount(id) > 0) })",
    ],
    [
      "a partial hit's source stays held",
      "for (const id of sources) this.#pool.release(id);",
      "",
    ],
    [
      "a failure that is not for lack of blocks is swallowed",
      "if (!(error instanceof OutOfBlocksError)) throw error;",
      "",
    ],
    [
      "preempted sequences keep their place in the index",
      "for (const cursor of [...cursors, ...stateCursors]) cursor.close();",
      "",
    ],
    [
      "two sequences share their tokens",
      "tokens: [...from.tokens]",
      "tokens: from.tokens",
    ],
    [
      "forks share a place in the index",
      "cursors: from.cursors.map((cursor) => cursor.fork())",
      "cursors: from.cursors",
    ],
  ]),
  ...faultsIn("SequenceTables.commit", SERVICE, [
    [
      "commit leaves blocks out of the window",
      "this.dropUnseen(state);",
      "",
    ],
  ]),
  ...faultsIn("SequenceTables.commit", MANAGER, [
    [
      "tables are not committed",
      "for (const table of state.tables) table.commit(length);",
      "",
    ],
  ]),
  ...faultsIn("SequenceTables.enter", MANAGER, [
    [
      "what is swapped in is not found again",
      "this.store(state);",
      "",
    ],
  ]),
  ...faultsIn("SequenceTables.begin", MANAGER, [
    [
      "what a hit's window has passed is kept",
      "this.dropUnseen(state);",
      "",
    ],
  ]),
  ...faultsIn("reorderBeams", SERVICE, [
    [
      "beams take each other's places",
      "Object.assign(state, next[i])",
      "Object.assign(state, next[next.length - 1 - i])",
    ],
    [
      "two beams have one table",
      "if (!heirs.has(parent)) {",
      "if (heirs.add(parent)) {",
    ],
    [
      "a reorder that failed keeps its forks",
      "for (const fork of forks) tables.drop(fork);",
      "",
    ],
    [
      "a reorder keeps the blocks of beams that end",
      "pool.allocate(count, { release })",
      "pool.allocate(count)",
    ],
    [
      "a beam's cursor stays open when it ends",
      "[...ended.cursors, ...ended.stateCursors]",
      "ended.stateCursors",
    ],
  ]),
  ...faultsIn("reorderBeams", MANAGER, [
    ["every beam is a fork", "if (!heirs.has(parent)) {", "if (false) {"],
  ]),
  ...faultsIn("SequenceRegistry", SERVICE, [
    [
      "a transfer ends twice",
      "this.#transfers.delete(transfer)",
      "this.#transfers.has(transfer)",
    ],
  ]),
  ...faultsIn("SequenceRegistry", MANAGER, [
    [
      "a sequence comes twice",
      "new Set(states).size === states.length",
      "true",
    ],
    [
      "any sequence may be moved",
      "for (const state of states) checkStatus(state, [status]);",
      "",
    ],
  ]),
  ...faultsIn("SequenceSizes", SIZES, [
    [
      "a window's peak forgets how blocks lie",
      "Math.min(length, left + chunk + this.#blockSize - 1)",
      "Math.min(length, left + chunk)",
    ],
    [
      "a window's peak is one token too many",
      "Math.min(length, left + chunk + this.#blockSize - 1)",
      "Math.min(length, left + chunk + this.#blockSize)",
    ],
    [
      "only one group counts",
      "sum + this.#peakOf(group, length, chunk)",
      "Math.max(sum, this.#peakOf(group, length, chunk))",
    ],
    [
      "room taken ahead is left out",
      "return this.ahead(length, 0) + ",
      "return ",
    ],
  ]),
  ...faultsIn("SequenceSizes", MANAGER, [
    [
      "a sequence grows past its longest length",
      "length <= this.maxLength",
      "true",
    ],
  ]),
  ...faultsIn("copyDomain", MANAGER, [
    [
      "a domain can be edited from outside",
      "return structuredClone(domain)",
      "return domain",
    ],
  ]),
  ...faultsIn("checkBeginning", MANAGER, [
    [
      "a salt of any type begins a sequence",
      "encodeDomain(domain);",
      "",
    ],
  ]),
  ...faultsIn("verifyCounts", INVARIANTS, [
    [
      "verify() does not look whether pool.refCount(id) === (holders.get(id) ?? 0)",
      "pool.refCount(id) === (holders.get(id) ?? 0)",
      "true",
    ],
  ]),
  ...faultsIn("verifyManager", INVARIANTS, [
    [
      "verify() does not look whether tables are committed alike",
      "table.committed === committed",
      "true",
    ],
    [
      "verify() does not look whether onDevice === tables.length > 0",
      "onDevice === tables.length > 0",
      "true",
    ],
    [
      "verify() does not look whether onHost === host.length > 0",
      "onHost === host.length > 0",
      "true",
    ],
    [
      "verify() does not look whether table.length === tokens.length",
      "table.length === tokens.length",
      "true",
    ],
    [
      "verify() does not look whether .every((id) => id !== NULL_BLOCK)",
      ".every((id) => id !== NULL_BLOCK)",
      " || true",
    ],
    [
      "verify() does not look whether committed <= tokens.length",
      "committed <= tokens.length",
      "true",
    ],
    [
      "verify() does not look whether cursors are as far as what is committed",
      "(indexed || state.recurrent !== undefined) && cursor.blocks === Math.floor(committed / pool.blockSize)",
      "true",
    ],
  ]),
];
