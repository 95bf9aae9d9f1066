import { assertEquals, assertThrows } from "@std/assert";
import { checkOptions } from "../../src/core/options.ts";

const KNOWN = {
  known: ["causal", "window", "softcap", "keyLengths"],
  hints: { isCausal: "write causal", dropoutP: "there is no dropout" },
};

Deno.test("checkOptions() takes what is known, in any number", () => {
  checkOptions("f()", {}, KNOWN);
  checkOptions("f()", { causal: true, window: undefined }, KNOWN);
});

Deno.test("checkOptions() says what to write instead", () => {
  const wrong: [object, string][] = [
    [
      { isCausal: true },
      "isCausal must not be given, as f() has no such option; write causal: current value is true",
    ],
    [{ is_causal: true }, "is_causal must not be given, as f() has no such"],
    [{ is_causal: true }, "write causal: current"],
    [{ dropout_p: 0.1 }, "there is no dropout: current value is 0.1"],
    [{ Causal: true }, "write causal: current"],
    [{ casual: true }, "write causal: current"],
    [{ keylength: [1] }, "write keyLengths: current value is [1]"],
    [{ soft_cap: 1 }, "write softcap: current"],
    [
      { colour: "red" },
      "its options are causal, window, softcap, keyLengths: current value is",
    ],
    [{ isCausal: undefined }, "current value is undefined"],
  ];
  for (const [given, message] of wrong) {
    const error = assertThrows(
      () => checkOptions("f()", given, KNOWN),
      TypeError,
    );
    assertEquals(error.message.includes(message), true, error.message);
  }
});

Deno.test("checkOptions() takes an object only", () => {
  for (const given of [undefined, null, 3, "causal", ["causal"]]) {
    assertThrows(
      () => checkOptions("f()", given, KNOWN),
      TypeError,
      "options of f() must be an object",
    );
  }
});
