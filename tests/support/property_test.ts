import fc from "fast-check";
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { checkProperty, commandLists, runsOf, SEED } from "./property.ts";

Deno.test("checkProperty() ends in one line that replays the failure", async () => {
  const error = await assertRejects(() =>
    checkProperty('small "numbers"', [fc.nat()], (x) => x < 50)
  );
  const lines = error.message.split("\n")
    .filter((line) => line.includes("deno test"));
  assertEquals(lines.length, 1);
  assertMatch(
    lines[0],
    /^FC_SEED=-?\d+ FC_PATH=[\d:]+ (FC_RUNS=1000 )?deno test -A tests\/support\/property_test\.ts --filter "small \\"numbers\\""$/,
  );
  assertMatch(error.message, /Counterexample: \[50\]/);
  assertEquals(lines[0].startsWith(`FC_SEED=${SEED} `), true);
});

function withRuns<T>(runs: string, run: () => T): T {
  const before = Deno.env.get("FC_RUNS");
  Deno.env.set("FC_RUNS", runs);
  try {
    return run();
  } finally {
    if (before === undefined) Deno.env.delete("FC_RUNS");
    else Deno.env.set("FC_RUNS", before);
  }
}

Deno.test("runsOf() is FC_RUNS where that is set", () => {
  assertEquals(withRuns("7", () => runsOf(100)), 7);
  assertEquals(withRuns("", () => runsOf(100)), 100);
});

Deno.test("commandLists() are thousands long now and then, in the long run", () => {
  const command = fc.constant({
    check: () => true,
    run: () => {},
    toString: () => "nothing",
  });
  const lengths = (runs: string) =>
    withRuns(
      runs,
      () =>
        fc.sample(commandLists([command], { maxCommands: 100, size: "max" }), {
          numRuns: 1000,
          seed: 1,
        }),
    ).map((commands) => [...commands].length);
  assertEquals(lengths("999").filter((length) => length > 100), []);
  const long = lengths("1000").filter((length) => length > 100);
  assert(long.length > 5 && long.length < 60, `${long.length} of 1000`);
  assert(Math.max(...long) > 1000, `${Math.max(...long)}`);
});
