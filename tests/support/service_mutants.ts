/**
 * One-line faults in the prefix index, the cache manager and what they use.
 *
 * @module
 */

import { type Fault, faultsIn } from "./allocator_mutants.ts";
import type { Mutant } from "./mutate.ts";

/** A fault that other tests than its file's must notice. */
type ServiceFault = Fault & { readonly tests?: readonly string[] };

/** A stateful property and no examples: what random use alone must find. */
const MODEL = ["tests/cache/service_model_test.ts"];
const INDEX = ["tests/cache/prefix_index_test.ts"];
const MANAGER = ["tests/cache/cache_manager_test.ts"];
const MAPPER = ["tests/cache/mapper_simulator_test.ts"];

const FREE_LIST: readonly ServiceFault[] = [
  {
    name: "the back link of an id pushed to the front is not set",
    find: "this.#previous[id] = 0;",
    replace: "",
  },
  {
    name: "the ring's front does not move on a push",
    find: "this.#next[0] = id;",
    replace: "",
  },
];

const BLOCK_POOL: readonly ServiceFault[] = [
  {
    name: "a block that is handed out again stays cached",
    find: "this.#evict(id);",
    replace: "",
  },
  {
    name: "the index is not told of an eviction",
    find: "this.#onEvict!(id);",
    replace: "",
  },
  {
    name: "an evicted block still counts as evictable",
    find: "this.#evictableBlocks--;\n    this.#onEvict!(id);",
    replace: "this.#onEvict!(id);",
  },
  {
    name: "a reused block still counts as evictable",
    find: "this.#evictableBlocks -= this.#cached[id];",
    replace: "",
  },
  {
    name: "a reused block stays on the free list",
    find: "this.#free.remove(id);\n      this.#evictableBlocks",
    replace: "this.#evictableBlocks",
  },
  {
    name: "a freed cached block does not count as evictable",
    find: "this.#evictableBlocks += this.#cached[id];",
    replace: "",
  },
  {
    name: "cached blocks are evicted while others are free",
    find: "if (this.#onEvict !== undefined && this.#cached[id] === 0) {",
    replace: "if (false) {",
  },
  {
    name: "blocks to be reused count as room",
    find: "move(id, -1);",
    replace: "move(id, 0);",
    tests: INDEX,
  },
  {
    name: "released blocks do not count as room",
    find: "if (holds === this.#references[id]) move(id, 1);",
    replace: "",
    tests: MANAGER,
  },
  {
    name: "holds are given back twice",
    find: "holds <= this.#references[id],",
    replace: "true,",
    tests: INDEX,
  },
  {
    name: "free and evictable blocks are confused",
    find: "if (this.#cached[id] === 1) evictable += blocks;",
    replace: "if (this.#cached[id] === 0) evictable += blocks;",
    tests: INDEX,
  },
  {
    name: "an unmarked free block is evicted last",
    find: "this.#free.remove(id);\n    this.#free.pushFront(id);",
    replace: "",
  },
];

const BLOCK_TABLE: readonly ServiceFault[] = [
  {
    name: "a block of reserve is shared with a fork",
    find: "this.#blocks.slice(0, written);",
    replace: "[...this.#blocks];",
  },
  {
    name: "a fork forgets what was dropped",
    find: "fork.#dropped = this.#dropped;",
    replace: "",
  },
  {
    name: "a block that the window still reaches is dropped",
    find: "const end = Math.floor(position / this.#pool.blockSize);",
    replace: "const end = Math.ceil(position / this.#pool.blockSize);",
  },
  {
    name: "a dropped block is not given back",
    find: "this.#pool.release(this.#blocks[i]);",
    replace: "",
  },
  {
    name: "a dropped block stays in the table",
    find: "this.#blocks[i] = NULL_BLOCK;",
    replace: "",
  },
  {
    name: "dropped blocks are dropped again",
    find: "this.#dropped += given;",
    replace: "",
  },
  {
    name: "a dropped slot can be read",
    find: 'checkInteger("position", position, this.dropped, this.#length - 1);',
    replace: 'checkInteger("position", position, 0, this.#length - 1);',
  },
];

