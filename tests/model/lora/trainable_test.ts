import { assertEquals, assertThrows } from "@std/assert";
import { trainableParameters } from "../../../src/model/mod.ts";

const NAMES = [
  "embed_tokens.weight",
  "layers.0.input_layernorm.weight",
  "layers.0.q_proj.weight",
  "layers.0.q_proj.lora_A.weight",
  "layers.0.q_proj.lora_B.weight",
  "lm_head.weight",
];

Deno.test("trainableParameters() picks updates, embeddings and norms", () => {
  const [embedding, norm, query, a, b, head] = NAMES;
  assertEquals(trainableParameters(NAMES), {
    trained: [embedding, norm, a, b],
    frozen: [query, head],
  });
  assertEquals(trainableParameters(NAMES, { also: [] }).trained, [a, b]);
  assertEquals(trainableParameters(NAMES, { also: ["head"] }), {
    trained: [a, b, head],
    frozen: [embedding, norm, query],
  });
  assertEquals(
    trainableParameters(NAMES, { lora: "lora_B", also: [] }).trained,
    [b],
  );
});

Deno.test("trainableParameters() refuses words that pick nothing, or all", () => {
  const bad: [object, typeof TypeError | typeof RangeError, string][] = [
    [{ also: ["wte"] }, RangeError, "also[0] must be in the name of some"],
    [{ lora: "adapter" }, RangeError, "lora must be in the name of some"],
    [{ also: ["embed", ""] }, RangeError, "also[1] must not be empty"],
    [{ also: [1] }, TypeError, "also[0] must be a string"],
    [{ also: "embed" }, TypeError, "also must be an array"],
    [{ trainableParams: "embed,norm" }, TypeError, "write also"],
  ];
  for (const [options, kind, message] of bad) {
    assertThrows(() => trainableParameters(NAMES, options), kind, message);
  }
  assertThrows(
    () => trainableParameters(["lora", 1 as unknown as string]),
    TypeError,
    "names[1] must be a string",
  );
});
