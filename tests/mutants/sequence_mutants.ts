/**
 * One-line faults in the cache manager and in what it is put together from.
 *
 * @module
 */

import type { Mutant } from "./mutate.ts";
import { faults, type ServiceFault } from "./service_mutants.ts";

/** A stateful property and no examples: what random use alone must find. */
const MODEL = ["tests/cache/manager/service_model_test.ts"];
const MANAGER = ["tests/cache/manager/cache_manager_test.ts"];
const SIZE_TESTS = ["tests/cache/manager/sequence_sizes_test.ts"];

const MANAGER_FAULTS: readonly ServiceFault[] = [
  {
    name: "groups allocate one after the other",
    find:
      "const fresh = this.#pool.allocate(needs.reduce((sum, n) => sum + n, 0));",
    replace: "const fresh = needs.flatMap((n) => this.#pool.allocate(n));",
  },
  {
    name: "a draft can be taken back below what is committed",
    find:
      'checkInteger("length", length, state.committed, state.tokens.length);',
    replace: 'checkInteger("length", length, 0, state.tokens.length);',
    tests: MANAGER,
  },
  {
    name: "a sequence in a transfer is freed",
    find: 'checkStatus(state, ["running", "preempted", "swapped"]);',
    replace: "",
  },
  {
    name: "an empty sequence is forked",
    find: "state.tokens.length > 0,",
    replace: "true,",
  },
  {
    name: "a resumed sequence counts as a query",
    find: "{ ...query, resumed: true }",
    replace: "query",
  },
  {
    name: "the watermark is given away",
    find: 'return left >= this.#watermark ? "now" : "later";',
    replace: 'return left >= 0 ? "now" : "later";',
    tests: MANAGER,
  },
  {
    name: "shared blocks count as needed",
    find: "(needed - shared.length)",
    replace: "needed",
    tests: MANAGER,
  },
  {
    name: "what can never fit is told to wait",
    find:
      'if (this.#pool.totalBlocks - needed < this.#watermark) return "never";',
    replace: "",
    tests: MANAGER,
  },
  {
    name: "commit leaves blocks out of the window",
    find: "this.#books.dropUnseen(state);",
    replace: "",
  },
  {
    name: "a freed sequence keeps its host slots",
    find:
      'this.#swap.releaseHost(state);\n    state.tokens = [];\n    state.committed = 0;\n    state.status = "freed";',
    replace:
      'state.tokens = [];\n    state.committed = 0;\n    state.status = "freed";',
  },
  {
    name: "a sequence whose host copy is lost keeps its slots",
    find:
      'this.#swap.releaseHost(state);\n    state.tokens = [];\n    state.committed = 0;\n    state.status = "preempted";',
    replace:
      'state.tokens = [];\n    state.committed = 0;\n    state.status = "preempted";',
  },
  {
    name: "a sequence whose host copy is lost cannot be preempted",
    find: 'checkStatus(state, ["running", "swapped"]);',
    replace: 'checkStatus(state, ["running"]);',
    tests: MANAGER,
  },
  {
    name: "a sequence in a transfer is preempted",
    find: 'checkStatus(state, ["running", "swapped"]);',
    replace: "",
  },
  {
    name: "a freed sequence can be used",
    find: "this.#registry.remove(sequence);",
    replace: "",
  },
  {
    name: "swapped blocks stay on the device",
    find:
      'this.#books.drop(state);\n        state.status = "swapped";\n      } else {\n        this.#swap',
    replace: 'state.status = "swapped";\n      } else {\n        this.#swap',
  },
];

const BOOKS: readonly ServiceFault[] = [
  {
    name: "blocks are found before they are committed",
    find: "while ((cursor.blocks + 1) * blockSize <= committed) {",
    replace: "while ((cursor.blocks + 1) * blockSize <= tokens.length) {",
  },
  {
    name: "partial blocks are stored",
    find: "while ((cursor.blocks + 1) * blockSize <= committed) {",
    replace: "while (cursor.blocks * blockSize < committed) {",
  },
  {
    name: "a partial hit's source is handed out as its destination",
    find: "const reuse = [...blocks, ...sources];",
    replace:
      "const reuse = [...blocks]; this.#pool.allocate(0, { reuse: sources.filter((id) => this.#pool.refCount(id) > 0) });",
  },
  {
    name: "a partial hit's source stays held",
    find: "for (const id of sources) this.#pool.release(id);",
    replace: "",
  },
  {
    name: "a failure that is not for lack of blocks is swallowed",
    find: "if (!(error instanceof OutOfBlocksError)) throw error;",
    replace: "",
  },
  {
    name: "preempted sequences keep their place in the index",
    find: "for (const cursor of state.cursors) cursor.close();",
    replace: "",
  },
  {
    name: "two sequences share their tokens",
    find: "tokens: [...from.tokens],",
    replace: "tokens: from.tokens,",
  },
  {
    name: "forks share a place in the index",
    find: "cursors: from.cursors.map((cursor) => cursor.fork()),",
    replace: "cursors: from.cursors,",
  },
  {
    name: "what is swapped in is not found again",
    find:
      "index.cursor({ ...state.domain, group })\n    );\n    this.store(state);",
    replace: "index.cursor({ ...state.domain, group })\n    );",
    tests: MANAGER,
  },
  {
    name: "what a hit's window has passed is kept",
    find: "this.enter(state);\n    this.dropUnseen(state);",
    replace: "this.enter(state);",
    tests: MANAGER,
  },
];

