import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  addSibling,
  closestSibling,
  removeSibling,
} from "../../../src/cache/prefix/prefix_siblings.ts";
import { property } from "../../support/property.ts";

interface Content {
  readonly tokens: readonly number[];
}

/** How many tokens two lists have in common at their starts. */
function common(a: readonly number[], b: readonly number[]): number {
  let rows = 0;
  while (rows < a.length && rows < b.length && a[rows] === b[rows]) rows++;
  return rows;
}

const token = fc.nat(2);
const block = fc.array(token, { minLength: 3, maxLength: 3 });

property(
  "closestSibling() has as much in common as any, whatever came and went",
  [
    fc.uniqueArray(fc.tuple(block, fc.boolean()), {
      selector: ([tokens]) => tokens.join(),
      maxLength: 27,
      size: "max",
    }),
    fc.array(token, { maxLength: 2 }),
    fc.array(token, { maxLength: 5 }),
  ],
  (blocks, before, tokens) => {
    const contents = blocks.map(([tokens]): Content => ({ tokens }));
    const siblings: Content[] = [];
    for (const content of contents) addSibling(siblings, content);
    contents.forEach((content, i) => {
      if (blocks[i][1]) removeSibling(siblings, content);
    });
    const left = contents.filter((_, i) => !blocks[i][1]);
    assertEquals(new Set(siblings), new Set(left));
    const most = Math.max(0, ...left.map((c) => common(c.tokens, tokens)));
    const closest = closestSibling(
      siblings,
      [...before, ...tokens],
      before.length,
    );
    assertEquals(closest?.rows ?? 0, most);
    if (closest === undefined) return;
    assert(left.includes(closest.content));
    assertEquals(common(closest.content.tokens, tokens), most);
  },
  { runs: 300 },
);

Deno.test("closestSibling() looks at few of many", () => {
  let looks = 0;
  const siblings: Content[] = [];
  for (let i = 0; i < 4096; i++) {
    // All begin with the same token, as prompts do.
    const tokens = [1, i * 7919 % 4096, i];
    addSibling(siblings, {
      get tokens() {
        looks++;
        return tokens;
      },
    });
  }
  assert(looks <= 4096 * 13, `${looks} looks to add 4096`);
  looks = 0;
  assertEquals(closestSibling(siblings, [1, 77], 0)?.rows, 2);
  removeSibling(siblings, siblings[1000]);
  assert(looks <= 40, `${looks} looks at 4096`);
});
