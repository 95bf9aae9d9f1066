import fc from "fast-check";
import { assert, assertEquals } from "@std/assert";
import {
  circleReport,
  circlesOf,
  type ImportGraph,
  importGraph,
  importSpecifiers,
  librarySources,
  wayRound,
} from "./import_graph.ts";
import { property } from "./property.ts";

Deno.test("importSpecifiers() finds imports of every form", () => {
  const source = `/**
 * import { a } from "./example.ts";
 */
import { b } from "./value.ts";
import type { C } from "../type.ts";
import {
  type D,
  e,
} from "./many/lines.ts";
import * as f from "npm:package";
// import { g } from "./commented.ts";
export * from "./all.ts";
export type * from "./all_types.ts";
export { h, type I } from "./some.ts";
import "./effect.ts";
const from = "./no_import.ts";
export const text = 'from "./text.ts"';
type J = import("./inline_type.ts").J;
const k = await import("./dynamic.ts");
`;
  assertEquals(importSpecifiers(source), [
    "./value.ts",
    "../type.ts",
    "./many/lines.ts",
    "./all.ts",
    "./all_types.ts",
    "./some.ts",
    "./effect.ts",
    "./inline_type.ts",
    "./dynamic.ts",
  ]);
});

Deno.test("importGraph() resolves specifiers, once each, among its files", () => {
  const graph = importGraph(
    new Map([
      ["src/a.ts", 'import "./b/c.ts";\nexport * from "./b/c.ts";'],
      ["src/b/c.ts", 'import "../a.ts";\nimport "../../tests/d.ts";'],
    ]),
  );
  assertEquals([...graph], [
    ["src/a.ts", ["src/b/c.ts"]],
    ["src/b/c.ts", ["src/a.ts"]],
  ]);
});

Deno.test("circleReport() lists each circle's files and a way round", () => {
  const graph = new Map([
    ["a", ["b", "c"]],
    ["b", ["c"]],
    ["c", ["a"]],
    ["d", ["a", "d"]],
  ]);
  assertEquals(
    circleReport(graph),
    `A circle of 3 files:
  a
  b
  c
The shortest way round:
  a
  imports c
  imports a

A circle of 1 files:
  d
The shortest way round:
  d
  imports d
`,
  );
  assertEquals(circleReport(new Map([["a", ["b"]], ["b", []]])), "");
});

/** A graph of few files, with about as many imports as there are files. */
const graphs: fc.Arbitrary<ImportGraph> = fc.integer({ min: 1, max: 9 })
  .chain((size) => {
    const files = Array.from({ length: size }, (_, i) => `${i}.ts`);
    return fc.tuple(
      ...files.map(() => fc.uniqueArray(fc.nat(size - 1), { maxLength: 3 })),
    ).map((targets) =>
      new Map(files.map((file, i) => [file, targets[i].map((t) => files[t])]))
    );
  });

/** Whether a chain of imports leads from one file to another, by walking. */
function leadsTo(graph: ImportGraph, from: string, to: string): boolean {
  const seen = new Set<string>();
  const queue = [...graph.get(from)!];
  for (const file of queue) {
    if (seen.has(file)) continue;
    seen.add(file);
    queue.push(...graph.get(file)!);
  }
  return seen.has(to);
}

property(
  "circlesOf() puts together what leads to one another",
  [graphs],
  (graph) => {
    const circles = circlesOf(graph);
    const home = new Map(
      circles.flatMap((circle, i) => circle.map((file) => [file, i] as const)),
    );
    assertEquals(home.size, circles.flat().length);
    for (const a of graph.keys()) {
      assertEquals(home.has(a), leadsTo(graph, a, a), a);
      for (const b of graph.keys()) {
        const together = a === b ||
          leadsTo(graph, a, b) && leadsTo(graph, b, a);
        if (home.has(a) && home.has(b)) {
          assertEquals(home.get(a) === home.get(b), together, `${a} and ${b}`);
        }
      }
    }
  },
  { runs: 300 },
);

property(
  "wayRound() goes by imports from a file back to it",
  [graphs],
  (graph) => {
    for (const start of graph.keys()) {
      const way = wayRound(graph, start);
      assertEquals(way.length > 0, leadsTo(graph, start, start));
      if (way.length === 0) continue;
      assert(way.length > 1);
      assertEquals([way[0], way.at(-1)], [start, start]);
      for (const [i, file] of way.slice(1).entries()) {
        assert(graph.get(way[i])!.includes(file), `${way[i]} to ${file}`);
      }
    }
  },
);

Deno.test("librarySources() reads every file of the library", () => {
  const sources = librarySources(new URL("../../", import.meta.url));
  for (
    const file of [
      "src/core/check.ts",
      "src/mods/mod.ts",
      "kernels/attention/forward.ts",
      "reference/attention.ts",
    ]
  ) assert(sources.has(file), file);
  const graph = importGraph(sources);
  assert(graph.get("src/mods/mod.ts")!.includes("src/mods/masks/windows.ts"));
});
