/**
 * What the playground says of mods is what the library says.
 *
 * @module
 */

import { assert, assertEquals, assertGreater, assertThrows } from "@std/assert";
import { analyse, problemOf } from "../../playground/masks/analysis.ts";
import {
  checkAttention,
  MOST_PAIRS,
} from "../../playground/masks/attention_check.ts";
import {
  evaluateMods,
  mistakeOf,
  SCOPE,
} from "../../playground/masks/evaluation.ts";
import {
  GALLERY,
  readyMod,
  settingsOf,
} from "../../playground/masks/gallery.ts";
import { readTyped, writeTyped } from "../../playground/masks/mask_address.ts";
import { DEFAULT_SETTINGS } from "../../playground/masks/settings.ts";
import { SIDE, thumbnail } from "../../playground/masks/thumbnail.ts";
import {
  and,
  causal,
  drawMask,
  maskFunction,
  maskMod,
  scoreFunction,
  slidingWindow,
} from "../../src/mods/mod.ts";
import { gpuTest } from "../support/gpu.ts";

/** The ready mods that are right. */
const READY = GALLERY.filter(({ id }) => id !== "mistake");

const SETTINGS = { ...DEFAULT_SETTINGS, queries: 24, keys: 40, tile: 8 };

Deno.test("evaluateMods() takes the last expression of code", () => {
  const names = (code: string) => {
    const { maskMods, scoreMods } = evaluateMods(code, SETTINGS);
    return [...maskMods, ...scoreMods].map(({ name }) => name);
  };
  assertEquals(names("causal()"), ["causal"]);
  assertEquals(names("const cap = keys / 4;\n[softcap(cap), [causal()]];"), [
    "causal",
    "softcap",
  ]);
  assertEquals(
    names(
      'const window = 3; // not the page\'s\nmaskMod("own", ({ key }) => key.lt(window))',
    ),
    ["own"],
  );
  for (const wrong of ["3", "[]", "() => causal()", "const a = 1;", "null"]) {
    assertThrows(() => names(wrong), TypeError, "the last expression must be");
  }
});

Deno.test("evaluateMods() has the library's own errors, with their line", () => {
  const code = 'const a = causal();\nmaskMod("m", ({ key }) => key.lt(1.5))';
  const mistake = () => {
    try {
      evaluateMods(code, SETTINGS);
    } catch (error) {
      return mistakeOf(error);
    }
  };
  const expected = assertThrows(() => maskMod("m", ({ key }) => key.lt(1.5)));
  const { name, message } = expected as Error;
  assertEquals(mistake(), { name, message, line: 2 });
  assertEquals(mistakeOf("no error"), { name: "Error", message: "no error" });
});

Deno.test("what is in scope is all that makes mods", () => {
  const code = SCOPE.map((name) => `typeof ${name} === "undefined" && fail();`);
  const { maskMods } = evaluateMods([...code, "causal()"].join("\n"), SETTINGS);
  assertEquals(maskMods.length, 1);
});

Deno.test("analyse() counts tiles and pairs as the library does", () => {
  for (const ready of READY) {
    for (const settings of [settingsOf(ready), { ...SETTINGS, head: 1 }]) {
      const { keys, queries, tile, head } = settings;
      const mods = evaluateMods(ready.code, settings);
      const problem = problemOf(mods, settings);
      const found = analyse(mods, settings);
      const sizes = { tileQueries: tile, tileKeys: tile };
      assertEquals(found.counts, drawMask(problem, { head, ...sizes }).tiles);
      const kinds = { empty: 0, full: 0, mixed: 0 };
      for (const kind of found.tiles.flat()) kinds[kind]++;
      assertEquals(kinds, found.counts);
      const sees = maskFunction(problem.maskMods);
      const modify = scoreFunction(problem.scoreMods);
      let seen = 0;
      for (let i = 0; i < queries; i++) {
        for (let key = 0; key < keys; key++) {
          const position = i + keys - queries;
          const n = i * keys + key;
          assertEquals(found.seen[n] === 1, sees(0, head, position, key));
          seen += found.seen[n];
          if (!found.scores) continue;
          const score = Math.fround(modify(1, 0, head, position, key));
          assertEquals(found.scores[n], score);
        }
      }
      assertEquals(found.seenPairs, seen);
      assertEquals(found.scores !== undefined, mods.scoreMods.length > 0);
      const { mods: source, kernel } = found.sources;
      for (const line of source.match(/^fn .*/gm)!) {
        assert(kernel.code.includes(line), line);
      }
    }
  }
});

