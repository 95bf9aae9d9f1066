/**
 * The page of masks: what it shows is what the library says of what is typed.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertGreater,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { Page } from "playwright-core";
import {
  causal,
  drawMask,
  emitMods,
  maskFunction,
  type MaskMod,
  maskMod,
  slidingWindow,
} from "../../../src/mods/mod.ts";
import { eventually, pageTest, PHONE } from "./page.ts";
import { hex, pictureOf, styleColour } from "./picture.ts";

const TILES = { tileQueries: 16, tileKeys: 16 };

/** Replaces all of the code, key by key. */
async function type(page: Page, code: string): Promise<void> {
  await page.getByRole("textbox", { name: "The mod's code" }).click();
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.insertText(code);
}

/** The numbers of tiles that the page shows. */
async function tilesOf(page: Page): Promise<Record<string, number>> {
  const items = page.getByRole("list", { name: "Tiles" }).getByRole("listitem");
  const texts = await items.allInnerTexts();
  return Object.fromEntries(texts.map((text) => {
    const [, count, name] = text.match(/(\d+)\s+(skipped|full|mixed)/)!;
    return [name, Number(count)];
  }));
}

function fact(page: Page, name: string) {
  return page.locator(`[data-fact="${name}"]`);
}

/** What the library says of a mask that the page shows so. */
function expected(
  masks: readonly MaskMod[],
  sizes: { queries: number; keys: number },
) {
  const { tiles } = drawMask(masks, { ...sizes, ...TILES });
  const sees = maskFunction(masks);
  let seen = 0;
  for (let i = 0; i < sizes.queries; i++) {
    const query = i + sizes.keys - sizes.queries;
    for (let key = 0; key < sizes.keys; key++) seen += +sees(0, 0, query, key);
  }
  const { empty: skipped, full, mixed } = tiles;
  return {
    tiles: { skipped, full, mixed },
    density: (100 * seen / (sizes.queries * sizes.keys)).toFixed(1),
    work: (100 * (full + mixed) / (skipped + full + mixed)).toFixed(1),
  };
}

pageTest(
  "a typed mask is drawn with the library's tiles and density",
  async (open) => {
    await open("", async (page) => {
      const usual = { queries: 128, keys: 128 };
      const first = expected([causal()], usual);
      await eventually(
        () => tilesOf(page),
        (t) => assertEquals(t, first.tiles),
      );

      const masks = [causal(), slidingWindow({ left: 20 })];
      await type(page, "const left = 20;\n[causal(), slidingWindow({ left })]");
      const typed = expected(masks, usual);
      assertNotEquals(typed.tiles, first.tiles);
      await eventually(
        () => tilesOf(page),
        (t) => assertEquals(t, typed.tiles),
      );
      assertStringIncludes(
        await fact(page, "density").innerText(),
        typed.density,
      );
      assertStringIncludes(await fact(page, "work").innerText(), typed.work);
      const { code } = emitMods({ scoreMods: [], maskMods: masks });
      const source = page.getByRole("textbox", { name: "The emitted WGSL" });
      assertEquals(
        (await source.innerText()).replaceAll(/\s+/g, " ").trim(),
        code.replaceAll(/\s+/g, " ").trim(),
      );

      await page.getByRole("spinbutton", { name: "Queries" }).fill("48");
      const fewer = expected(masks, { queries: 48, keys: 128 });
      await eventually(
        () => tilesOf(page),
        (t) => assertEquals(t, fewer.tiles),
      );
    });
  },
);

pageTest(
  "a wrong mod shows the library's own message, and the last picture stays",
  async (open) => {
    await open("", async (page) => {
      const alert = page.getByRole("alert");
      const before = expected([causal()], { queries: 128, keys: 128 });
      await eventually(
        () => tilesOf(page),
        (t) => assertEquals(t, before.tiles),
      );
      const wrong = () =>
        maskMod("m", ({ key }) => key.lt(3) ? key.ge(1) : key.eq(0));
      await type(
        page,
        'maskMod("m", ({ key }) => key.lt(3) ? key.ge(1) : key.eq(0))',
      );
      const { message } = assertThrows(wrong) as Error;
      await alert.getByText(message).waitFor();
      assertStringIncludes(await alert.innerText(), "TypeError in line 1");
      assertEquals(await tilesOf(page), before.tiles);
      const run = page.getByRole("button", { name: "Run attention" });
      assert(await run.isDisabled());

      await type(page, "causal(");
      await alert.getByText("SyntaxError").waitFor();
      await type(page, "3");
      await alert.getByText("the last expression must be a mask mod").waitFor();
      await type(page, "causal()");
      await alert.getByText("the last expression").waitFor({
        state: "detached",
      });
      await page.getByRole("spinbutton", { name: "Keys" }).fill("5000");
      await alert.getByText("keys must be an integer in 1..1024").waitFor();
    });
  },
);

