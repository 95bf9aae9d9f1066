/**
 * `deno task playground` and its files, without a browser.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../../../", import.meta.url);

/** Serves the page by the command that people type, until `use` is done. */
async function serving(use: (url: string) => Promise<void>): Promise<void> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-A", "--config", "playground/deno.json"],
      ...["playground/main.ts", "0"],
    ],
    cwd: ROOT,
    stdout: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    const { value = "" } = await reader.read();
    assertMatch(value, /^http:\/\/localhost:\d+\/$/m);
    await use(value.trim());
  } finally {
    await reader.cancel();
    child.kill();
    await child.status;
  }
}

Deno.test("the served page is three files that need no others", async () => {
  await serving(async (url) => {
    const get = async (path: string) => {
      const response = await fetch(url + path);
      const text = await response.text();
      return { text, status: response.status, headers: response.headers };
    };
    const page = await get("");
    assertEquals(page.status, 200);
    assertEquals(page.headers.get("content-type"), "text/html; charset=utf-8");
    const policy = page.text.match(/content="(default-src [^"]+)"/)![1];
    assert(policy.startsWith("default-src 'none';"));
    assert(!policy.includes("connect-src"));
    for (const [, path] of page.text.matchAll(/(?:src|href)="([^"]+)"/g)) {
      if (path.startsWith("data:")) continue;
      assertEquals((await get(path)).status, 200, path);
    }
    const style = (await get("style.css")).text;
    assert(!/url\(|@import/.test(style));
    assertEquals((await get("none.js")).status, 404);
  });
});

Deno.test("a port that is none is refused with the usage", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "playground", "port"],
    cwd: ROOT,
  }).output();
  assertEquals(code, 2);
  assertMatch(new TextDecoder().decode(stderr), /Usage: deno task playground/);
});