Deno.test("analyse() gives what another thread can be sent", () => {
  const { settings, maskMods } = analyse(
    evaluateMods("and(causal(), slidingWindow({ left: 3 }))", SETTINGS),
    SETTINGS,
  );
  const sent = structuredClone({ maskMods, scoreMods: [] });
  assertEquals(
    analyse(sent, settings).counts,
    analyse({
      maskMods: [and(causal(), slidingWindow({ left: 3 }))],
      scoreMods: [],
    }, settings).counts,
  );
});

Deno.test("analyse() refuses sizes by name", () => {
  const mods = evaluateMods("causal()", SETTINGS);
  const wrong = [{ queries: 0 }, { keys: 1025 }, { tile: 0 }, { heads: 17 }, {
    headDim: 0.5,
  }, { head: 4 }];
  for (const one of wrong) {
    const [name] = Object.keys(one);
    assertThrows(
      () => analyse(mods, { ...SETTINGS, ...one }),
      RangeError,
      `${name} must be`,
    );
  }
});

Deno.test("every ready mod is drawn small, the wrong one not", () => {
  for (const ready of GALLERY) {
    const { id, code } = ready;
    const picture = thumbnail({ code, settings: settingsOf(ready) });
    assertEquals(picture.length, SIDE * SIDE);
    assertEquals(Math.max(...picture) > 0, id !== "mistake", id);
  }
});

Deno.test("an address holds what is typed", () => {
  const typed = [
    ...GALLERY.map((ready) => ({
      code: ready.code,
      settings: settingsOf(ready),
    })),
    { code: "and(a, b) // ? & # %", settings: SETTINGS },
    { code: "", settings: { ...SETTINGS, head: 3 } },
    { code: readyMod("tree")!.code, settings: DEFAULT_SETTINGS },
  ];
  for (const one of typed) {
    const text = writeTyped(one).toString();
    assertEquals(readTyped(new URLSearchParams(text)), one);
  }
  assertEquals(writeTyped(typed[1]).toString(), "mod=window");
  const wrong = new URLSearchParams("mod=none&queries=-1&tile=x");
  assertEquals(readTyped(wrong), {
    code: GALLERY[0].code,
    settings: DEFAULT_SETTINGS,
  });
});

gpuTest("checkAttention() is within the error rule's bound", async (_, gpu) => {
  const settings = { ...SETTINGS, heads: 2, headDim: 16 };
  const mods = evaluateMods("[causal(), softcap(2)]", settings);
  const { ok, error, bound, elements, tiles } = await checkAttention(
    gpu,
    mods,
    settings,
  );
  assert(ok);
  assertGreater(error, 0);
  assertGreater(bound, error);
  assertEquals(elements, 24 * 2 * 16);
  assert(tiles.visited <= tiles.total && tiles.full <= tiles.visited);
});

gpuTest(
  "checkAttention() refuses what float64 would take minutes for",
  async (_, gpu) => {
    const settings = { ...SETTINGS, queries: 1024, keys: 1024, heads: 16 };
    const mods = evaluateMods("causal()", settings);
    const error = await checkAttention(gpu, mods, settings).catch((e) => e);
    assert(error instanceof RangeError);
    assert(error.message.includes(`<= ${MOST_PAIRS}`));
  },
);
