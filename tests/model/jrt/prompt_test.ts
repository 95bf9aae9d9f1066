import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { repeatedPrompt } from "../../../src/model/mod.ts";
import { property } from "../../support/property.ts";

const tokens = fc.array(fc.nat(9), { maxLength: 6 });

property(
  "repeatedPrompt() has the context so often, and the question once",
  [tokens, tokens, tokens, fc.integer({ min: 1, max: 4 })],
  (context, separator, question, repeats) => {
    const prompt = repeatedPrompt({ context, separator, question, repeats });
    const length = context.length + separator.length;
    assertEquals(
      prompt.length,
      repeats * length - separator.length +
        question.length,
    );
    for (let n = 0; n < repeats; n++) {
      const at = n * length;
      assertEquals(prompt.slice(at, at + context.length), context);
    }
    assertEquals(prompt.slice(prompt.length - question.length), question);
    const text = (all: readonly number[]) => all.join("");
    assertEquals(
      repeatedPrompt({
        context: text(context),
        separator: text(separator),
        question: text(question),
        repeats,
      }),
      text(prompt),
    );
  },
);

Deno.test("repeatedPrompt() reads twice unless it is told otherwise", () => {
  assertEquals(repeatedPrompt({ context: "ab", question: "?" }), "abab?");
  assertEquals(
    repeatedPrompt({ context: new Uint32Array([1]), question: [2] }),
    [1, 1, 2],
  );
});

Deno.test("repeatedPrompt() refuses parts of two kinds", () => {
  const mixed = { context: "a", question: [1] as unknown as string };
  assertThrows(
    () => repeatedPrompt(mixed),
    TypeError,
    "question must be text, as context is",
  );
  assertThrows(
    () => repeatedPrompt({ context: "a", question: "b", repeats: 0 }),
    RangeError,
    "repeats must be an integer >= 1",
  );
  const twice = { context: "a", question: "b", times: 2 };
  assertThrows(() => repeatedPrompt(twice), TypeError, "write repeats");
});
