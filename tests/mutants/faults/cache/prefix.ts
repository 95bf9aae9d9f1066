/**
 * One-line faults in the prefix index: its tree, its look-ups, its pins.
 *
 * @module
 */

import { faultsIn, type SourceFault } from "../../fault.ts";

const INDEX = ["cache/prefix/prefix_index"];
const SERVICE = ["cache/manager/service_model"];
const TREE = ["cache/prefix/prefix_tree"];
const SIBLINGS = ["cache/prefix/prefix_siblings"];
const INVARIANTS = ["cache/prefix/prefix_invariants"];

/** Every fault listed for it. */
export const PREFIX_FAULTS: readonly SourceFault[] = [
  ...faultsIn("encodeValue", INDEX, [
    [
      "a salt's type does not count",
      "return `n${value};`",
      "return `s${String(value).length}:${value}`",
    ],
    ["keys run into each other", "`s${value.length}:${value}`", "value"],
  ]),
  ...faultsIn("encodeDomain", INDEX, [
    [
      "the salt is left out",
      '`${group}${salt === undefined ? "-" : encodeValue("salt", salt)}`',
      "`${group}-`",
    ],
    [
      "adapters share prefixes",
      "text += encodeValue(`keys.${name}`, keys[name])",
      "encodeValue(`keys.${name}`, keys[name])",
    ],
    [
      "the order of keys counts",
      "Object.keys(keys).sort()",
      "Object.keys(keys)",
    ],
  ]),
  ...faultsIn("PrefixTree", SERVICE, [
    [
      "tokens are not compared on a hit",
      "node.parent === parent && equal(node.tokens, tokens)",
      "node.parent === parent",
    ],
    [
      "the prefix before a block is not compared on a hit",
      "node.parent === parent && equal(node.tokens, tokens)",
      "equal(node.tokens, tokens)",
    ],
    [
      "dead prefixes stay",
      "while (dead && !isAlive(dead)) {",
      "while (false) {",
    ],
    [
      "a dead prefix still counts as a child",
      "if (parent) parent.children--;",
      "",
    ],
    [
      "a stored prefix is not among its siblings",
      "if (node.blocks.size === 0) addSibling(node.parent!.stored, node);",
      "",
    ],
    [
      "a prefix without blocks stays among its siblings",
      "removeSibling(node.parent!.stored, node);",
      "",
    ],
    [
      "the first of several blocks that is lost takes the prefix along",
      "if (node.blocks.size > 0) return;",
      "",
    ],
  ]),
  ...faultsIn("PrefixTree", TREE, [
    ["verify() does not look whether isAlive(node),", "isAlive(node)", "true"],
    [
      "verify() does not look whether this.#find(parent, tokens) === node",
      "this.#find(parent, tokens) === node",
      "true",
    ],
    [
      "verify() does not look whether closestSibling(parent.stored, tokens, 0)?.content === node",
      "closestSibling(parent.stored, tokens, 0)?.content === node",
      "true",
    ],
    [
      "verify() does not look whether node.children === (children.get(node) ?? 0) &&",
      "node.children === (children.get(node) ?? 0) &&",
      "",
    ],
    [
      "verify() does not look whether node.stored.length === (stored.get(node) ?? 0)",
      "node.stored.length === (stored.get(node) ?? 0)",
      "true",
    ],
  ]),
  ...faultsIn("equal", SERVICE, [
    [
      "the last token of a block is not compared",
      "for (let i = 0; i < a.length; i++)",
      "for (let i = 0; i < a.length - 1; i++)",
    ],
  ]),
  ...faultsIn("isAlive", SERVICE, [
    [
      "a prefix dies while others build on it",
      "node.blocks.size > 0 || node.children > 0 ||",
      "node.blocks.size > 0 ||",
    ],
  ]),
  ...faultsIn("PrefixIndex", INDEX, [
    [
      "a block is stored under two prefixes",
      "known === undefined || known === node",
      "true",
    ],
    [
      "reset forgets blocks in use",
      "if (usedBlocks > 0 || this.#host.open > 0) {",
      "if (this.#host.open > 0) {",
    ],
  ]),
  ...faultsIn("PrefixIndex", SERVICE, [
    [
      "reset leaves the marks",
      "for (const id of this.#pool.freeOrder().toReversed()) {",
      "for (const id of []) {",
    ],
    [
      "an eviction is not logged",
      'this.#note({ type: "removed", block, hash: node.hash });',
      "",
    ],
    ["recomputed tokens count as hits", "if (resumed) {", "if (false) {"],
    [
      "no freed block is kept",
      "this.#nodes.get(block)!.blocks.size === 1",
      "false",
    ],
    [
      "a free block stays beside one in use",
      "first !== undefined && this.#pool.refCount(first) === 0",
      "false",
    ],
  ]),
  ...faultsIn("PrefixIndex.evict", SERVICE, [
    [
      "an evicted block stays marked",
      "this.#marks.unmark(id);",
      "",
    ],
  ]),
  ...faultsIn("PrefixIndex.#keep", SERVICE, [
    [
      "every block with a content that was freed is kept",
      "if (!alone) this.#forget(block); return alone",
      "return true",
    ],
  ]),
  ...faultsIn("PrefixLookup", INDEX, [
    [
      "a hit covers the last token",
      "const limit = Math.max(0, tokens.length - 1)",
      "const limit = tokens.length",
    ],
    [
      "a hit goes on behind a block that is gone",
      "missing < 0 ? walk.length : missing",
      "walk.length",
    ],
  ]),
  ...faultsIn("PrefixLookup", SERVICE, [
    [
      "a partial hit is one row too long",
      "rows: closest.rows }",
      "rows: closest.rows + 1 }",
    ],
  ]),
  ...faultsIn("closestSibling", SIBLINGS, [
    [
      "the tokens after the place are not looked at",
      "siblings.slice(Math.max(0, place - 1), place + 1)",
      "siblings.slice(Math.max(0, place - 1), place)",
    ],
    [
      "the tokens before the place are not looked at",
      "siblings.slice(Math.max(0, place - 1), place + 1)",
      "siblings.slice(place, place + 1)",
    ],
  ]),
  ...faultsIn("addSibling", SIBLINGS, [
    [
      "siblings are in no order",
      "siblings.splice(placeOf(siblings, content.tokens, 0), 0, content)",
      "siblings.push(content)",
    ],
  ]),
  ...faultsIn("removeSibling", SIBLINGS, [
    [
      "the next sibling is taken out instead",
      "siblings.splice(placeOf(siblings, content.tokens, 0), 1)",
      "siblings.splice(placeOf(siblings, content.tokens, 0) + 1, 1)",
    ],
  ]),
  ...faultsIn("placeOf", SIBLINGS, [
    [
      "every sibling is looked at",
      "let high = siblings.length",
      "let high = siblings.filter(({ tokens }) => tokens).length",
    ],
  ]),
  ...faultsIn("PinBoard", SERVICE, [
    [
      "a pin holds nothing",
      "this.#pool.allocate(0, { reuse: pin.blocks });",
      "",
    ],
    ["a pin outlives its time", "expiresAt <= now", "expiresAt < now"],
    [
      "an expired pin keeps its blocks",
      "for (const pin of due) this.unpin(pin)",
      "for (const pin of due) this.#pins.delete(pin)",
    ],
    [
      "a pin's time is forgotten",
      "this.#nextExpiry = Math.min(this.#nextExpiry, pin.expiresAt);",
      "",
    ],
    [
      "after the first pins no other comes to its end",
      "(next, { expiresAt }) => Math.min(next, expiresAt)",
      "(next) => next",
    ],
  ]),
  ...faultsIn("PinBoard", INDEX, [
    [
      "a pin can be given back twice",
      "if (!this.#pins.delete(pin)) return false",
      "this.#pins.delete(pin)",
    ],
  ]),
  ...faultsIn("verifyPrefixIndex", INVARIANTS, [
    [
      "verify() does not look where a cached block belongs",
      "nodes.get(id) === node",
      "true",
    ],
    ["verify() does not count cached blocks", "listed === nodes.size", "true"],
    [
      "verify() does not compare marks",
      "pool.isCached(id) === nodes.has(id)",
      "true",
    ],
    ["verify() does not look at pins", "pool.refCount(id) >= count", "true"],
    [
      "verify() does not look for doubles",
      "node.blocks.size === 1 || pool.refCount(id) > 0",
      "true",
    ],
  ]),
];
