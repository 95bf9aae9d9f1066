import { assertEquals, assertThrows } from "@std/assert";
import { findAll, replaceAll, tokenize } from "./tokens.ts";

const words = (text: string) => tokenize(text).map((token) => token.text);

function replaced(text: string, find: string, replacement: string): string {
  const tokens = tokenize(text);
  return replaceAll(text, tokens, findAll(find, tokens), replacement);
}

Deno.test("tokenize() goes by words, not by lines", () => {
  assertEquals(
    words("a.b(c,\n  // why\n  d, /* not */ \n);"),
    words("a.b(c, d);"),
  );
  assertEquals(words("a.b(c,d)"), ["a", ".", "b", "(", "c", ",", "d", ")"]);
});

Deno.test("tokenize() takes literals whole", () => {
  const text =
    '"a // b" \'\\\'\' `x ${ f(`}`, { a: "}" }) } y` 1_000 0x1fp+2 ' +
    "-2.5e-3f 1u .5";
  assertEquals(words(text), [
    ...['"a // b"', "'\\''", '`x ${ f(`}`, { a: "}" }) } y`', "1_000"],
    ...["0x1fp+2", "-", "2.5e-3f", "1u", ".5"],
  ]);
});

Deno.test("tokenize() tells regular expressions from divisions", () => {
  assertEquals(words("a / b / c[0] / 2"), [
    ...["a", "/", "b", "/", "c", "[", "0", "]", "/", "2"],
  ]);
  assertEquals(words('x = /[/"]\\//g.test(y)'), [
    ...["x", "=", '/[/"]\\//g', ".", "test", "(", "y", ")"],
  ]);
});

Deno.test("tokenize() takes the longest punctuation", () => {
  assertEquals(words("a ??= b?.#c !== --d => ...e"), [
    ...["a", "??=", "b", "?.", "#c", "!==", "--", "d", "=>", "...", "e"],
  ]);
});

Deno.test("tokens know their places", () => {
  const text = "if (a) {\n  b();\n}";
  for (const { text: word, start, end } of tokenize(text)) {
    assertEquals(text.slice(start, end), word);
  }
});

Deno.test("findAll() finds words however their lines are broken", () => {
  assertEquals(
    replaced("f(\n  a,\n  b,\n); f(a, c);", "f(a, b)", "g()"),
    "g(); f(a, c);",
  );
  assertEquals(replaced("max(a) + maximum", "max", "min"), "min(a) + maximum");
  assertEquals(replaced("a a a", "a a", "b"), "b a");
  assertEquals(replaced("x", "y", "z"), "x");
});

Deno.test("a variable in a name stands for a part of it", () => {
  assertEquals(
    replaced(
      "l_0 = fma(l_0, b_0); l_1 = fma(l_2, b_1);",
      "l_$r = fma(l_$r, b_$r)",
      "l_$r = b_$r",
    ),
    "l_0 = b_0; l_1 = fma(l_2, b_1);",
  );
  assertEquals(replaced("s_1_20 + 3", "s_$r_$j", "t_$j_$r"), "t_20_1 + 3");
});

Deno.test("a variable stands for words with their brackets closed", () => {
  assertEquals(
    replaced("a[(i + 1) * 2] = b(a[(i+1)*2]);", "a[$at] = b(a[$at])", "$at"),
    "( i + 1 ) * 2;",
  );
  assertEquals(
    replaced("f(a, [b, c]); g()", "f($all)", "[$all]"),
    "[a , [ b , c ]]; g()",
  );
  assertEquals(replaced("f(a); g(b)", "f($x)", "$x$y"), "a$y; g(b)");
  // Never out of the statement, nor out of a bracket, nor nothing at all.
  assertEquals(replaced("f(); g(b)", "f($x)", ""), "f(); g(b)");
  assertEquals(replaced("a + (b) c", "a $x c", ""), "");
  assertEquals(replaced("(a + b) c", "a $x c", ""), "(a + b) c");
  assertEquals(replaced("a; b", "a $x b", ""), "a; b");
});

Deno.test("a pattern has words", () => {
  assertThrows(() => findAll(" ", tokenize("a")), TypeError, "must have words");
});
