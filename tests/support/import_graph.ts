/**
 * The graph of files by what they import, and its circles. A circle of files
 * is a fault even where it runs: none of its files can be read by itself.
 *
 * `deno run --allow-read tests/support/import_graph.ts` fails where the library
 * has one, and lists its files.
 *
 * @module
 */

// deno-lint-ignore-file no-console
import { readCommand } from "../../src/cli/arguments.ts";

/** The files that each file imports; each is a key itself. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** A relative specifier, in quotes. */
const RELATIVE = String.raw`["'](\.{1,2}/[^"']*)["']`;

/**
 * Statements begin a line, as the formatter sees to it; between `import` and
 * its specifier stands no quote and no end of a statement.
 */
const STATEMENT = new RegExp(
  String.raw`^(?:import|export)\b[^"';]*?\bfrom\s*${RELATIVE}`,
  "gm",
);

/** `import "./a.ts"`, for its effects. */
const EFFECT = new RegExp(String.raw`^import\s*${RELATIVE}`, "gm");

/** `import("./a.ts")`, of a value or of a type. */
const CALL = new RegExp(String.raw`\bimport\(\s*${RELATIVE}`, "g");

/** Block comments, whose examples may import; a string holds none of them. */
const COMMENT = /\/\*[^]*?\*\/|^\s*\/\/.*$/gm;

/**
 * The relative specifiers that a formatted source imports or exports from, in
 * the order of their kinds; imports of types count.
 */
export function importSpecifiers(source: string): string[] {
  const code = source.replace(COMMENT, "");
  return [STATEMENT, EFFECT, CALL].flatMap((pattern) =>
    Array.from(code.matchAll(pattern), ([, specifier]) => specifier)
  );
}

/** The graph of `sources`, by path; imports of other files are left out. */
export function importGraph(sources: ReadonlyMap<string, string>): ImportGraph {
  return new Map(Array.from(sources, ([path, source]) => {
    const targets = importSpecifiers(source)
      .map((specifier) => new URL(specifier, `file:///${path}`).pathname)
      .map((pathname) => decodeURIComponent(pathname).slice(1))
      .filter((target) => sources.has(target));
    return [path, [...new Set(targets)]];
  }));
}

/**
 * The circles of a graph: its strongly connected components of more than one
 * file, and files that import themselves. Each is sorted, and so are they.
 */
export function circlesOf(graph: ImportGraph): string[][] {
  return components(graph)
    .filter(([first, ...rest]) =>
      rest.length > 0 || graph.get(first)!.includes(first)
    )
    .map((circle) => circle.sort())
    .sort(([a], [b]) => a < b ? -1 : 1);
}

/** Tarjan's algorithm, with a stack of its own: depth is no limit. */
function components(graph: ImportGraph): string[][] {
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const open: string[] = [];
  const isOpen = new Set<string>();
  const found: string[][] = [];
  const path: { file: string; next: number }[] = [];
  const enter = (file: string) => {
    lowest.set(file, index.size);
    index.set(file, index.size);
    open.push(file);
    isOpen.add(file);
    path.push({ file, next: 0 });
  };
  const lower = (file: string, to: number) =>
    lowest.set(file, Math.min(lowest.get(file)!, to));
  for (const root of graph.keys()) {
    if (!index.has(root)) enter(root);
    while (path.length > 0) {
      const { file } = path[path.length - 1];
      const target = graph.get(file)![path[path.length - 1].next++];
      if (target !== undefined) {
        if (!index.has(target)) enter(target);
        else if (isOpen.has(target)) lower(file, index.get(target)!);
        continue;
      }
      path.pop();
      if (path.length > 0) lower(path[path.length - 1].file, lowest.get(file)!);
      if (lowest.get(file) !== index.get(file)) continue;
      const component = open.splice(open.indexOf(file));
      component.forEach((member) => isOpen.delete(member));
      found.push(component);
    }
  }
  return found;
}

/**
 * A shortest way from a file back to itself, each importing the next; empty
 * where there is none.
 */
export function wayRound(graph: ImportGraph, start: string): string[] {
  const from = new Map<string, string>();
  const queue = [start];
  for (const file of queue) {
    for (const target of graph.get(file)!) {
      if (target === start) return [...backFrom(file, from), start];
      if (from.has(target)) continue;
      from.set(target, file);
      queue.push(target);
    }
  }
  return [];
}

function backFrom(file: string, from: ReadonlyMap<string, string>): string[] {
  const before = from.get(file);
  return before === undefined ? [file] : [...backFrom(before, from), file];
}

/** The folders of the library. */
const LIBRARY = ["src", "kernels", "reference"] as const;

/** The sources of the library, by their path within the repository. */
export function librarySources(root: URL): Map<string, string> {
  const sources = new Map<string, string>();
  const visit = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(new URL(path, root))) {
      if (isDirectory) visit(`${path}${name}/`);
      else if (name.endsWith(".ts")) {
        const file = path + name;
        sources.set(file, Deno.readTextFileSync(new URL(file, root)));
      }
    }
  };
  for (const folder of LIBRARY) visit(`${folder}/`);
  return sources;
}

/** What to say of a graph's circles; empty where there is none. */
export function circleReport(graph: ImportGraph): string {
  return circlesOf(graph).map((circle) =>
    `A circle of ${circle.length} files:
${circle.map((file) => `  ${file}`).join("\n")}
The shortest way round:
  ${wayRound(graph, circle[0]).join("\n  imports ")}
`
  ).join("\n");
}

const USAGE = `Usage: deno task check:circles
  Checks that no files of the library import each other in a circle`;

if (import.meta.main) {
  readCommand({ usage: USAGE, flags: {} }, () => {});
  const graph = importGraph(librarySources(new URL("../../", import.meta.url)));
  const report = circleReport(graph);
  if (report) {
    console.error(report);
    Deno.exit(1);
  }
  console.log(`No circle among ${graph.size} files`);
}