const BEAMS: readonly ServiceFault[] = [
  {
    name: "beams take each other's places",
    find: "Object.assign(state, next[i])",
    replace: "Object.assign(state, next[next.length - 1 - i])",
  },
  {
    name: "two beams have one table",
    find: "if (!heirs.has(parent)) {",
    replace: "if (heirs.add(parent)) {",
  },
  {
    name: "every beam is a fork",
    find: "if (!heirs.has(parent)) {",
    replace: "if (false) {",
    tests: MANAGER,
  },
  {
    name: "a reorder that failed keeps its forks",
    find: "for (const fork of forks) books.drop(fork);",
    replace: "",
  },
  {
    name: "a reorder keeps the blocks of beams that end",
    find: "pool.allocate(count, { release })",
    replace: "pool.allocate(count)",
  },
  {
    name: "beams that end do not count as gone",
    find: "release.forEach(lose);",
    replace: "",
    tests: MANAGER,
  },
  {
    name: "a beam's cursor stays open when it ends",
    find: "for (const cursor of cursors) cursor.close();",
    replace: "",
  },
  {
    name: "every beam copies, the last one too",
    find: "if (holders === 1 && !pool.isCached(tail)) return needed;",
    replace: "",
    tests: MANAGER,
  },
  {
    name: "the last but one copies nothing",
    find: "if (holders === 1 && !pool.isCached(tail)) return needed;",
    replace: "if (holders <= 2 && !pool.isCached(tail)) return needed;",
  },
  {
    name: "a copy takes no holder off",
    find: "lose(tail);",
    replace: "",
    tests: MANAGER,
  },
  {
    name: "a whole block is copied",
    find: "if (end === length || length % blockSize === 0) return needed;",
    replace: "if (end === length) return needed;",
  },
  {
    name: "what is in reserve is asked for again",
    find: "Math.ceil((end - capacity) / blockSize)",
    replace: "Math.ceil((end - length) / blockSize)",
    tests: MANAGER,
  },
];

const REGISTRY: readonly ServiceFault[] = [
  {
    name: "a transfer ends twice",
    find: "this.#transfers.delete(transfer),",
    replace: "this.#transfers.has(transfer),",
  },
  {
    name: "a sequence comes twice",
    find: "new Set(states).size === states.length,",
    replace: "true,",
    tests: MANAGER,
  },
  {
    name: "any sequence may be moved",
    find: "for (const state of states) checkStatus(state, [status]);",
    replace: "",
    tests: MANAGER,
  },
];

const SIZES: readonly ServiceFault[] = [
  {
    name: "a window's peak forgets how blocks lie",
    find: "Math.min(length, left + chunk + this.#blockSize - 1)",
    replace: "Math.min(length, left + chunk)",
  },
  {
    name: "a window's peak is one token too many",
    find: "Math.min(length, left + chunk + this.#blockSize - 1)",
    replace: "Math.min(length, left + chunk + this.#blockSize)",
  },
  {
    name: "only one group counts",
    find: "sum + this.#peakOf(group, length, chunk)",
    replace: "Math.max(sum, this.#peakOf(group, length, chunk))",
  },
  {
    name: "room taken ahead is left out",
    find: "return this.reserve(length, 0) + ",
    replace: "return ",
  },
  {
    name: "a sequence grows past its longest length",
    find: "length <= this.maxLength,",
    replace: "true,",
    tests: MANAGER,
  },
];

const CHECKS: readonly ServiceFault[] = [
  {
    name: "a domain can be edited from outside",
    find: "return structuredClone(domain);",
    replace: "return domain;",
    tests: MANAGER,
  },
  {
    name: "a salt of any type begins a sequence",
    find: "checkTokens(tokens);\n  encodeDomain(domain);",
    replace: "checkTokens(tokens);",
    tests: MANAGER,
  },
];

/** Each makes a check blind to one invariant. */
const INVARIANTS: readonly ServiceFault[] = [
  "pool.refCount(id) === (holders.get(id) ?? 0),",
  "onDevice === tables.length > 0,",
  "onHost === host.length > 0,",
  "table.length === tokens.length,",
  ".every((id) => id !== NULL_BLOCK),",
  "committed <= tokens.length,",
  "indexed && cursor.blocks === Math.floor(committed / pool.blockSize),",
].map((find) => ({
  name: `verify() does not look whether ${find}`,
  find,
  replace: find.startsWith(".") ? " || true," : "true,",
}));

/** Every mutant of the cache manager. */
export const SEQUENCE_MUTANTS: readonly Mutant[] = [
  ...faults("cache_manager.ts", MODEL, MANAGER_FAULTS),
  ...faults("sequence_books.ts", MODEL, BOOKS),
  ...faults("beam_reorder.ts", MODEL, BEAMS),
  ...faults("sequence_registry.ts", MODEL, REGISTRY),
  ...faults("sequence_sizes.ts", SIZE_TESTS, SIZES),
  ...faults("manager_checks.ts", MODEL, CHECKS),
  ...faults(
    "manager_invariants.ts",
    ["tests/cache/manager/manager_invariants_test.ts"],
    INVARIANTS,
  ),
];
