/**
 * The notation of kernels: what it expands to, and what it refuses.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  declareBindings,
  declareUniforms,
  indent,
  wgsl,
  type WgslScope,
} from "../../kernels/wgsl.ts";
import { property } from "../support/property.ts";

function expand(lines: readonly string[], scope: WgslScope = {}): string[] {
  const text = wgsl(lines.join("\n"), scope);
  return text === "" ? [] : text.split("\n");
}

Deno.test("wgsl() repeats lines over a count", () => {
  const lines = ["@each r in rows", "m_$r = s_$r;", "@end", "// done"];
  assertEquals(expand(lines, { rows: 2 }), [
    "m_0 = s_0;",
    "m_1 = s_1;",
    "// done",
  ]);
  assertEquals(expand(lines, { rows: 0 }), ["// done"]);
});

Deno.test("wgsl() repeats lines over a list", () => {
  const lines = ["@each c in columns", "x[$c]", "@end"];
  assertEquals(expand(lines, { columns: [1, 3] }), ["x[1]", "x[3]"]);
  assertEquals(expand(lines, { columns: ["a", "b + c"] }), [
    "x[a]",
    "x[b + c]",
  ]);
  assertEquals(expand(lines, { columns: [] }), []);
});

Deno.test("wgsl() repeats within what it repeats", () => {
  const lines = [
    "@each r in rows",
    "row $r",
    "@each j in keys",
    "s_$r_$j",
    "@end",
    "end of $r",
    "@end",
  ];
  assertEquals(expand(lines, { rows: 2, keys: ["x", "y"] }), [
    ...["row 0", "s_0_x", "s_0_y", "end of 0"],
    ...["row 1", "s_1_x", "s_1_y", "end of 1"],
  ]);
});

Deno.test("wgsl() gives back a name after the lines that repeat it", () => {
  const lines = ["$r", "@each r in rows", "$r", "@end", "$r"];
  assertEquals(expand(lines, { r: "outer", rows: [7] }), [
    "outer",
    "7",
    "outer",
  ]);
});

Deno.test("wgsl() takes the lines of a condition, or those of @else", () => {
  const lines = ["@if lse", "write", "@else", "skip", "@end", "end"];
  assertEquals(expand(lines, { lse: true }), ["write", "end"]);
  assertEquals(expand(lines, { lse: false }), ["skip", "end"]);
  const not = ["@if not lse", "skip", "@else", "write", "@end"];
  assertEquals(expand(not, { lse: true }), ["write"]);
  assertEquals(expand(not, { lse: false }), ["skip"]);
  const bare = ["@if not lse", "skip", "@end"];
  assertEquals(expand(bare, { lse: true }), []);
  assertEquals(expand(bare, { lse: false }), ["skip"]);
});

Deno.test("wgsl() gives an @else to the condition that it is in", () => {
  const lines = [
    "@if outer",
    "@if inner",
    "both",
    "@else",
    "outer alone",
    "@end",
    "@else",
    "@each r in rows",
    "@if inner",
    "inner $r",
    "@end",
    "@end",
    "@end",
  ];
  const of = (outer: boolean, inner: boolean) =>
    expand(lines, { outer, inner, rows: 2 });
  assertEquals(of(true, true), ["both"]);
  assertEquals(of(true, false), ["outer alone"]);
  assertEquals(of(false, true), ["inner 0", "inner 1"]);
  assertEquals(of(false, false), []);
  const inside = ["@if outer", "@if inner", "@else", "x", "@end", "y", "@end"];
  const ofInner = (outer: boolean, inner: boolean) =>
    expand(inside, { outer, inner });
  assertEquals(ofInner(true, false), ["x", "y"]);
  assertEquals(ofInner(true, true), ["y"]);
  assertEquals(ofInner(false, false), []);
});

Deno.test("wgsl() leaves what is not taken as it is", () => {
  // Not even a name in it must be there.
  const lines = ["@if never", "$nothing", "@each x in y", "@end", "@end"];
  assertEquals(expand(lines, { never: false }), []);
});

Deno.test("wgsl() puts in values within words", () => {
  const scope = { r: 1, name: "key", buffer: "arena_0", big: 2 ** 31 };
  assertEquals(
    expand(["$name_$r_cursor = $buffer[$r * $big] + f$name;"], scope),
    ["key_1_cursor = arena_0[1 * 2147483648] + fkey;"],
  );
  // A name ends at an underscore, and begins with a small letter.
  assertEquals(expand(["$r_x $R $_r $ $1"], scope), ["1_x $R $_r $ $1"]);
});

Deno.test("wgsl() puts text of several lines where a line is its name", () => {
  const scope = { body: "a;\n  b;", none: "", empty: "\n" };
  assertEquals(expand(["{", "  $body", "}"], scope), ["{", "a;", "  b;", "}"]);
  assertEquals(expand(["{", "$none", "}"], scope), ["{", "}"]);
  assertEquals(expand(["{", "$empty", "}"], scope), ["{", "", "", "}"]);
  assertEquals(expand(["f($none)"], scope), ["f()"]);
});

Deno.test("wgsl() does not expand what it puts in", () => {
  const scope = { text: "@each r in rows\n$r\n@end", rows: 2 };
  assertEquals(expand(["$text"], scope), ["@each r in rows", "$r", "@end"]);
});

Deno.test("wgsl() trims lines and both ends, and keeps blank lines between", () => {
  assertEquals(expand(["", "  a", "", "\tb  ", "  ", ""]), ["a", "", "b"]);
  assertEquals(wgsl(""), "");
  assertEquals(wgsl("\n \n"), "");
});

Deno.test("wgsl() leaves attributes to WGSL", () => {
  const lines = ["@compute @workgroup_size($n)", "@group(0) @binding(1)"];
  assertEquals(expand(lines, { n: 8 }), [
    "@compute @workgroup_size(8)",
    "@group(0) @binding(1)",
  ]);
});

const FAULTS: readonly (readonly [
  name: string,
  lines: readonly string[],
  scope: WgslScope,
  where: string,
  what: string,
])[] = [
  ["an unknown name", ["a $b c"], {}, "b", "nothing has that name"],
  ["an unknown name alone", ["$b"], {}, "b", "nothing has that name"],
  ["a name of every object", ["$constructor"], {}, "constructor", "nothing"],
  ["an unknown count", ["@each r in b", "@end"], {}, "b", "nothing has"],
  ["an unknown condition", ["@if b", "@end"], {}, "b", "nothing has"],
  [
    "a name past its lines",
    ["@each r in rows", "@end", "$r"],
    { rows: 1 },
    "r",
    "nothing has that name",
  ],
  ["a fraction", ["$x"], { x: 0.5 }, "$x", "0.5 is neither text nor"],
  ["a fraction in words", ["f($x)"], { x: NaN }, "f($x)", "NaN is neither"],
  ["a boolean as text", ["f($x)"], { x: true }, "f($x)", "true is neither"],
  ["a list as text", ["f($x)"], { x: [1, 2] }, "f($x)", "1,2 is neither"],
  [
    "text as a count",
    ["@each r in x", "@end"],
    { x: "3" },
    "@each r in x",
    "3 is neither a count nor a list",
  ],
  [
    "a boolean as a count",
    ["@each r in x", "@end"],
    { x: true },
    "@each r in x",
    "true is neither a count nor a list",
  ],
  [
    "a fraction as a count",
    ["@each r in x", "@end"],
    { x: 1.5 },
    "@each r in x",
    "1.5 is neither a count nor a list",
  ],
  [
    "a negative count",
    ["@each r in x", "@end"],
    { x: -1 },
    "@each r in x",
    "-1 is neither a count nor a list",
  ],
  [
    "a number as a condition",
    ["@if x", "@end"],
    { x: 1 },
    "@if x",
    "1 is no boolean",
  ],
  [
    "an @each that is not closed",
    ["@each r in x", "@if y", "@end"],
    { x: 1, y: true },
    "@each r in x",
    "it has no @end",
  ],
  ["an @if that is not closed", ["@if x"], { x: true }, "@if x", "it has no"],
  ["an @end of nothing", ["a", "@end"], {}, "@end", "it opens no block"],
  ["an @else of nothing", ["@else"], {}, "@else", "it opens no block"],
  [
    "a second @else",
    ["@if x", "@else", "@else", "@end"],
    { x: true },
    "@else",
    "it opens no block",
  ],
  [
    "another word than in",
    ["@each r of x", "@end"],
    { x: 1 },
    "@each r of x",
    "it opens no block",
  ],
  [
    "a condition of two names",
    ["@if x and y", "@end"],
    { x: true, y: true },
    "@if x and y",
    "it opens no block",
  ],
];

for (const [name, lines, scope, where, what] of FAULTS) {
  Deno.test(`wgsl() refuses ${name}`, () => {
    assertThrows(
      () => expand(lines, scope),
      TypeError,
      `Cannot expand WGSL at ${JSON.stringify(where)}: ${what}`,
    );
  });
}

/** A text in the notation, and what it should expand to. */
type Pair = readonly [text: readonly string[], expected: readonly string[]];