const HASH: readonly ServiceFault[] = [
  {
    name: "a salt's type does not count",
    find: "return `n${value};`;",
    replace: "return `s${String(value).length}:${value}`;",
  },
  {
    name: "keys run into each other",
    find: "`s${value.length}:${value}`;",
    replace: "value;",
  },
  {
    name: "the salt is left out",
    find: 'salt === undefined ? "-" : encodeValue("salt", salt)',
    replace: '"-"',
  },
  {
    name: "adapters share prefixes",
    find: "text += encodeValue(`keys.${name}`, keys[name]);",
    replace: "encodeValue(`keys.${name}`, keys[name]);",
  },
  {
    name: "the order of keys counts",
    find: "Object.keys(keys).sort()",
    replace: "Object.keys(keys)",
  },
];

const TREE: readonly ServiceFault[] = [
  {
    name: "tokens are not compared on a hit",
    find: "node.parent === parent && equal(node.tokens, tokens)",
    replace: "node.parent === parent",
  },
  {
    name: "the prefix before a block is not compared on a hit",
    find: "node.parent === parent && equal(node.tokens, tokens)",
    replace: "equal(node.tokens, tokens)",
  },
  {
    name: "the last token of a block is not compared",
    find: "for (let i = 0; i < a.length; i++)",
    replace: "for (let i = 0; i < a.length - 1; i++)",
  },
  {
    name: "a prefix dies while others build on it",
    find: "node.blocks.length > 0 || node.children.size > 0 ||",
    replace: "node.blocks.length > 0 ||",
  },
  {
    name: "dead prefixes stay",
    find: "while (dead && !isAlive(dead)) {",
    replace: "while (false) {",
  },
  {
    name: "a dead prefix stays among its parent's children",
    find: "discard(siblings, dead);",
    replace: "",
  },
];

const PREFIX_INDEX: readonly ServiceFault[] = [
  {
    name: "a hit covers the last token",
    find: "const limit = Math.max(0, tokens.length - 1);",
    replace: "const limit = tokens.length;",
    tests: INDEX,
  },
  {
    name: "a partial hit is one row too long",
    find:
      "if (source !== NULL_BLOCK && rows > best.rows) best = { source, rows };",
    replace:
      "if (source !== NULL_BLOCK && rows > best.rows) best = { source, rows: rows + 1 };",
  },
  {
    name: "the first partial hit is taken, not the longest",
    find: "rows > best.rows)",
    replace: "best.rows === 0 && rows > 0)",
    tests: INDEX,
  },
  {
    name: "a partial hit may have no block",
    find: "if (source !== NULL_BLOCK && rows",
    replace: "if (rows",
  },
  {
    name: "evicting one block forgets all with its content",
    find: "node.blocks.splice(node.blocks.indexOf(block), 1);",
    replace: "node.blocks.length = 0;",
    tests: INDEX,
  },
  {
    name: "evicting a block forgets the wrong duplicate",
    find: "node.blocks.splice(node.blocks.indexOf(block), 1);",
    replace: "node.blocks.pop();",
    tests: INDEX,
  },
  {
    name: "a block is stored under two prefixes",
    find: "known === undefined || known === node,",
    replace: "true,",
    tests: INDEX,
  },
  {
    name: "reset forgets blocks in use",
    find: "if (usedBlocks > 0 || this.#host.open > 0) {",
    replace: "if (this.#host.open > 0) {",
    tests: INDEX,
  },
  {
    name: "reset leaves the marks",
    find: "for (const id of this.#pool.freeOrder().toReversed()) {",
    replace: "for (const id of []) {",
  },
  {
    name: "an eviction is not logged",
    find: 'this.#note({ type: "removed", block, hash: node.hash });',
    replace: "",
  },
  {
    name: "recomputed tokens count as hits",
    find: "if (resumed) {",
    replace: "if (false) {",
  },
  {
    name: "an evicted block stays marked",
    find: "this.#marks.unmark(id);\n    this.#forget(id);",
    replace: "this.#forget(id);",
  },
];

const PINS: readonly ServiceFault[] = [
  {
    name: "a pin holds nothing",
    find: "this.#pool.allocate(0, { reuse: pin.blocks });",
    replace: "",
  },
  {
    name: "a pin outlives its time",
    find: "expiresAt <= now",
    replace: "expiresAt < now",
  },
  {
    name: "an expired pin keeps its blocks",
    find: "for (const pin of due) this.unpin(pin);",
    replace: "for (const pin of due) this.#pins.delete(pin);",
  },
  {
    name: "a pin can be given back twice",
    find: "if (!this.#pins.delete(pin)) return false;",
    replace: "this.#pins.delete(pin);",
    tests: INDEX,
  },
];

