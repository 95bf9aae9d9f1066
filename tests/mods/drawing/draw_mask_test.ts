import fc from "fast-check";
import {
  assert,
  assertEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { attentionProblem } from "../../../mod.ts";
import {
  booleanMask,
  causal,
  drawMask,
  maskMod,
  prefixLm,
  slidingWindow,
} from "../../../src/mods/mod.ts";
import { property } from "../../support/property.ts";
import { maskCases } from "../masks_arbitrary.ts";

Deno.test("drawMask() draws a causal mask", () => {
  const { text, tiles } = drawMask(causal(), {
    keys: 12,
    tileQueries: 4,
    tileKeys: 4,
  });
  assertEquals(text, "▒··\n█▒·\n██▒\n");
  assertEquals(tiles, { empty: 3, full: 3, mixed: 3 });
});

Deno.test("drawMask() aligns fewer queries bottom-right, unless told", () => {
  const options = { queries: 4, keys: 12, tileQueries: 4, tileKeys: 4 };
  assertEquals(drawMask(causal(), options).text, "██▒\n");
  const topLeft = drawMask(causal(), { ...options, queryOffset: 0 });
  assertEquals(topLeft.text, "▒··\n");
});

Deno.test("drawMask() draws the rows of a given mask from the first on", () => {
  const mask = booleanMask(Uint8Array.of(1, 0, 0, 0, 0, 1, 1, 0), [2, 4]);
  const options = { queries: 2, keys: 4, tileQueries: 1, tileKeys: 1 };
  assertEquals(drawMask(mask, options).text, "█···\n·██·\n");
});

Deno.test("drawMask() takes masks that must all hold, and none", () => {
  const options = { keys: 4, tileQueries: 1, tileKeys: 1 };
  const both = drawMask([causal(), slidingWindow({ left: 1 })], options);
  assertEquals(both.text, "█···\n██··\n·██·\n··██\n");
  assertEquals(drawMask([], options).text, "████\n".repeat(4));
});

Deno.test("drawMask() takes one sequence and head of a problem", () => {
  const tensor = (length: number) => ({
    dtype: "f32" as const,
    shape: [2, length, 2, 4],
  });
  const problem = attentionProblem({
    query: tensor(3),
    key: tensor(8),
    value: tensor(8),
    keyLengths: [8, 5],
    causal: true,
    maskMod: maskMod("odd head", ({ head, key }) => head.eq(0).or(key.ge(2))),
  });
  const options = { tileQueries: 1, tileKeys: 1 };
  assertEquals(
    drawMask(problem, options).text,
    "██████··\n███████·\n████████\n",
  );
  assertEquals(
    drawMask(problem, { ...options, batch: 1, head: 1 }).text,
    "··█··\n··██·\n··███\n",
  );
  assertThrows(() => drawMask(problem, { batch: 2 }), RangeError, "batch");
});

property(
  "drawMask() in single pairs is the mask, for every mask that is exact",
  [maskCases, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 })],
  ({ mask, meaning, exact }, queries, keys) => {
    fc.pre(exact);
    const options = { queries, keys, tileQueries: 1, tileKeys: 1 };
    const lines = drawMask(mask, options).text.trimEnd().split("\n");
    assertEquals(lines.length, queries);
    for (const [query, line] of lines.entries()) {
      assertEquals(
        [...line],
        Array.from(
          { length: keys },
          (_, key) => meaning(0, 0, query + keys - queries, key) ? "█" : "·",
        ),
      );
    }
  },
);

/** The pairs that paths of boxes cover, each as "query,key". */
function covered(path: string): string[] {
  const boxes = path.matchAll(/M(-?\d+) (-?\d+)h(\d+)v(\d+)h-\d+z/g);
  return [...boxes].flatMap((box) => {
    const [x, y, width, height] = box.slice(1).map(Number);
    return Array.from(
      { length: width * height },
      (_, i) => `${y + Math.floor(i / width)},${x + i % width}`,
    );
  });
}

property(
  "drawMask() shows in SVG the pairs that the mask lets through",
  [
    maskCases,
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 9 }),
  ],
  ({ mask, meaning }, queries, keys, tile) => {
    const { svg } = drawMask(mask, {
      queries,
      keys,
      tileQueries: tile,
      tileKeys: tile,
    });
    const paths = [...svg.matchAll(/<path fill="#[^>]* d="([^"]*)"/g)];
    const [, , pairs, full] = paths.map(([, path]) => path);
    const seen: string[] = [];
    for (let query = 0; query < queries; query++) {
      for (let key = 0; key < keys; key++) {
        const position = query + keys - queries;
        if (meaning(0, 0, position, key)) seen.push(`${query},${key}`);
      }
    }
    assertEquals(covered(pairs + full).sort(), seen.sort());
  },
);

Deno.test("drawMask() draws long masks in at most 64 tiles a side", () => {
  const { text, svg } = drawMask(prefixLm(1000), { keys: 5000 });
  const lines = text.trimEnd().split("\n");
  assertEquals([lines.length, lines[0].length], [40, 40]);
  assertStringIncludes(svg, "tiles of 128 x 128");
  assert(svg.length < 100_000, `${svg.length} characters`);
});

Deno.test("drawMask() escapes what stands in the SVG", () => {
  const { svg } = drawMask(causal(), { title: "a < b & c" });
  assertStringIncludes(svg, ">a &lt; b &amp; c</text>");
});

Deno.test("drawMask() says what is wrong", () => {
  assertThrows(
    () => drawMask({} as never),
    TypeError,
    "masked must be a MaskMod, MaskMods or a problem",
  );
  for (
    const options of [
      { keys: 0 },
      { queries: 1.5 },
      { tileKeys: 0 },
      { head: -1 },
      { keys: 1e6, tileKeys: 16 },
    ]
  ) assertThrows(() => drawMask(causal(), options), RangeError);
});
