import fc from "fast-check";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { checkProperty, runsOf, SEED } from "./property.ts";

Deno.test("checkProperty() ends in one line that replays the failure", async () => {
  const error = await assertRejects(() =>
    checkProperty('small "numbers"', [fc.nat()], (x) => x < 50)
  );
  const lines = error.message.split("\n")
    .filter((line) => line.includes("deno test"));
  assertEquals(lines.length, 1);
  assertMatch(
    lines[0],
    /^FC_SEED=-?\d+ FC_PATH=[\d:]+ deno test -A tests\/support\/property_test\.ts --filter "small \\"numbers\\""$/,
  );
  assertMatch(error.message, /Counterexample: \[50\]/);
  assertEquals(lines[0].startsWith(`FC_SEED=${SEED} `), true);
});

Deno.test("runsOf() is FC_RUNS where that is set", () => {
  const before = Deno.env.get("FC_RUNS");
  try {
    Deno.env.set("FC_RUNS", "7");
    assertEquals(runsOf(100), 7);
    Deno.env.delete("FC_RUNS");
    assertEquals(runsOf(100), 100);
  } finally {
    if (before !== undefined) Deno.env.set("FC_RUNS", before);
  }
});