const GROUPS: readonly ServiceFault[] = [
  {
    name: "a hit of the manager covers the last token",
    find: "const limit = Math.max(0, tokens.length - 1);",
    replace: "const limit = tokens.length;",
  },
  {
    name: "a hit needs only one group",
    find: "groups.every((group, i) => {",
    replace: "groups.some((group, i) => {",
  },
  {
    name: "a windowed hit lacks a block that the window reaches",
    find: ">= depth - first;",
    replace: ">= depth - first - 1;",
  },
  {
    name: "groups share blocks",
    find: "index.walk(tokens, { ...domain, group })",
    replace: "index.walk(tokens, { ...domain, group: group * 0 })",
  },
  {
    name: "a partial hit is as long as the longest group's",
    find: "const rows = Math.min(...partials",
    replace: "const rows = Math.max(...partials",
  },
  {
    name: "the window is one key short",
    find: "Math.max(0, length - left);",
    replace: "Math.max(0, length - left + 1);",
  },
  {
    name: "the window is one key long",
    find: "Math.max(0, length - left);",
    replace: "Math.max(0, length - left - 1);",
  },
];

const MANAGER_FAULTS: readonly ServiceFault[] = [
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
    name: "commit leaves blocks out of the window",
    find: "this.#store(state);\n    this.#dropUnseen(state);\n  }",
    replace: "this.#store(state);\n  }",
  },
  {
    name: "a beam goes on from another's tokens",
    find: "this.#inherit(states[i], before[p], forks[i])",
    replace: "this.#inherit(states[i], before[i], forks[i])",
  },
  {
    name: "a reorder that failed keeps its forks",
    find: "for (const table of forks.flat()) table.free();",
    replace: "",
  },
  {
    name: "a reorder keeps the old beams' blocks",
    find: "        release,\n      });",
    replace: "        release: [],\n      });",
  },
  {
    name: "every beam copies, the last one too",
    find: "return needed - (alone ? 1 : 0) + reserve;",
    replace: "return needed + reserve;",
    tests: MANAGER,
  },
  {
    name: "the last beam's copy is not asked for",
    find: "const alone = holders === 1 &&",
    replace: "const alone = holders <= 2 &&",
  },
  {
    name: "a reordered beam's cursor stays open",
    find:
      "for (const { cursors } of before) cursors.forEach((c) => c.close());",
    replace: "",
  },
  {
    name: "a freed sequence keeps its host slots",
    find: "this.#swap.releaseHost(state);\n    state.tokens = [];",
    replace: "state.tokens = [];",
  },
  {
    name: "a sequence in a transfer is freed",
    find: 'checkStatus(state, ["running", "preempted", "swapped"]);',
    replace: "",
  },
  {
    name: "a freed sequence can be used",
    find: "this.#states.delete(sequence);",
    replace: "",
  },
  {
    name: "a transfer ends twice",
    find: "this.#transfers.delete(transfer),",
    replace: "this.#transfers.has(transfer),",
  },
  {
    name: "swapped blocks stay on the device",
    find:
      'this.#dropDevice(state);\n        state.status = "swapped";\n      } else {\n        this.#swap',
    replace: 'state.status = "swapped";\n      } else {\n        this.#swap',
  },
  {
    name: "what is swapped in is not found again",
    find: "this.#openCursors(state);\n        this.#store(state);",
    replace: "this.#openCursors(state);",
    tests: MANAGER,
  },
  {
    name: "preempted sequences keep their place in the index",
    find: "for (const cursor of state.cursors) cursor.close();",
    replace: "",
  },
  {
    name: "an empty sequence is forked",
    find: "state.tokens.length > 0,",
    replace: "true,",
  },
  {
    name: "two sequences share their tokens",
    find: "to.tokens = [...from.tokens];",
    replace: "to.tokens = from.tokens;",
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
    name: "a domain can be edited from outside",
    find: "return structuredClone(domain);",
    replace: "return domain;",
    tests: MANAGER,
  },
];

