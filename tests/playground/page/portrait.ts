/**
 * `deno task playground:picture`: the README's picture of the playground, by
 * the browser that tests it.
 *
 * @module
 */

import { readCommand } from "../../../src/cli/arguments.ts";
import { SKIP_REASON, Visit } from "./page.ts";

const FILE = new URL("../../../docs/playground.png", import.meta.url);

const USAGE = `Usage: deno task playground:picture
  Takes the README's picture of the playground anew, into docs/`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  if (SKIP_REASON !== undefined) throw new Error(SKIP_REASON);
  await using visit = await Visit.begin();
  await visit.open(
    "#masks?mod=window&tile=8",
    { width: 1400 },
    async (page) => {
      await page.getByRole("button", { name: "Run attention" }).click();
      await page.getByText("Within the error rule's bound").waitFor({
        timeout: 120_000,
      });
      await page.mouse.move(0, 0);
      await page.screenshot({ path: FILE.pathname, fullPage: true });
    },
  );
}
