/**
 * Tables and lines for a terminal of any width.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { formatTable } from "../../src/cli/table.ts";
import { chopped, styled, widthOf, wrapped } from "../../src/cli/terminal.ts";
import { property } from "../support/property.ts";

Deno.test("formatTable() aligns cells under headings", () => {
  assertEquals(
    formatTable([{ title: "name" }, { title: "ms", align: "right" }], [
      ["a", "1.25"],
      ["longer", "10.5"],
    ]),
    `name      ms
------  ----
a       1.25
longer  10.5`,
  );
});

Deno.test("formatTable() draws no headings where there are none", () => {
  const columns = [{ title: "" }, { title: "", align: "right" as const }];
  assertEquals(
    formatTable(columns, [["a", "1"], ["bb", "22"]], { indent: "  " }),
    "  a    1\n  bb  22",
  );
});

Deno.test("formatTable() breaks headings first, then texts, never numbers", () => {
  const columns = [
    { title: "what it is" },
    { title: "of all memory", align: "right" as const },
  ];
  const rows = [["a text of several words", "12 %"]];
  assertEquals(
    formatTable(columns, rows, { width: 32 }),
    `what it is                of all
                          memory
-----------------------  -------
a text of several words     12 %`,
  );
  const narrow = formatTable(columns, rows, { width: 20 }).split("\n");
  assert(narrow.some((line) => line.endsWith("12 %")));
  assert(narrow.every((line) => line.length <= 20), narrow.join("\n"));
  const tight = [{ title: "it is" }, { title: "of", align: "right" as const }];
  assertEquals(
    formatTable(tight, [["two words", "1.5 GB/s"]], { width: 14 }),
    `it is        of
-----  --------
two    1.5 GB/s
words`,
  );
});

Deno.test("formatTable() measures what is seen of styled cells", () => {
  const terminal = { colour: true };
  const table = formatTable([{ title: "a" }, { title: "b" }], [
    [styled(terminal, "red", "WRONG"), "x"],
    ["ok", "y"],
  ]);
  const lines = table.split("\n").map((line) =>
    // deno-lint-ignore no-control-regex -- a style's escape sequence
    line.replaceAll(/\x1b\[\d+m/g, "")
  );
  assertEquals(lines.slice(2), ["WRONG  x", "ok     y"]);
});

Deno.test("styled() leaves text alone where there is no colour", () => {
  assertEquals(styled({ colour: false }, "red", "x"), "x");
  assertEquals(styled({ colour: true }, "red", "x"), "\x1b[31mx\x1b[39m");
});

Deno.test("widthOf() counts two columns for wide characters", () => {
  assertEquals(widthOf("é"), 1);
  assertEquals(widthOf("漢字"), 4);
  assertEquals(widthOf("\x1b[31mx\x1b[39m"), 1);
});

property(
  "chopped() and wrapped() keep the text, in lines that fit",
  [
    fc.array(fc.constantFrom("a", "bcd", " ", "é", "漢"), { maxLength: 60 }),
    fc.integer({ min: 4, max: 30 }),
  ],
  (parts, columns) => {
    const text = parts.join("");
    const lines = chopped(text, columns);
    assertEquals(lines.join(""), text);
    for (const line of lines) assert(widthOf(line) <= columns);
    // Broken as late as possible.
    lines.slice(1).forEach((line, i) => {
      assert(widthOf(lines[i] + [...line][0]) > columns);
    });
    const words = text.split(/\s+/);
    const kept = wrapped(text, columns);
    assertEquals(kept.join(" ").split(" "), words);
    for (const line of kept) {
      assert(widthOf(line) <= columns || !line.includes(" "));
    }
  },
);