const SCOPE = { two: 2, none: 0, yes: true, no: false } as const;

/** Blocks in blocks, in which `$i` is the number of the block around it. */
const { block: someLines } = fc.letrec<{ block: Pair; part: Pair }>((tie) => ({
  part: fc.oneof(
    { maxDepth: 4 },
    fc.constant<Pair>([["x_$i;"], ["x_*;"]]),
    fc.record({ count: fc.constantFrom("two", "none"), body: tie("block") })
      .map(({ count, body: [text, expected] }): Pair => [
        [`@each i in ${count}`, ...text, "@end"],
        Array.from(
          { length: SCOPE[count as "two"] },
          (_, i) => expected.map((line) => line.replaceAll("*", `${i}`)),
        ).flat(),
      ]),
    fc.record({
      condition: fc.constantFrom("yes", "no"),
      not: fc.boolean(),
      body: tie("block"),
      otherwise: fc.option(tie("block"), { nil: undefined }),
    }).map(({ condition, not, body, otherwise }): Pair => [
      [
        `@if ${not ? "not " : ""}${condition}`,
        ...body[0],
        ...(otherwise ? ["@else", ...otherwise[0]] : []),
        "@end",
      ],
      SCOPE[condition as "yes" | "no"] === not ? otherwise?.[1] ?? [] : body[1],
    ]),
  ),
  block: fc.array(tie("part"), { maxLength: 3 }).map((parts): Pair => [
    parts.flatMap(([text]) => text),
    parts.flatMap(([, expected]) => expected),
  ]),
}));

