/**
 * The page of block tables: what it shows is what a `CacheManager` does.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertLessOrEqual,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import type { Page } from "playwright-core";
import {
  BlockPool,
  CacheManager,
  type CacheSequence,
  PrefixIndex,
} from "../../../src/cache/mod.ts";
import { eventually, pageTest, PHONE } from "./page.ts";
import { pictureOf, styleColour } from "./picture.ts";

/** What the page shows of the pool and the tables. */
interface Shown {
  readonly used: number;
  readonly cached: number;
  readonly free: number;
  readonly references: readonly number[];
  readonly tables: Readonly<Record<string, readonly number[]>>;
}

async function shown(page: Page): Promise<Shown> {
  const counts = page.getByRole("list", { name: "Blocks" }).locator("b");
  const [used, cached, free] = (await counts.allInnerTexts()).map(Number);
  const blocks = page.getByRole("group", { name: "Blocks; arrow keys move" });
  const references = await blocks.getByRole("button").evaluateAll((all) =>
    all.map((one) => Number((one as HTMLElement).dataset.references))
  );
  const rows = page.locator("[data-sequence]");
  const tables = await rows.evaluateAll((all) =>
    all.map((row) =>
      [
        (row as HTMLElement).dataset.sequence!,
        [...row.querySelectorAll<HTMLElement>("[data-entry]")].map((entry) =>
          Number(entry.dataset.entry)
        ),
      ] as const
    )
  );
  return { used, cached, free, references, tables: Object.fromEntries(tables) };
}

/** A manager of the page's size, and what it would show. */
class Twin {
  readonly pool: BlockPool;
  readonly index: PrefixIndex;
  readonly manager: CacheManager;
  readonly sequences: Map<string, CacheSequence> = new Map();
  #next = 1000;

  constructor(blocks: number, blockSize: number) {
    this.pool = new BlockPool({ numBlocks: blocks + 1, blockSize });
    this.index = new PrefixIndex(this.pool);
    const { pool, index } = this;
    this.manager = new CacheManager({ pool, index, watermark: 0 });
  }

  /** Begins a sequence of tokens. */
  create(name: string, tokens: readonly number[]): number {
    const { sequence, pending, cached } = this.manager.create(tokens);
    this.manager.reserve(sequence, pending);
    this.manager.commit(sequence);
    this.sequences.set(name, sequence);
    return cached;
  }

