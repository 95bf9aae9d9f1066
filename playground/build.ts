/**
 * `deno task playground:build`: the page as a folder of static files, for any
 * server: `playground/dist`.
 *
 * @module
 */

import * as esbuild from "esbuild";
import { readCommand } from "../src/cli/arguments.ts";
import type { PageFiles } from "./serve.ts";

const ROOT = new URL("./", import.meta.url);

/** Where the files go; ignored by git. */
const FOLDER = new URL("dist/", ROOT);

const COMMON = {
  bundle: true,
  format: "iife",
  minify: true,
  write: false,
  target: "es2023",
  absWorkingDir: ROOT.pathname,
  logLevel: "silent",
} as const satisfies esbuild.BuildOptions;

/**
 * Bundles the page: the markup, one script, one style sheet. The workers'
 * script is a text within the page's, so that a worker made of it has the
 * page's own rights.
 */
export async function buildPage(): Promise<PageFiles> {
  const worker = await esbuild.build({
    ...COMMON,
    entryPoints: ["masks/worker.ts"],
  });
  const page = await esbuild.build({
    ...COMMON,
    entryPoints: { page: "ui/main.tsx", style: "styles/main.css" },
    outdir: "dist",
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { WORKER_SCRIPT: JSON.stringify(worker.outputFiles[0].text) },
  });
  const find = (suffix: string) =>
    new Uint8Array(
      page.outputFiles.find(({ path }) => path.endsWith(suffix))!.contents,
    );
  const html = await Deno.readFile(new URL("index.html", ROOT));
  return new Map([
    ["index.html", { type: "text/html; charset=utf-8", bytes: html }],
    ["page.js", {
      type: "text/javascript; charset=utf-8",
      bytes: find("page.js"),
    }],
    ["style.css", { type: "text/css; charset=utf-8", bytes: find(".css") }],
  ]);
}

/** Ends the bundler's process. */
export async function endBuilds(): Promise<void> {
  await esbuild.stop();
}

const USAGE = `Usage: deno task playground:build
  Writes the playground as static files into playground/dist`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  await Deno.mkdir(FOLDER, { recursive: true });
  for (const [name, { bytes }] of await buildPage()) {
    await Deno.writeFile(new URL(name, FOLDER), bytes);
    // deno-lint-ignore no-console -- this is what a person runs
    console.log(`playground/dist/${name}, ${Math.ceil(bytes.length / 1e3)} kB`);
  }
  await endBuilds();
}