const SWAP: readonly ServiceFault[] = [
  {
    name: "a shared block is swapped twice",
    find: "if (from === NULL_BLOCK || this.#to.has(from)) continue;",
    replace: "if (from === NULL_BLOCK) continue;",
  },
  {
    name: "a shared block that moved is held once",
    find: "if (seen.has(to)) pool.retain(to);",
    replace: "",
  },
  {
    name: "swapped blocks change places",
    find: "this.#to.set(from, fresh[i])",
    replace: "this.#to.set(from, fresh[fresh.length - 1 - i])",
    tests: MANAGER,
  },
  {
    name: "host slots are not given back",
    find: "if (this.#host) releaseAll(this.#host, state.host);",
    replace: "",
  },
];

const GROWTH: readonly ServiceFault[] = [
  {
    name: "a power of two is doubled once more",
    find: "2 ** Math.ceil(Math.log2(length));",
    replace: "2 ** Math.floor(Math.log2(length) + 1);",
  },
  {
    name: "growth exceeds the longest length",
    find: "Math.min(nextPowerOfTwo(length), maxLength)",
    replace: "nextPowerOfTwo(length)",
  },
];

const MAPPER_FAULTS: readonly ServiceFault[] = [
  {
    name: "best fit takes the largest",
    find: "enough.reduce(least)",
    replace: "enough.reduce(most)",
  },
  {
    name: "pages are taken from slots that need them",
    find: "slot.mapped > this.#pagesFor(slot.length);",
    replace: "slot.mapped > 0;",
  },
  {
    name: "pages are taken from the lowest slot up",
    find: "this.#slots.findLast((s) => !s.active && surplus(s))",
    replace: "this.#slots.find((s) => !s.active && surplus(s))",
  },
  {
    name: "maps ahead count as waited for",
    find: "this.#map(slot, 1);",
    replace:
      "this.#map(slot, 1); this.#counters.criticalMapCalls += this.#tensors;",
  },
  {
    name: "one tensor is counted",
    find: "return count * this.#tensors;",
    replace: "return count;",
  },
  {
    name: "a step that does not fit has changed lengths",
    find: "if (needed > this.#rows) {",
    replace: "if (needed > this.#rows + 1) {",
  },
  {
    name: "a freed slot loses its pages",
    find: "this.#slots[slot].active = false;",
    replace: "this.#slots[slot].active = false; this.#slots[slot].mapped = 0;",
  },
];

/** Each makes a check blind to one invariant. */
const INVARIANTS: readonly ServiceFault[] = [
  {
    name: "verify() does not look where a cached block belongs",
    find: "nodes.get(id) === node,",
    replace: "true,",
  },
  {
    name: "verify() does not count cached blocks",
    find: "listed === nodes.size,",
    replace: "true,",
  },
  {
    name: "verify() does not compare marks",
    find: "pool.isCached(id) === nodes.has(id),",
    replace: "true,",
  },
  {
    name: "verify() does not look at pins",
    find: "pool.refCount(id) >= count,",
    replace: "true,",
  },
];

/** As those given, but where a fault names tests itself, with these. */
function faults(
  file: string,
  tests: readonly string[],
  list: readonly ServiceFault[],
): Mutant[] {
  return list.flatMap((fault) => faultsIn(file, fault.tests ?? tests, [fault]));
}

/** Every mutant of the service half of the cache. */
export const SERVICE_MUTANTS: readonly Mutant[] = [
  ...faults("free_list.ts", MODEL, FREE_LIST),
  ...faults("block_pool.ts", MODEL, BLOCK_POOL),
  ...faults("block_table.ts", [...MODEL, ...MANAGER], BLOCK_TABLE),
  ...faults("prefix_hash.ts", INDEX, HASH),
  ...faults("prefix_tree.ts", MODEL, TREE),
  ...faults("prefix_index.ts", MODEL, PREFIX_INDEX),
  ...faults("prefix_pins.ts", MODEL, PINS),
  ...faults("group_match.ts", MODEL, GROUPS),
  ...faults("cache_manager.ts", MODEL, MANAGER_FAULTS),
  ...faults("swap_space.ts", MODEL, SWAP),
  ...faults("growth.ts", ["tests/cache/growth_test.ts"], GROWTH),
  ...faults("mapper_simulator.ts", MAPPER, MAPPER_FAULTS),
  ...faults(
    "prefix_invariants.ts",
    ["tests/cache/prefix_invariants_test.ts"],
    INVARIANTS,
  ),
];