pageTest(
  "typed code is ended when it does not end, and reaches nothing",
  async (open) => {
    await open("", async (page) => {
      const alert = page.getByRole("alert");
      await type(page, "while (true) {}");
      await alert.getByText("the code was ended").waitFor();
      let asked = 0;
      const headers = { "access-control-allow-origin": "*" };
      await using listener = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        () => {
          asked++;
          return new Response("", { headers });
        },
      );
      const url = `http://127.0.0.1:${listener.addr.port}/`;
      await type(
        page,
        `const request = new XMLHttpRequest();
      request.open("GET", "${url}", false);
      request.send();
      causal()`,
      );
      await alert.getByText("NetworkError").waitFor();
      await type(page, `importScripts("${url}"), causal()`);
      await alert.getByText("importScripts").waitFor();
      assertEquals(asked, 0);
      await type(page, "[typeof window, typeof localStorage].join()");
      await alert.getByText('current value is "undefined,undefined"').waitFor();
    });
  },
);

pageTest(
  "attention on the device is within the error rule's bound",
  async (open) => {
    await open(
      "#masks?mod=sinks&queries=40&keys=56&heads=2&headDim=16",
      async (page) => {
        await page.getByRole("button", { name: "Run attention" }).click();
        await page.getByText("Within the error rule's bound").waitFor({
          timeout: 120_000,
        });
        const value = async (name: string) =>
          Number(await fact(page, name).getAttribute("data-value"));
        const [error, bound] = [await value("error"), await value("bound")];
        assertGreater(error, 0);
        assertLessOrEqual(error, bound);
        assertStringIncludes(await fact(page, "error").innerText(), "1,280");
        const region = page.getByRole("region", { name: "On this device" });
        assertMatch(await region.innerText(), /forward, tiles of \d+ rows/);
        assertMatch(await region.innerText(), /SwiftShader/i);
      },
    );
  },
);

pageTest(
  "a run that ends when other code is there is not shown",
  async (open) => {
    const hash = "#masks?mod=causal&queries=40&keys=40&heads=2&headDim=16";
    await open(hash, async (page) => {
      const run = page.getByRole("button", { name: "Run attention" });
      await run.click();
      await page.getByRole("spinbutton", { name: "Queries" }).fill("24");
      const fewer = expected([causal()], { queries: 24, keys: 40 });
      await eventually(
        () => tilesOf(page),
        (t) => assertEquals(t, fewer.tiles),
      );
      await run.click();
      await fact(page, "verdict").waitFor({ timeout: 120_000 });
      const elements = async () => await fact(page, "error").innerText();
      assertStringIncludes(await elements(), " 768 elements");
      // The earlier one, if it was still under way, has ended by now.
      await run.click();
      await fact(page, "verdict").waitFor({ timeout: 120_000 });
      assertStringIncludes(await elements(), " 768 elements");
    });
  },
);

pageTest("without WebGPU the page says so, and does all else", async (open) => {
  await open("#masks?mod=window", async (page) => {
    await page.getByText("This browser has no WebGPU").waitFor();
    const run = page.getByRole("button", { name: "Run attention" });
    assert(await run.isDisabled());
    const masks = [causal(), slidingWindow({ left: 31 })];
    const { tiles } = expected(masks, { queries: 128, keys: 128 });
    assertEquals(await tilesOf(page), tiles);
  }, { webgpu: false });
});

pageTest("a ready mod, a link, and the way back", async (open) => {
  let link = "";
  await open("", async (page) => {
    await page.getByRole("button", { name: "Documents" }).click();
    await page.getByRole("heading", { name: "Documents" }).waitFor();
    assertEquals(new URL(page.url()).hash, "#masks?mod=documents");
    await type(page, "blockDiagonal(40)");
    await page.getByLabel("Head dim").fill("64");
    await page.getByRole("heading", { name: "A mod of your own" }).waitFor();
    await page.getByRole("link", { name: "Block tables" }).click();
    await page.getByRole("heading", { name: "The pool" }).waitFor();
    await page.getByRole("link", { name: "Masks and scores" }).click();
    const code = page.getByRole("textbox", { name: "The mod's code" });
    assertEquals((await code.innerText()).trim(), "blockDiagonal(40)");
    link = new URL(page.url()).hash;
  });
  await open(link, async (page) => {
    const code = page.getByRole("textbox", { name: "The mod's code" });
    assertEquals((await code.innerText()).trim(), "blockDiagonal(40)");
    assertEquals(await page.getByLabel("Head dim").inputValue(), "64");
  });
});

