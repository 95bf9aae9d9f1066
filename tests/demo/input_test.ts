/**
 * What the demo is given: every bad file and argument is one sentence.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { checkCompletions, checkPredictions } from "../../demo/check.ts";
import {
  COMMAND,
  demoArguments,
  DemoError,
  MAX_PROMPT,
  MAX_TEXT,
  promptsOf,
  readInput,
} from "../../demo/input.ts";
import { continueText, lookUp } from "../../demo/look_up.ts";
import {
  bytesText,
  CompletionView,
  printable,
  Progress,
  writeEntry,
} from "../../demo/view.ts";
import { parseCommand, UsageError } from "../../src/cli/arguments.ts";
import { widthOf } from "../../src/cli/terminal.ts";

const read = (args: readonly string[]) =>
  demoArguments(parseCommand(COMMAND, args));

const encode = (text: string) => new TextEncoder().encode(text);

async function withFile(
  bytes: Uint8Array,
  fn: (path: string) => Promise<void>,
): Promise<void> {
  const path = await Deno.makeTempFile({ prefix: "quire_demo_" });
  try {
    await Deno.writeFile(path, bytes);
    await fn(path);
  } finally {
    await Deno.remove(path);
  }
}

Deno.test("demoArguments() takes a file, prompts and a count", () => {
  const given = read([
    "/notes.txt",
    "--prompt",
    "one",
    "--prompt=two",
    "--bytes",
    "7",
  ]);
  assertEquals(given, {
    file: "/notes.txt",
    prompts: ["one", "two"],
    count: 7,
  });
  const none = read([]);
  assertEquals(none.file.endsWith("/README.md"), true);
  assertEquals(none.count, 64);
});

Deno.test("demoArguments() refuses what it does not know", () => {
  const cases: [string[], string][] = [
    [["--speed"], "Unknown option '--speed'"],
    [["a", "b"], 'Unexpected argument "b"'],
    [["--bytes", "0"], `--bytes must be an integer in 1..${MAX_PROMPT}`],
    [["--bytes", "many"], "current value is many"],
    [["--bytes", "1.5"], "current value is 1.5"],
    [["--prompt", ""], "--prompt must have 1 to"],
    [["--prompt", "é".repeat(MAX_PROMPT)], `length is ${2 * MAX_PROMPT}`],
  ];
  for (const [args, message] of cases) {
    assertThrows(() => read(args), UsageError, message);
  }
});

Deno.test("readInput() reads any bytes", async () => {
  const bytes = Uint8Array.from({ length: 512 }, (_, i) => i);
  await withFile(bytes, async (path) => {
    assertEquals(await readInput(path), { text: bytes, truncated: false });
  });
});

Deno.test("readInput() stops at what the cache holds", async () => {
  const bytes = Uint8Array.from({ length: MAX_TEXT + 1 }, (_, i) => i);
  await withFile(bytes, async (path) => {
    const { text, truncated } = await readInput(path);
    assertEquals(truncated, true);
    assertEquals(text, bytes.subarray(0, MAX_TEXT));
  });
  await withFile(bytes.subarray(1), async (path) => {
    const { text, truncated } = await readInput(path);
    assertEquals([text.length, truncated], [MAX_TEXT, false]);
  });
});

Deno.test("readInput() says why there is nothing to read", async () => {
  await withFile(new Uint8Array(0), async (path) => {
    await assertRejects(() => readInput(path), DemoError, "it is empty");
  });
  const folder = await Deno.makeTempDir();
  await assertRejects(() => readInput(folder), DemoError, "it is a directory");
  await assertRejects(
    () => readInput(`${folder}/none`),
    DemoError,
    "there is no such file",
  );
  await Deno.remove(folder);
});

Deno.test({
  name: "readInput() says what the system says of an unreadable file",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    // Not even root can read the unmapped start of a process' memory.
    await assertRejects(
      () => readInput("/proc/self/mem"),
      DemoError,
      'Cannot read "/proc/self/mem": ',
    );
  },
});

Deno.test("promptsOf() takes pieces of the text", () => {
  const text = encode("the quick brown fox jumps over the lazy dog ".repeat(4));
  const prompts = promptsOf(text, 4);
  assertEquals(prompts.length, 4);
  for (const prompt of prompts) {
    assertEquals(printable(text).includes(printable(prompt)), true);
    assertEquals(prompt.length, 20);
  }
  assertEquals(promptsOf(encode("a"), 4), [encode("a")]);
});

Deno.test("checkPredictions() throws at the first wrong one", () => {
  const text = encode("abcabc");
  const right = Array.from(text, (_, i) => lookUp(text, i));
  checkPredictions(text, right);
  const wrong = right.with(4, { byte: 120, context: 1 });
  assertThrows(
    () => checkPredictions(text, wrong),
    DemoError,
    "The prediction for byte 4 is not what is looked up: byte 120",
  );
  assertThrows(
    () => checkPredictions(text, right.with(5, { byte: 99, context: 1 })),
    DemoError,
    "byte 99 after a context of 1 instead of byte 99 after a context of 2",
  );
  assertThrows(
    () => checkPredictions(text, right.with(5, undefined)),
    DemoError,
    "nothing instead of byte 99",
  );
});

Deno.test("checkCompletions() throws where one byte differs", () => {
  const text = encode("abcdef");
  const prompts = [encode("ab"), encode("cd")];
  const count = 3;
  const texts = prompts.map((prompt) => {
    const start = new Uint8Array([...text, ...prompt]);
    return new Uint8Array([...start, ...continueText(start, count)]);
  });
  checkCompletions({ text, prompts, count, texts });
  texts[1][texts[1].length - 1] ^= 1;
  assertThrows(
    () => checkCompletions({ text, prompts, count, texts }),
    DemoError,
    "Completion 2 is not what is looked up",
  );
});

function sinkOf(interactive: boolean, columns = 40) {
  const written: string[] = [];
  const sink = {
    write: (s: string) => void written.push(s),
    interactive,
    colour: interactive,
    columns,
  };
  return { sink, written };
}

Deno.test("CompletionView writes each prompt with its whole completion", () => {
  const { sink, written } = sinkOf(false);
  const count = 26;
  const view = new CompletionView(sink, [encode("a\n"), encode("b")], count);
  for (let i = 0; i < count; i++) view.push([97 + i, 65 + i]);
  view.end();
  assertEquals(
    written.join(""),
    `          7 of 26 bytes each
          13 of 26 bytes each
          20 of 26 bytes each
          26 of 26 bytes each
  1  prompt      a\\n
     completion  abcdefghijklmnopqrstuvw
                 xyz
  2  prompt      b
     completion  ABCDEFGHIJKLMNOPQRSTUVW
                 XYZ
`,
  );
});

Deno.test("CompletionView draws over its lines on a terminal", () => {
  const { sink, written } = sinkOf(true);
  const view = new CompletionView(sink, [encode("a"), encode("b")], 1);
  view.push([120, 121]);
  view.end();
  assertEquals(written.length, 3);
  assertEquals(written[1].startsWith("\x1b[2A"), true);
  assertEquals(written[1].includes("a\x1b[1mx\x1b[22m\n"), true);
  // The lines make room for what is written everywhere.
  assertEquals(
    written[2],
    `\x1b[2A\x1b[J  1  prompt      a
     completion  x
  2  prompt      b
     completion  y
`,
  );
});

Deno.test("CompletionView keeps a growing line within the terminal", () => {
  const { sink, written } = sinkOf(true, 20);
  const view = new CompletionView(sink, [encode("字".repeat(30))], 30);
  for (let i = 0; i < 30; i++) view.push([97]);
  for (const line of written.join("").split("\n")) {
    // deno-lint-ignore no-control-regex -- a terminal's sequences
    const seen = line.replaceAll(/\x1b\[\d*[A-Zm]|\r/g, "");
    assertEquals(widthOf(seen) <= 20, true, seen);
  }
});

Deno.test("Progress is a line on a terminal, and a few lines elsewhere", () => {
  const piped = sinkOf(false);
  const lines = new Progress(piped.sink, "Read", "bytes");
  for (let done = 1; done <= 100; done++) lines.tell(done, 100);
  lines.end();
  assertEquals(
    piped.written,
    [25, 50, 75, 100].map((n) => `Read      ${n} of 100 bytes\n`),
  );
  const { sink, written } = sinkOf(true);
  const line = new Progress(sink, "Read", "bytes");
  line.tell(1, 2);
  line.end();
  assertEquals(written, ["\r\x1b[2KRead      1 of 2 bytes", "\r\x1b[2K"]);
});

Deno.test("writeEntry() breaks a text beside its label", () => {
  const { sink, written } = sinkOf(false, 24);
  writeEntry(sink, "Text", "some words to be broken");
  assertEquals(
    written.join(""),
    "Text      some words to\n          be broken\n",
  );
});

Deno.test("printable() leaves no control character", () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  // deno-lint-ignore no-control-regex -- those are what must not be there
  assertEquals(/[\u0000-\u001f\u007f-\u009f]/.test(printable(all)), false);
  assertEquals(printable(encode("é\n\t\0")), "é\\n\\t·");
});

Deno.test("bytesText() is for reading", () => {
  assertEquals(bytesText(0), "0 B");
  assertEquals(bytesText(1536), "1.5 KiB");
  assertEquals(bytesText(3 * 2 ** 20), "3.0 MiB");
});
