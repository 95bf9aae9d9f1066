// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task test:browser`: a small kernel suite and the examples in headless
 * Chromium, on its software adapter. Chromium is the system's (`CHROMIUM=PATH`
 * names another); Debian's is installed where it is absent and that may be done.
 *
 * @module
 */

import { readCommand } from "../../src/cli/arguments.ts";
import { driveExample, type ExamplePage } from "./browser_example.ts";
import type { PageEnd, PageResult } from "./browser_page.ts";
import { findChromium, FLAGS, INSTALL, installChromium } from "./chromium.ts";

/** Long enough for the slowest machine, so that a hang ends too. */
const LIMIT_MS = 5 * 60_000;

/** The page, with what its checks need of a module that browsers lack. */
const HTML = `<!doctype html>
<script type="importmap">
  { "imports": { "node:assert/strict": "/assert.js" } }
</script>
<script type="module" src="/page.js"></script>`;

const ASSERT = `export default {
  AssertionError: class extends Error {
    constructor({ message }) {
      super(message);
    }
  },
};`;

/** What is used of `playwright-core`. */
interface Playwright {
  readonly chromium: {
    launch(options: {
      executablePath: string;
      args: readonly string[];
    }): Promise<Browser>;
  };
}

interface Browser {
  newPage(): Promise<ExamplePage>;
  version(): string;
  close(): Promise<void>;
}

async function bundlePage(): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "bundle",
      "--quiet",
      "--no-lock",
      "--platform=browser",
      "--external=node:assert/strict",
      "tests/runtimes/browser_page.ts",
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

function print({ name, outcome, detail, milliseconds }: PageResult): void {
  console.log(`${name} ... ${outcome} (${Math.round(milliseconds)} ms)`);
  if (detail) console.log(detail.replace(/^/gm, "  "));
}

/** Serves the page; `end` resolves with what it posts last. */
function serve(script: string, results: PageResult[]): {
  readonly url: string;
  readonly end: Promise<PageEnd>;
  readonly close: () => Promise<void>;
} {
  const { promise: end, resolve } = Promise.withResolvers<PageEnd>();
  const typed = (body: string, type: string) =>
    new Response(body, { headers: { "content-type": type } });
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/page.js") return typed(script, "text/javascript");
      if (pathname === "/assert.js") return typed(ASSERT, "text/javascript");
      if (pathname === "/result") {
        const result: PageResult = await request.json();
        results.push(result);
        print(result);
      } else if (pathname === "/end") {
        resolve(await request.json());
      } else if (pathname === "/") {
        return typed(HTML, "text/html");
      }
      return new Response();
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}/`,
    end,
    close: () => server.shutdown(),
  };
}

/** Opens the page and waits for its last words. */
async function visit(browser: Browser, url: string, end: Promise<PageEnd>) {
  const page = await browser.newPage();
  const failed = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => failed.reject(new Error(`the page took over ${LIMIT_MS} ms`)),
    LIMIT_MS,
  );
  page.on("crash", () => failed.reject(new Error("the page crashed")));
  page.on("pageerror", (cause) => failed.reject(cause));
  try {
    await page.goto(url);
    return await Promise.race([end, failed.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function runIn(executablePath: string): Promise<PageResult[]> {
  // Not a literal, so that type-checking and caching do not need the package.
  const specifier = "npm:playwright-core@^1.65.1";
  const { chromium }: Playwright = await import(specifier);
  const results: PageResult[] = [];
  const server = serve(await bundlePage(), results);
  let browser: Browser | undefined;
  try {
    browser = await chromium.launch({ executablePath, args: FLAGS });
    const end = await visit(browser, server.url, server.end);
    console.log(`Chromium ${browser.version()}: ${end.adapter}`);
    if (!end.complete) throw new Error(end.adapter);
    results.push(await driveExample(await browser.newPage()));
    print(results[results.length - 1]);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const rest = { outcome: "failed", detail, milliseconds: 0 } as const;
    results.push({ name: "the page runs to its end", ...rest });
    print(results[results.length - 1]);
  } finally {
    await browser?.close();
    await server.close();
  }
  return results;
}

async function main(): Promise<void> {
  const executablePath = findChromium() ?? await installChromium();
  if (executablePath === undefined) {
    console.log(`Skipped: there is no Chromium here. Debian: ${INSTALL}`);
    console.log("0 passed, 0 failed, 1 skipped");
    return;
  }
  const results = await runIn(executablePath);
  const count = (outcome: PageResult["outcome"]) =>
    results.filter((result) => result.outcome === outcome).length;
  const [passed, failed] = [count("passed"), count("failed")];
  const skipped = count("skipped");
  console.log(
    `\n${passed} passed, ${failed} failed${
      skipped > 0 ? `, ${skipped} skipped` : ""
    }`,
  );
  Deno.exit(failed > 0 || passed === 0 ? 1 : 0);
}

const USAGE = `Usage: deno task test:browser
  Runs a small kernel suite in headless Chromium`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await main();
}
