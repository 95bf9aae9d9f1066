/**
 * The pages that people read: links lead somewhere, files that are named are
 * there, and every system has all of its section.
 */

import { assert, assertEquals } from "@std/assert";
import results from "../bench/results/llvmpipe-2-cores.json" with {
  type: "json",
};
import { pictures } from "../docs/main.ts";

const ROOT = new URL("../", import.meta.url);
const PAGES = [
  "README.md",
  "SYSTEMS.md",
  "FEATURES.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  "examples/PORTING.md",
  "bench/README.md",
  "repro/README.md",
];

/** Folders whose files pages name in backticks. */
const NAMED =
  /`((?:src|kernels|reference|tests|bench|repro|examples|demo|docs)\/[\w./-]*)`/g;

async function read(page: string): Promise<string> {
  return await Deno.readTextFile(new URL(page, ROOT));
}

/** A page without its code blocks. */
function prose(page: string): string {
  return page.replaceAll(/^```[\s\S]*?^```$/gm, "");
}

/** The addresses of a page's links and images. */
function linksOf(page: string): string[] {
  const written = [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)];
  const markup = [...prose(page).matchAll(/(?:src|href)="([^"]+)"/g)];
  return [...written, ...markup].map(([, link]) => link);
}

/** The anchors of a page's headings, as GitHub makes them. */
function anchorsOf(page: string): Set<string> {
  const headings = [...prose(page).matchAll(/^#+ (.*)$/gm)];
  return new Set(
    headings.map(([, heading]) =>
      heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-")
    ),
  );
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then(() => true, () => false);
}

/** What is wrong with a link of a page, if anything. */
async function faultOf(page: string, link: string): Promise<string[]> {
  if (/^[a-z]+:/.test(link)) {
    return link.startsWith("https://") ? [] : [`${page}: ${link}: no https`];
  }
  const url = new URL(link, new URL(page, ROOT));
  if (!await exists(url)) return [`${page}: ${link}: no such file`];
  if (url.hash === "" || !url.pathname.endsWith(".md")) return [];
  const anchors = anchorsOf(await Deno.readTextFile(url));
  const anchor = decodeURIComponent(url.hash.slice(1));
  return anchors.has(anchor) ? [] : [`${page}: ${link}: no such heading`];
}

Deno.test("every link of a page leads to a file and a heading", async () => {
  const faults: string[] = [];
  for (const page of PAGES) {
    const links = linksOf(await read(page));
    for (const link of links) faults.push(...await faultOf(page, link));
  }
  assertEquals(faults, []);
});

Deno.test("every file that a page names is there", async () => {
  const missing: string[] = [];
  for (const page of PAGES) {
    for (const [, path] of prose(await read(page)).matchAll(NAMED)) {
      const files = [path, `${path}.md`];
      const found = await Promise.all(
        files.map((file) => exists(new URL(file, ROOT))),
      );
      if (!found.includes(true)) missing.push(`${page}: ${path}`);
    }
  }
  assertEquals(missing, []);
});

Deno.test("every system says where it stands and what differs", async () => {
  const page = await read("SYSTEMS.md");
  const sections = page.split(/^## /m).slice(1);
  assert(sections.length > 10);
  const parts = [
    "Paper",
    "Reference",
    "Here",
    "Tests",
    "Differs",
    "Not reproduced",
  ];
  const lacking = sections
    .filter((section) => !section.startsWith("Smaller parts"))
    .flatMap((section) =>
      parts.filter((part) => !section.includes(`- **${part}:**`))
        .map((part) => `${section.split("\n")[0]}: ${part}`)
    );
  assertEquals(lacking, []);
});

Deno.test("every reproduction and its plot are linked from SYSTEMS.md", async () => {
  const links = new Set(linksOf(await read("SYSTEMS.md")));
  const results = new URL("repro/results/", ROOT);
  const plots = (await Array.fromAsync(Deno.readDir(results)))
    .map(({ name }) => `repro/results/${name}`)
    .filter((name) => name.endsWith(".svg"));
  assertEquals(plots.filter((plot) => !links.has(plot)), []);
});

Deno.test("every picture is as its script draws it", async () => {
  for (const [name, svg] of pictures()) {
    const file = new URL(`docs/${name}`, ROOT);
    assertEquals(await Deno.readTextFile(file), svg, "deno task pictures");
  }
});

/** A row of README's table of peers, by the name of its case. */
function peersRow(line: string): readonly [name: string, cells: string[]] {
  const [name, ...cells] = line.split("|").slice(1, -1).map((it) => it.trim());
  const words = name.replaceAll(",", "").replace("over ", "")
    .replace(" keys", "");
  return [words.replace(/^(prefill \d+) f32/, "$1 dense f32"), cells];
}

Deno.test("README's figures of peers are those of the last run", async () => {
  const { peers } = results;
  const page = await read("README.md");
  const section =
    page.split("\n## Compared, side by side\n")[1].split("\n## ")[0];
  assert(section.includes("`deno task bench:peers`"));
  assert(section.includes(peers.date.slice(0, "2026-11-21".length)));
  assert(page.includes("(docs/peers.svg)"));
  const rows = [...section.matchAll(/^\| .*\d \(.*$/gm)];
  assert(rows.length >= 10, `${rows.length} rows`);
  for (const [line] of rows) {
    const [name, cells] = peersRow(line);
    const row = peers.rows.find((one) => one.case === name);
    assert(row, `no case ${name}`);
    row.entries.forEach((entry, i) => {
      if (entry.ms === undefined) return assertEquals(cells[i], "", name);
      const [ms, ratio = 1] = cells[i].match(/[\d.]+/g)!.map(Number);
      const where = `${name}, ${entry.name}: ${cells[i]}`;
      assert(Math.abs(ms / entry.ms.median - 1) < 0.005, where);
      assert(Math.abs(ratio - entry.ratio!) < 0.0501, where);
    });
  }
});
