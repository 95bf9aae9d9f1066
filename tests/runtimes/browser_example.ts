/**
 * The page of `examples/browser/`, driven as a person would: opened, its button
 * pressed, its text read. It computes in a Web Worker.
 *
 * @module
 */

import { pageFiles } from "../../examples/browser/serve.ts";
import type { PageResult } from "./browser_page.ts";

/** What is used of a page of `playwright-core`. */
export interface ExamplePage {
  /** Listens for errors that nothing caught. */
  on(
    event: "crash" | "pageerror",
    listener: (cause: unknown) => void,
  ): void;
  /** Opens an address. */
  goto(url: string): Promise<unknown>;
  /** Presses what a selector finds. */
  click(selector: string): Promise<void>;
  /** Waits until an expression is true in the page. */
  waitForFunction(
    expression: string,
    argument: undefined,
    options: { timeout: number },
  ): Promise<unknown>;
  /** The text of what a selector finds. */
  textContent(selector: string): Promise<string | null>;
}

/** Long enough for the slowest machine. */
const LIMIT_MS = 120_000;

/** float32 over 512 keys, one of them the largest. */
const LARGEST_ERROR = 1e-5;

async function compute(page: ExamplePage, url: string): Promise<string> {
  const faults: unknown[] = [];
  page.on("pageerror", (cause) => faults.push(cause));
  await page.goto(url);
  const before = await page.textContent("#result");
  if (before !== "") throw new Error(`it begins with: ${before}`);
  await page.click("#run");
  await page.waitForFunction(
    `!document.querySelector("#run").disabled &&
      document.querySelector("#result").textContent !== ""`,
    undefined,
    { timeout: LIMIT_MS },
  );
  if (faults.length > 0) throw faults[0];
  return await page.textContent("#result") ?? "";
}

/** Throws unless the page says what it should. */
export function checkText(text: string): void {
  const error = Number(text.match(/within (\S+) of float64/)?.[1]);
  const shape = text.includes("[1, 512, 8, 64]");
  if (shape && error <= LARGEST_ERROR) return;
  throw new Error(`the page says: ${text}`);
}

/** Serves the example's page, drives it, and says how that went. */
export async function driveExample(page: ExamplePage): Promise<PageResult> {
  const start = performance.now();
  const files = await pageFiles();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) =>
      files.get(new URL(request.url).pathname)?.clone() ??
        new Response(null, { status: 404 }),
  );
  const ended = (outcome: PageResult["outcome"], detail: string) => ({
    name: "the example's page computes in a worker, at the press of its button",
    outcome,
    detail,
    milliseconds: performance.now() - start,
  });
  try {
    const text = await compute(page, `http://127.0.0.1:${server.addr.port}/`);
    checkText(text);
    return ended("passed", text);
  } catch (error) {
    return ended("failed", error instanceof Error ? error.message : `${error}`);
  } finally {
    await server.shutdown();
  }
}