pageTest(
  "the keyboard reaches the mask, its tiles and its pairs",
  async (open) => {
    await open("#masks?mod=alibi", async (page) => {
      const mask = page.getByRole("group", {
        name: "The mask: 28 tiles skipped",
      });
      const readout = page.locator("#readout");
      await mask.focus();
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowDown");
      await eventually(
        () => readout.innerText(),
        (text) =>
          assertEquals(
            text,
            "Query 16, key 0 · seen · in a full tile · a score of 1 becomes -3",
          ),
      );
      await page.keyboard.press("Shift+ArrowDown");
      await page.keyboard.press("ArrowRight");
      await page.keyboard.press("ArrowRight");
      await eventually(
        () => readout.innerText(),
        (text) =>
          assertEquals(text, "Query 17, key 32 · not seen · in a skipped tile"),
      );
    });
  },
);

pageTest(
  "what is drawn has its colours: light, dark, and on a phone",
  async (open) => {
    const grounds: string[] = [];
    const views = [{}, { theme: "dark" }, { width: PHONE }, {
      theme: "dark",
      width: PHONE,
    }] as const;
    for (const view of views) {
      await open("#masks?mod=causal&queries=64&keys=64", async (page) => {
        const canvas = page.locator('canvas[data-painted="tiles"]');
        await canvas.waitFor();
        const picture = await pictureOf(page, canvas);
        const colour = (name: string) => styleColour(page, `tile-${name}`);
        const [empty, full] = [await colour("empty"), await colour("full")];
        const [mixed, seen] = [await colour("mixed"), await colour("seen")];
        const side = picture.width / 4;
        for (let row = 0; row < 4; row++) {
          for (let column = 0; column < 4; column++) {
            const inside = picture.colours(
              Math.ceil(column * side) + 3,
              Math.ceil(row * side) + 3,
              Math.floor(side) - 6,
              Math.floor(side) - 6,
            );
            const name = `tile ${row}, ${column}`;
            if (column < row) assertEquals([...inside], [full], name);
            if (column > row) assertEquals([...inside], [empty], name);
            if (column !== row) continue;
            assert(inside.has(mixed) && inside.has(seen), name);
          }
        }
        // A person's phone scrolls down, not sideways.
        const overflow = await page.evaluate(() =>
          document.documentElement.scrollWidth - innerWidth
        );
        assertLessOrEqual(overflow, 0);
        const whole = await pictureOf(page, page.locator("body"));
        const ground = hex(whole.at(3, 120));
        assertEquals(ground, await styleColour(page, "ground"));
        grounds.push(ground);
      }, view);
    }
    assertEquals(new Set(grounds).size, 2);
    assertEquals(grounds[0], grounds[2]);
  },
);

pageTest("scores are drawn from the least to the most", async (open) => {
  await open("#masks?mod=alibi", async (page) => {
    await page.getByRole("button", { name: "Scores" }).click();
    const canvas = page.locator('canvas[data-painted="scores"]');
    await canvas.waitFor();
    const picture = await pictureOf(page, canvas);
    const { width, height } = picture;
    const pair = width / 128;
    assertEquals(
      hex(picture.at(1, height - 2)),
      await styleColour(page, "ramp-0"),
    );
    assertEquals(
      hex(picture.at(width - pair / 2, height - pair / 2)),
      await styleColour(page, "ramp-2"),
    );
    assertEquals(
      hex(picture.at(width - 2, 2)),
      await styleColour(page, "tile-empty"),
    );
  });
});

pageTest(
  "a score mod is a curve, at the pair that one looks at",
  async (open) => {
    await open("#masks?mod=alibi", async (page) => {
      await page.getByRole("button", { name: "Scores" }).click();
      // Head 0 of 4 loses a quarter a position.
      const curve = (least: number, most: number) =>
        page.getByRole("img", {
          name: `Scores from -8 to 8 become ${least} to ${most}`,
          exact: true,
        }).waitFor();
      await curve(-39.8, -23.8);
      await page.getByRole("group", { name: "The mask" }).focus();
      await page.keyboard.press("ArrowDown");
      await curve(-8, 8);
      await page.keyboard.press("ArrowDown");
      await curve(-12, 4);
    });
  },
);

pageTest("the visitor's theme is kept", async (open) => {
  await open("", async (page) => {
    const theme = () =>
      page.evaluate(() => document.documentElement.dataset.theme);
    assertEquals(await theme(), "light");
    await page.getByRole("button", { name: "Switch to dark" }).click();
    assertEquals(await theme(), "dark");
    await page.reload();
    assertEquals(await theme(), "dark");
    await page.getByRole("button", { name: "Switch to light" }).waitFor();
  });
});
