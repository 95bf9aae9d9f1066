/**
 * What the page does: opens the browser's GPU, runs every test, and posts each
 * result to the server that it came from.
 *
 * @module
 */

import { openGpu } from "../../mod.ts";
import { PAGE_TESTS, type PageTest } from "./browser_cases.ts";
import type { Gpu } from "../../mod.ts";

/** What the page posts after each test. */
export interface PageResult {
  /** The test's name. */
  readonly name: string;
  /** How it ended. */
  readonly outcome: "passed" | "failed" | "skipped";
  /** Why it failed or was skipped; empty where it passed. */
  readonly detail: string;
  /** How long it took. */
  readonly milliseconds: number;
}

/** What the page posts at the end. */
export interface PageEnd {
  /** The browser's adapter, or why there is none. */
  readonly adapter: string;
  /** Whether all tests were run. */
  readonly complete: boolean;
}

async function post(path: string, body: PageResult | PageEnd): Promise<void> {
  await fetch(path, { method: "POST", body: JSON.stringify(body) });
}

function textOf(error: unknown): string {
  return error instanceof Error ? `${error.stack}` : String(error);
}

async function result(gpu: Gpu, test: PageTest): Promise<PageResult> {
  const { name, features = [] } = test;
  const start = performance.now();
  const ended = (outcome: PageResult["outcome"], detail = "") => ({
    name,
    outcome,
    detail,
    milliseconds: performance.now() - start,
  });
  const lacking = features.filter((feature) => !gpu.features.has(feature));
  if (lacking.length > 0) {
    return ended("skipped", `the device lacks ${lacking}`);
  }
  gpu.trim();
  const { buffers } = gpu.stats;
  try {
    await test.run(gpu);
    await gpu.flushErrors();
    gpu.trim();
    const leaked = gpu.stats.buffers - buffers;
    return leaked === 0
      ? ended("passed")
      : ended("failed", `leaked ${leaked} buffers`);
  } catch (error) {
    return ended("failed", textOf(error));
  }
}

async function main(): Promise<void> {
  const gpu = await openGpu();
  const { description, vendor, architecture } = gpu.info;
  for (const test of PAGE_TESTS) await post("/result", await result(gpu, test));
  const adapter = description || `${vendor} ${architecture}`;
  await post("/end", { adapter, complete: true });
}

main().catch((error) =>
  post("/end", { adapter: textOf(error), complete: false })
);