  /** Adds tokens that no one else has; says how many blocks were copied. */
  append(name: string, count: number): number {
    const sequence = this.sequences.get(name)!;
    const tokens = Array.from({ length: count }, () => this.#next++);
    const { copies } = this.manager.reserve(sequence, tokens);
    this.manager.commit(sequence);
    return copies.length;
  }

  fork(name: string, as: string): void {
    const [fork] = this.manager.fork(this.sequences.get(name)!);
    this.sequences.set(as, fork);
  }

  free(name: string): void {
    this.manager.free(this.sequences.get(name)!);
    this.sequences.delete(name);
  }

  /** What the page shows of all this. */
  shown(): Shown {
    const { pool } = this;
    pool.verify();
    return {
      used: pool.usedBlocks,
      cached: pool.evictableBlocks,
      free: pool.freeBlocks - pool.evictableBlocks,
      references: Array.from(
        { length: pool.totalBlocks },
        (_, i) => pool.refCount(i + 1),
      ),
      tables: Object.fromEntries(
        [...this.sequences].map(([name, { tables: [table] }]) =>
          [name, [...table.blocks]] as const
        ),
      ),
    };
  }
}

const range = (length: number) => Array.from({ length }, (_, i) => i);

const press = (page: Page, name: string) =>
  page.getByRole("button", { name, exact: true }).click();

async function same(page: Page, twin: Twin): Promise<void> {
  await eventually(() => shown(page), (s) => assertEquals(s, twin.shown()));
  const verdict = page.locator('[data-fact="verify"]');
  assertStringIncludes(await verdict.innerText(), "every invariant holds");
}

/** Makes a sequence of some words by the form. */
async function create(page: Page, words: number): Promise<void> {
  const text = range(words).map((i) => `w${i}`).join(" ");
  await page.getByLabel("The new sequence's text").fill(text);
  await press(page, `New sequence of ${words}`);
}

const log = (page: Page) => page.getByRole("list", { name: "What happened" });

pageTest("forks share, and copy the block that they write", async (open) => {
  await open("#blocks?blocks=20&size=4&do=", async (page) => {
    const twin = new Twin(20, 4);
    await same(page, twin);
    await create(page, 14);
    twin.create("A", range(14));
    await same(page, twin);
    await press(page, "Fork A");
    twin.fork("A", "B");
    await same(page, twin);
    assertEquals(twin.append("B", 4), 1);
    await press(page, "Append 4 to B");
    await same(page, twin);
    await log(page).getByText("copy on write: 2 rows of block 4 to block 5")
      .waitFor();
    // Alone now, the other one writes in place.
    await page.getByRole("spinbutton", { name: "Append tokens" }).fill("1");
    assertEquals(twin.append("A", 1), 0);
    await press(page, "Append 1 to A");
    await same(page, twin);
    const sharing = page.locator('[data-fact="sharing"]');
    assertStringIncludes(
      await sharing.innerText(),
      "6 blocks for 9 table entries",
    );
    twin.free("A");
    await press(page, "Free A");
    await same(page, twin);
  });
});

pageTest(
  "what is freed is found again by its prefix, until it is evicted",
  async (open) => {
    await open("#blocks?blocks=12&size=4&do=", async (page) => {
      const twin = new Twin(12, 4);
      await create(page, 17);
      twin.create("A", range(17));
      await press(page, "Free A");
      twin.free("A");
      await same(page, twin);
      assertEquals(twin.shown().cached, 4);
      await create(page, 17);
      assertEquals(twin.create("B", range(17)), 16);
      await same(page, twin);
      await log(page).getByText("16 of 17 tokens found by prefix").waitFor();
      await press(page, "Free B");
      twin.free("B");

      // One block by hand, and two by need.
      await page.getByRole("button", { name: /^Block 4 free, can be/ }).click();
      await press(page, "Evict");
      assert(twin.index.evict(4));
      await same(page, twin);
      await page.getByLabel("The new sequence's text").fill("other");
      await press(page, "New sequence of 1");
      twin.create("C", [900]);
      await page.getByRole("spinbutton", { name: "Append tokens" }).fill("43");
      await press(page, "Append 43 to C");
      twin.append("C", 43);
      await same(page, twin);
      await press(page, "Free C");
      twin.free("C");
      await create(page, 17);
      const cached = twin.create("D", range(17));
      await same(page, twin);
      assertEquals(cached, 4);
      await log(page).getByText("4 of 17 tokens found by prefix").waitFor();
    });
  },
);

pageTest("a pin keeps a prefix that no one has", async (open) => {
  await open("#blocks?blocks=8&size=4&do=", async (page) => {
    await create(page, 12);
    await press(page, "Pin A");
    await press(page, "Free A");
    await eventually(() => shown(page), ({ used, cached, tables }) => {
      assertEquals([used, cached], [3, 0]);
      assertEquals(tables, { A: [] });
    });
    await press(page, "Unpin A");
    await eventually(() => shown(page), ({ used, cached, tables }) => {
      assertEquals([used, cached], [0, 3]);
      assertEquals(tables, {});
    });
  });
});

pageTest(
  "what does not fit is refused in the library's words",
  async (open) => {
    await open("#blocks?blocks=6&size=4&do=", async (page) => {
      const twin = new Twin(6, 4);
      await create(page, 12);
      twin.create("A", range(12));
      await page.getByRole("spinbutton", { name: "Append tokens" }).fill("13");
      await press(page, "Append 13 to A");
      const { message } = assertThrows(() => twin.append("A", 13)) as Error;
      await log(page).getByText(message).waitFor();
      await same(page, twin);
      await press(page, "Preempt A");
      await press(page, "Resume A");
      const sequence = twin.sequences.get("A")!;
      twin.manager.preempt(sequence);
      const { cached } = twin.manager.resume(sequence, range(12));
      await log(page).getByText(`${cached} of 12 tokens found by prefix`)
        .waitFor();
    });
  },
);

pageTest(
  "steps go back and forth, and a link holds where one is",
  async (open) => {
    let link = "";
    await open("#blocks?story=samples", async (page) => {
      const step = page.locator('[data-fact="step"]');
      assertEquals(await step.innerText(), "7 of 7");
      const last = await shown(page);
      await press(page, "Step back");
      await press(page, "Step back");
      await eventually(
        () => shown(page),
        ({ used }) => assertEquals(used, last.used - 2),
      );
      link = new URL(page.url()).hash;
      await press(page, "Play");
      await eventually(
        () => step.innerText(),
        (text) => assertEquals(text, "7 of 7"),
      );
      assertEquals(await shown(page), last);
    });
    assertEquals(link, "#blocks?story=samples&at=5");
    await open(link, async (page) => {
      const step = page.locator('[data-fact="step"]');
      assertEquals(await step.innerText(), "5 of 7");
      // What is done now takes the place of what had come after.
      await press(page, "Free C");
      assertEquals(await step.innerText(), "6 of 6");
    });
  },
);

pageTest(
  "the pool has its sequences' colours: light, dark, and on a phone",
  async (open) => {
    const views = [{}, { theme: "dark" }, { width: PHONE }] as const;
    for (const view of views) {
      await open("#blocks?story=samples", async (page) => {
        const colours = await Promise.all(
          [0, 1, 2].map((i) => styleColour(page, `sequence-${i}`)),
        );
        const found = async (name: RegExp) => {
          const block = page.getByRole("button", { name });
          const { width, height, colours } = await pictureOf(page, block);
          return colours(3, 3, width - 6, height - 6);
        };
        const shared = await found(/^Block 1 shared/);
        for (const colour of colours) assert(shared.has(colour));
        assert((await found(/^Block 5 held by one/)).has(colours[1]));
        const free = await found(/^Block 9 free/);
        assert(free.has(await styleColour(page, "card")));
        for (const colour of colours) assert(!free.has(colour));
        const overflow = await page.evaluate(() =>
          document.documentElement.scrollWidth - innerWidth
        );
        assertLessOrEqual(overflow, 0);
      }, view);
    }
  },
);

pageTest("arrow keys move over the pool", async (open) => {
  await open("#blocks?story=samples", async (page) => {
    const first = page.getByRole("button", { name: /^Block 1 shared/ });
    await first.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    const facts = page.locator(".block-facts");
    await eventually(
      () => facts.innerText(),
      (text) =>
        assertStringIncludes(text, "Block 5: held by one, 1 reference (B)"),
    );
  });
});
