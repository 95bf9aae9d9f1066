/**
 * How commands read their arguments, alone and as a person types them.
 *
 * @module
 */

import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  asksForHelp,
  parseCommand,
  UsageError,
  wholeNumber,
} from "../../src/cli/arguments.ts";

const COMMAND = {
  usage: "Usage: deno task thing [FILE] [--quick] [--size N]",
  flags: {
    quick: { type: "boolean", default: false },
    size: { type: "string", default: "8" },
  },
  words: 1,
} as const;

const parse = (...args: string[]) => {
  const { values, positionals } = parseCommand(COMMAND, args);
  return { ...values, positionals };
};

Deno.test("parseCommand() reads flags, values and words", () => {
  const none = { help: false, quick: false, size: "8", positionals: [] };
  assertEquals(parse(), none);
  assertEquals(parse("--quick", "--size=9", "a"), {
    ...none,
    quick: true,
    size: "9",
    positionals: ["a"],
  });
  assertEquals(parse("-h"), { ...none, help: true });
  assertEquals(parse("--help"), { ...none, help: true });
});

Deno.test("parseCommand() skips a -- in front, and ends flags at a later one", () => {
  assertEquals(parse("--", "--quick", "a"), parse("--quick", "a"));
  assertEquals(parse("--"), parse());
  assertEquals(parse("--quick", "--", "--size").positionals, ["--size"]);
  assertEquals(parse("--", "--", "--quick").positionals, ["--quick"]);
});

Deno.test("parseCommand() refuses what a command does not take", () => {
  const cases: [string[], string][] = [
    [["--fast"], "Unknown option '--fast'"],
    [["-q"], "Unknown option '-q'"],
    [["--size"], "argument missing"],
    [["--quick=yes"], "does not take an argument"],
    [["a", "b"], 'Unexpected argument "b"'],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => parse(...args), UsageError, message);
  }
  const wordless = { usage: COMMAND.usage, flags: {} };
  assertThrows(() => parseCommand(wordless, ["a"]), UsageError, '"a"');
});

Deno.test("wholeNumber() takes integers in a range", () => {
  const range = { least: 1, most: 500 };
  assertEquals(wholeNumber("--size", "1", range), 1);
  assertEquals(wholeNumber("--size", "500", range), 500);
  for (const text of ["0", "501", "1.5", "many", "", " ", "1e400", "-1"]) {
    assertThrows(
      () => wholeNumber("--size", text, range),
      UsageError,
      `--size must be an integer in 1..500: current value is ${text}`,
    );
  }
});

Deno.test("asksForHelp() looks no further than a --", () => {
  assertEquals(asksForHelp(["run", "-A", "main.ts", "--help"]), true);
  assertEquals(asksForHelp(["run", "-h"]), true);
  assertEquals(asksForHelp(["--", "--help"]), true);
  assertEquals(asksForHelp(["main.ts", "--", "--help"]), false);
  assertEquals(asksForHelp(["run", "--quick"]), false);
});

/** What `deno task` runs, as far as it takes arguments of ours. */
const COMMANDS: Readonly<Record<string, string[]>> = {
  demo: ["demo/main.ts"],
  "example:generate": ["examples/generate_main.ts"],
  "example:train": ["examples/train_main.ts"],
  "example:distill": ["examples/distill_main.ts"],
  "example:decode": ["examples/decode_main.ts"],
  "example:encode": ["examples/encoder_main.ts"],
  "example:worker": ["examples/worker/main.ts"],
  "example:browser": ["examples/browser/serve.ts"],
  pictures: ["docs/main.ts"],
  pack: ["src/cli/pack.ts"],
  doctor: ["src/cli/doctor.ts"],
  bench: ["bench/gpu.ts"],
  "bench:serving": ["bench/serving.ts"],
  "bench:policies": ["bench/policies.ts"],
  soak: ["bench/soak/main.ts"],
  repro: ["--config", "repro/deno.json", "repro/main.ts"],
  "compare:policies": [
    ...["--config", "repro/deno.json"],
    "repro/policies/compare/main.ts",
  ],
  "test:browser": ["tests/runtimes/browser.ts"],
  "test:node": ["tests/runtimes/node.ts"],
  "test:mutants": ["tests/mutants/main.ts"],
  "check:circles": ["tests/support/import_graph.ts"],
};

async function run(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-q", ...args],
    env: { NO_COLOR: "1" },
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

for (const [task, args] of Object.entries(COMMANDS)) {
  Deno.test(`deno task ${task} helps, and refuses unknown flags`, async () => {
    const usage = `Usage: deno task ${task}`;
    const help = await run(...args, "--", "--help");
    assertEquals([help.code, help.err], [0, ""]);
    assertStringIncludes(help.out, usage);
    const widest = Math.max(...help.out.split("\n").map((l) => l.length));
    assertEquals(widest <= 80, true, `${widest} columns`);
    const refused = await run(...args, "--no-such-flag");
    assertEquals([refused.code, refused.out], [2, ""]);
    assertStringIncludes(
      refused.err,
      `Unknown option '--no-such-flag'\n\n${usage}`,
    );
  });
}

Deno.test("commands refuse values that they cannot take, with the usage", async () => {
  const cases: [task: string, args: string[], message: string][] = [
    ["demo", ["--bytes", "0"], "--bytes must be an integer in 1..500"],
    ["demo", ["--prompt", ""], "--prompt must have 1 to 500 bytes"],
    ["soak", ["--operations", "15"], "operations must be a multiple of 10"],
    ["soak", ["--seed", "x"], "--seed must be an integer in 0.."],
    ["repro", ["leen"], 'There is no experiment "leen"'],
    ["example:browser", ["here"], "PORT must be an integer in 0..65535"],
    ["bench", ["now"], 'Unexpected argument "now"'],
    ["test:mutants", ["--random", "x"], "--random must be an integer in 1.."],
  ];
  for (const [task, args, message] of cases) {
    const { code, out, err } = await run(...COMMANDS[task], ...args);
    assertEquals([code, out], [2, ""]);
    assertStringIncludes(err, message);
    assertStringIncludes(err, `\n\nUsage: deno task ${task}`);
  }
});

Deno.test("with_gpu.ts gives help without a look for an adapter", async () => {
  const script = "src/cli/with_gpu.ts";
  const own = await run(script, "--help");
  assertEquals([own.code, own.err], [0, ""]);
  assertStringIncludes(own.out, "Usage: deno run -A src/cli/with_gpu.ts");
  const none = await run(script);
  assertEquals([none.code, none.out], [2, ""]);
  const passed = await run(script, "run", "-A", ...COMMANDS.doctor, "--help");
  assertEquals([passed.code, passed.err], [0, ""]);
  assertStringIncludes(passed.out, "Usage: deno task doctor");
});
