import { assert, assertEquals, assertThrows } from "@std/assert";
import { chainHash } from "../../../src/cache/prefix/prefix_hash.ts";
import {
  type PrefixNode,
  PrefixTree,
} from "../../../src/cache/prefix/prefix_tree.ts";

type Loose = { -readonly [K in keyof PrefixNode]: PrefixNode[K] };

/** A root with a child in blocks 1 and 2, which has one in block 3. */
function soundTree() {
  const tree = new PrefixTree(chainHash);
  const root = tree.ensureRoot("domain");
  const first = tree.ensure(root, [1, 2]);
  const second = tree.ensure(first, [3, 4]);
  tree.hold(first, 1);
  tree.hold(first, 2);
  tree.hold(second, 3);
  return { tree, root, first, second };
}

Deno.test("PrefixTree keeps a prefix while anything needs it", () => {
  const { tree, root, first, second } = soundTree();
  tree.verify();
  assertEquals([root.children, first.children, second.children], [1, 1, 0]);
  tree.drop(first, 1);
  assertEquals(root.stored, [first]);
  tree.drop(first, 2);
  assertEquals([root.stored, root.children], [[], 1], "a child follows");
  tree.verify();
  second.cursors++;
  tree.drop(second, 3);
  assert(tree.find(first, [3, 4]) === second, "a cursor stands there");
  tree.verify();
  second.cursors--;
  tree.prune(second);
  assertEquals([...tree.nodes()], []);
  assertEquals(tree.findRoot("domain"), undefined);
});

const faults: [string, (nodes: Record<string, Loose>) => void][] = [
  ["every prefix is kept for a reason", ({ second }) => second.blocks.clear()],
  ["every prefix is found", ({ second }) => second.tokens = [3, 5]],
  ["every prefix is found", ({ first, second, root }) => {
    second.parent = root as PrefixNode;
    first.children--;
    root.children++;
  }],
  ["every stored prefix is found", ({ root }) => root.stored.pop()],
  ["every prefix knows what follows", ({ root }) => root.children++],
  ["every prefix knows what follows", ({ first, second }) => {
    first.stored.push(second as PrefixNode);
  }],
];

faults.forEach(([rule, corrupt], i) => {
  Deno.test(`PrefixTree.verify() names the invariant ${i}: ${rule}`, () => {
    const { tree, ...nodes } = soundTree();
    corrupt(nodes);
    assertThrows(() => tree.verify(), Error, `violated: ${rule}`);
  });
});
