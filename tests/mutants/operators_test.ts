import { assertEquals } from "@std/assert";
import { changesOf, textOf } from "./operators.ts";
import { tokenize } from "./tokens.ts";

/** What each change makes of a text. */
function changed(text: string): string[] {
  const tokens = tokenize(text);
  return changesOf(tokens).map(({ first, end, replace }) =>
    [
      textOf(tokens.slice(0, first)),
      replace,
      textOf(tokens.slice(end)),
    ].filter((part) => part !== "").join(" ")
  );
}

Deno.test("changesOf() turns each operator into its like", () => {
  assertEquals(changed("a < b"), ["a <= b"]);
  assertEquals(changed("if (a && b === 0) {"), [
    "if (a || b === 0) {",
    "if (a && b !== 0) {",
    "if (a && b === 1 ) {",
  ]);
  assertEquals(changed("Math.max(a, b)"), ["Math. min (a, b)"]);
  assertEquals(changed("a +\n  1u"), ["a - 1u", "a + 0u"]);
});

Deno.test("changesOf() leaves types and signs as they are", () => {
  assertEquals(changed("Map<string, Set<T>>"), []);
  assertEquals(changed("f(-a, 2)"), []);
  assertEquals(changed("@group(0) @binding(1) var"), []);
});

Deno.test("changesOf() leaves out calls that are statements", () => {
  assertEquals(changed("{ this.#a.b!.c(d[2], () => { x = y; }); }"), ["{ }"]);
  assertEquals(changed("; await f(); g(2)"), ["; g(2)"]);
  const none =
    "; return f(); a = f(); const b = f(); if (c) d; e: f(); g < h(); }";
  assertEquals(changed(none), [none.replace("g <", "g <=")]);
});
