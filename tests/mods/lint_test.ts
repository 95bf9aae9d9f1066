import { assertEquals } from "@std/assert";
import plugin from "../../src/mods/lint.ts";

/** What the rule says to write, place by place. */
function cures(source: string): string[] {
  return Deno.lint.runPlugin(plugin as Deno.lint.Plugin, "mod.ts", source)
    .map(({ message }) => message.split("Write ")[1]);
}

Deno.test("the lint rule finds what tracing cannot", () => {
  const wrong: [string, string[]][] = [
    [
      `maskMod("m", ({ query, key }) => key.lt(2) || query.lt(3))`,
      ["a.or(b)."],
    ],
    [
      `maskMod("m", ({ query, key }) => {
         const near = key.lt(2);
         const far = key.gt(9);
         return near || far;
       })`,
      ["a.or(b)."],
    ],
    [`mods.maskMod("m", ({ key }) => key.lt(2) && key.gt(0))`, ["a.and(b)."]],
    [`maskMod("m", ({ key }) => !key.lt(2))`, ["a.not()."]],
    [
      `scoreMod("m", ({ score, key }) => key.lt(2) ? score : score.neg())`,
      ["condition.select(a, b)."],
    ],
    [
      `scoreMod("m", ({ score, key }) => {
         if (key.lt(2)) return score;
         return score.neg();
       })`,
      ["condition.select(a, b)."],
    ],
    [`scoreMod("m", ({ score: s }) => s + 1)`, ["a.add(b)."]],
    [`maskMod("m", ({ query, key }) => key === query)`, ["a.eq(b)."]],
    [`scoreMod("m", ({ score }) => -score)`, ["a.neg()."]],
  ];
  for (const [source, expected] of wrong) {
    assertEquals(cures(source), expected, source);
  }
});

Deno.test("the lint rule leaves all else alone", () => {
  for (
    const source of [
      `maskMod("m", ({ query, key }) => key.lt(2).or(query.lt(width + 1)))`,
      `maskMod("m", ({ key }) => wide ? key.lt(2) : key.lt(3))`,
      `maskMod("m", ({ key }) => key.lt(options.width || 3))`,
      `const x = a.lt(2) || b`,
      `f(({ query, key }) => key === query)`,
      `for (const key of keys) if (key === query || !key) f(-key)`,
    ]
  ) {
    assertEquals(cures(source), [], source);
  }
});
