/**
 * Who cannot see, or point: the rules of axe-core, on both pages.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { pageTest, PHONE } from "./page.ts";

/** What axe-core finds wrong. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: typeof import("axe-core");
    };
    const { violations } = await axe.run();
    return violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target, failureSummary }) =>
        `${id} (${help}) at ${target.join(" ")}: ${failureSummary}`
      )
    );
  });
}

const PAGES = [
  ["#masks?mod=causal", "The mask"],
  ["#masks?mod=mistake", "A mistake"],
  ["#masks?mod=alibi", "The mask"],
  ["#blocks?story=samples", "The pool"],
  ["#blocks?story=pinned&at=5", "The pool"],
] as const;

for (const theme of ["light", "dark"] as const) {
  for (const width of [1280, PHONE]) {
    pageTest(
      `axe-core has no complaint: ${theme}, ${width} wide`,
      async (open) => {
        for (const [hash, heading] of PAGES) {
          await open(hash, async (page) => {
            await page.getByRole("heading", { name: heading }).first()
              .waitFor();
            await page.waitForTimeout(300);
            assertEquals(await violations(page), [], hash);
          }, { theme, width });
        }
      },
    );
  }
}
