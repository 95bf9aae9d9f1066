// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * `deno task example:browser`: bundles the page and its worker, and serves
 * them. Any static server can do that: `index.html`, `page.js`, `worker.js`.
 *
 * @module
 */

import { readCommand, wholeNumber } from "../../src/cli/arguments.ts";

const ROOT = new URL("../../", import.meta.url);

/** A script of this repository as one file for browsers. */
export async function bundle(path: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--no-lock", "--platform=browser", path],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

/** The page's files, by their path. */
export async function pageFiles(): Promise<Map<string, Response>> {
  const typed = (body: string, type: string) =>
    new Response(body, { headers: { "content-type": `text/${type}` } });
  const html = new URL("./index.html", import.meta.url);
  const [page, worker] = await Promise.all([
    bundle("examples/browser/page.ts"),
    bundle("examples/worker/worker.ts"),
  ]);
  return new Map([
    ["/", typed(await Deno.readTextFile(html), "html")],
    ["/page.js", typed(page, "javascript")],
    ["/worker.js", typed(worker, "javascript")],
  ]);
}

const COMMAND = {
  usage: `Usage: deno task example:browser [PORT]
  Serves a page that computes attention in a browser; at port 8000 by default`,
  flags: {},
  words: 1,
};

if (import.meta.main) {
  const port = readCommand(
    COMMAND,
    ({ positionals: [port = "8000"] }) =>
      wholeNumber("PORT", port, { least: 0, most: 65535 }),
  );
  const files = await pageFiles();
  Deno.serve({
    hostname: "127.0.0.1",
    port,
    onListen: ({ port }) => console.log(`http://localhost:${port}/`),
  }, (request) => {
    const { pathname } = new URL(request.url);
    return files.get(pathname)?.clone() ?? new Response(null, { status: 404 });
  });
}
