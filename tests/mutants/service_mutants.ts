/**
 * One-line faults in the prefix index, the swap space and what they use.
 *
 * @module
 */

import { type Fault, faultsIn } from "./allocator_mutants.ts";
import type { Mutant } from "./mutate.ts";

/** A fault that other tests than its file's must notice. */
export type ServiceFault = Fault & { readonly tests?: readonly string[] };

/** A stateful property and no examples: what random use alone must find. */
const MODEL = ["tests/cache/manager/service_model_test.ts"];
const INDEX = ["tests/cache/prefix/prefix_index_test.ts"];
const SIBLING_TESTS = ["tests/cache/prefix/prefix_siblings_test.ts"];
const MANAGER = ["tests/cache/manager/cache_manager_test.ts"];
const MAPPER = ["tests/repro/mapper_simulator_test.ts"];

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
    name: "an unmarked free block is evicted last",
    find: "this.#free.remove(id);\n    this.#free.pushFront(id);",
    replace: "",
  },
  {
    name: "a double that was freed stays cached",
    find: "this.#cached[id] === 1 && !this.#onFree(id)",
    replace: "false",
  },
];

const POOL_ROOM: readonly ServiceFault[] = [
  {
    name: "blocks to be reused count as room",
    find: "move(id, -1);",
    replace: "move(id, 0);",
    tests: INDEX,
  },
  {
    name: "released blocks do not count as room",
    find: "if (holds === references[id]) move(id, 1);",
    replace: "",
    tests: MANAGER,
  },
  {
    name: "holds are given back twice",
    find: "holds <= references[id],",
    replace: "true,",
    tests: INDEX,
  },
  {
    name: "free and evictable blocks are confused",
    find: "if (cached[id] === 1) evictable += blocks;",
    replace: "if (cached[id] === 0) evictable += blocks;",
    tests: INDEX,
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
  {
    name: "a position lies in the block before",
    find: "return this.#blocks[Math.floor(position / this.#pool.blockSize)];",
    replace: "return this.#blocks[Math.ceil(position / this.#pool.blockSize)];",
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
    find: "node.blocks.size > 0 || node.children > 0 ||",
    replace: "node.blocks.size > 0 ||",
  },
  {
    name: "dead prefixes stay",
    find: "while (dead && !isAlive(dead)) {",
    replace: "while (false) {",
  },
  {
    name: "a dead prefix still counts as a child",
    find: "if (parent) parent.children--;",
    replace: "",
  },
  {
    name: "a stored prefix is not among its siblings",
    find: "if (node.blocks.size === 0) addSibling(node.parent!.stored, node);",
    replace: "",
  },
  {
    name: "a prefix without blocks stays among its siblings",
    find: "removeSibling(node.parent!.stored, node);",
    replace: "",
  },
  {
    name: "the first of several blocks that is lost takes the prefix along",
    find: "if (node.blocks.size > 0) return;",
    replace: "",
  },
];

const PREFIX_INDEX: readonly ServiceFault[] = [
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
  {
    name: "every block with a content that was freed is kept",
    find: "if (!alone) this.#forget(block);\n    return alone;",
    replace: "return true;",
  },
  {
    name: "no freed block is kept",
    find: "this.#nodes.get(block)!.blocks.size === 1;",
    replace: "false;",
  },
  {
    name: "a free block stays beside one in use",
    find: "first !== undefined && this.#pool.refCount(first) === 0",
    replace: "false",
  },
];

const LOOKUP: readonly ServiceFault[] = [
  {
    name: "a hit covers the last token",
    find: "const limit = Math.max(0, tokens.length - 1);",
    replace: "const limit = tokens.length;",
    tests: INDEX,
  },
  {
    name: "a partial hit is one row too long",
    find: "rows: closest.rows }",
    replace: "rows: closest.rows + 1 }",
  },
  {
    name: "a hit goes on behind a block that is gone",
    find: "missing < 0 ? walk.length : missing,",
    replace: "walk.length,",
    tests: INDEX,
  },
];

const SIBLINGS: readonly ServiceFault[] = [
  {
    name: "the tokens after the place are not looked at",
    find: "siblings.slice(Math.max(0, place - 1), place + 1)",
    replace: "siblings.slice(Math.max(0, place - 1), place)",
  },
  {
    name: "the tokens before the place are not looked at",
    find: "siblings.slice(Math.max(0, place - 1), place + 1)",
    replace: "siblings.slice(place, place + 1)",
  },
  {
    name: "siblings are in no order",
    find: "siblings.splice(placeOf(siblings, content.tokens, 0), 0, content);",
    replace: "siblings.push(content);",
  },
  {
    name: "the next sibling is taken out instead",
    find: "siblings.splice(placeOf(siblings, content.tokens, 0), 1);",
    replace: "siblings.splice(placeOf(siblings, content.tokens, 0) + 1, 1);",
  },
  {
    name: "every sibling is looked at",
    find: "let high = siblings.length;",
    replace: "let high = siblings.filter(({ tokens }) => tokens).length;",
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
  {
    name: "a pin's time is forgotten",
    find: "this.#nextExpiry = Math.min(this.#nextExpiry, pin.expiresAt);",
    replace: "",
  },
  {
    name: "after the first pins no other comes to its end",
    find: "(next, { expiresAt }) => Math.min(next, expiresAt),",
    replace: "(next) => next,",
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
  {
    name: "verify() does not look for doubles",
    find: "node.blocks.size === 1 || pool.refCount(id) > 0,",
    replace: "true,",
  },
];

/** The same of the tree of prefixes. */
const TREE_INVARIANTS: readonly ServiceFault[] = [
  "isAlive(node),",
  "this.#find(parent, tokens) === node,",
  "closestSibling(parent.stored, tokens, 0)?.content === node,",
  "node.children === (children.get(node) ?? 0) &&",
  "node.stored.length === (stored.get(node) ?? 0),",
].map((find) => ({
  name: `verify() does not look whether ${find}`,
  find,
  replace: find.endsWith("&&") ? "" : "true,",
}));

/** As those given, but where a fault names tests itself, with these. */
export function faults(
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
  ...faults("pool_room.ts", INDEX, POOL_ROOM),
  ...faults("block_table.ts", [...MODEL, ...MANAGER], BLOCK_TABLE),
  ...faults("prefix_hash.ts", INDEX, HASH),
  ...faults("prefix_tree.ts", MODEL, TREE),
  ...faults(
    "prefix_tree.ts",
    ["tests/cache/prefix/prefix_tree_test.ts"],
    TREE_INVARIANTS,
  ),
  ...faults("prefix_index.ts", MODEL, PREFIX_INDEX),
  ...faults("prefix_lookup.ts", MODEL, LOOKUP),
  ...faults("prefix_siblings.ts", SIBLING_TESTS, SIBLINGS),
  ...faults("prefix_pins.ts", MODEL, PINS),
  ...faults("group_match.ts", MODEL, GROUPS),
  ...faults("swap_space.ts", MODEL, SWAP),
  ...faults("growth.ts", ["tests/cache/extent/growth_test.ts"], GROWTH),
  ...faults("mapper_simulator.ts", MAPPER, MAPPER_FAULTS),
  ...faults(
    "prefix_invariants.ts",
    ["tests/cache/prefix/prefix_invariants_test.ts"],
    INVARIANTS,
  ),
];