property(
  "wgsl() expands blocks in blocks as plain loops and branches do",
  [someLines],
  ([text, expected]) => {
    assertEquals(
      expand(text, { ...SCOPE, i: 9 }),
      expected.map((line) => line.replaceAll("*", "9")),
    );
  },
);

Deno.test("indent() goes by braces and parentheses", () => {
  assertEquals(
    indent("fn f(\na: u32,\n) {\nif (a) {\nb;\n} else {\nc;\n}\n\n}\nd;"),
    [
      "fn f(",
      "  a: u32,",
      ") {",
      "  if (a) {",
      "    b;",
      "  } else {",
      "    c;",
      "  }",
      "",
      "}",
      "d;",
    ].join("\n"),
  );
});

Deno.test("declareBindings() numbers bindings of group 0 in order", () => {
  assertEquals(
    declareBindings([
      { name: "key", type: "array<vec4f>", access: "read" },
      { name: "output", type: "array<f32>", access: "read_write" },
      { name: "params", type: "Params", access: "uniform" },
    ]).split("\n"),
    [
      "@group(0) @binding(0) var<storage, read> key: array<vec4f>;",
      "@group(0) @binding(1) var<storage, read_write> output: array<f32>;",
      "@group(0) @binding(2) var<uniform> params: Params;",
    ],
  );
});

Deno.test("declareUniforms() pads to whole 16 bytes", () => {
  const fields = { a: "u32", b: "f32", c: "i32", d: "u32" } as const;
  const structOf = (count: number) =>
    declareUniforms(
      "P",
      Object.fromEntries(Object.entries(fields).slice(0, count)),
    ).split("\n").slice(1, -1).map((line) => line.trim());
  assertEquals(structOf(1), [
    "a: u32,",
    "padding_0: u32,",
    "padding_1: u32,",
    "padding_2: u32,",
  ]);
  assertEquals(structOf(3), [
    "a: u32,",
    "b: f32,",
    "c: i32,",
    "padding_0: u32,",
  ]);
  assertEquals(structOf(4), ["a: u32,", "b: f32,", "c: i32,", "d: u32,"]);
});
