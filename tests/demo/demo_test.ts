/**
 * The demo's work on the device, and the whole of it as a person runs it.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertMatch,
  assertStringIncludes,
} from "@std/assert";
import { checkCompletions, checkPredictions } from "../../demo/check.ts";
import { complete } from "../../demo/completions.ts";
import { maxError, measurePrefill } from "../../demo/measure.ts";
import { prefill } from "../../demo/prefill.ts";
import { appendText, textCache } from "../../demo/text_cache.ts";
import { gpuEnvironment } from "../../src/cli/setup.ts";
import { gpuTest, SKIP_REASON } from "../support/gpu.ts";

const encode = (text: string) => new TextEncoder().encode(text);
const RHYME = `There was an old man of Peru
Who dreamed he was eating his shoe.
He woke in the night
With a terrible fright
And found it was perfectly true.
`;

gpuTest("complete() goes on from forks of a prefill", async (_, gpu) => {
  const count = 9;
  // A whole number of blocks is shared without copies; others are copied once.
  for (const [length, copies] of [[160, 0], [163, 3], [1, 3]]) {
    const text = encode(RHYME.repeat(2)).slice(0, length);
    const prompts = [encode("old"), encode("\0\xff"), encode("fright\nAnd")];
    using cache = await textCache(gpu, 24);
    const done: number[] = [];
    const read = await prefill(gpu, cache, text, (at) => done.push(at));
    assertEquals(done, [length]);
    checkPredictions(text, read.predictions);
    let steps = 0;
    const result = await complete(gpu, cache, {
      text,
      prefix: read.sequence,
      prompts,
      count,
      onStep: (bytes) => {
        assertEquals(bytes.length, 3);
        steps++;
      },
    });
    assertEquals(steps, count);
    assertEquals(result.copies, copies);
    checkCompletions({ text, prompts, count, texts: result.texts });
    cache.pool.verify();
    for (const table of [read.sequence, ...result.sequences]) table.free();
    assertEquals(cache.pool.freeBlocks, cache.pool.totalBlocks);
  }
});

gpuTest(
  "measurePrefill() takes a text longer than the baseline's loops may be",
  async (_, gpu) => {
    const text = encode(RHYME.repeat(60)).slice(0, 8000);
    using cache = await textCache(gpu, 500);
    const sequence = cache.createSequence();
    const addition = { sequence, text, start: 0, end: text.length };
    appendText(gpu, cache, [addition]);
    const used = cache.pool.usedBlocks;
    const measured = await measurePrefill(gpu, cache, { sequence, text });
    const { start, end, tiled, standard } = measured;
    assertEquals([start, end], [3840, 4096]);
    for (const { output, time } of [tiled, standard]) {
      assert(maxError({ text, start, output }) < 1e-12);
      assert(time > 0);
    }
    assertEquals(cache.pool.usedBlocks, used);
  },
);

async function demo(...args: string[]) {
  const main = new URL("../../demo/main.ts", import.meta.url).href;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", main, ...args],
    env: gpuEnvironment(),
  }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

async function inFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "quire_demo_" });
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test({
  name: "demo completes a text, proves it and measures itself",
  ignore: SKIP_REASON !== undefined,
  fn: () =>
    inFolder(async (folder) => {
      await Deno.writeTextFile(`${folder}/rhyme.txt`, RHYME.repeat(2));
      const { code, out, err } = await demo(
        `${folder}/rhyme.txt`,
        "--prompt",
        "With",
        "--bytes",
        "12",
      );
      assertEquals([code, err], [0, ""]);
      assertStringIncludes(out, `${2 * RHYME.length} bytes`);
      assertEquals(
        out.startsWith("Paged attention completes your text by its longest"),
        true,
      );
      assertStringIncludes(
        out,
        "  5  prompt      With\n     completion   a terrible \n",
      );
      assertStringIncludes(out, "Proved    all 5 completions equal");
      for (
        const line of [
          /prefill of 256 queries over 284 keys, tiled +\d+\.\d\d ms +0 B/,
          /the same in 3 dispatches +\d+\.\d\d ms +\d+\.\d [KM]iB/,
          /decode of 5 sequences, paged +\d+\.\d\d ms/,
          /the same over contiguous keys +\d+\.\d\d ms/,
          /largest error against float64 +\d\.\de-1\d/,
          /blocks used +\d+/,
          /reserving 16384 tokens a sequence +6144/,
          /blocks shared +\d+/,
          /copies made on write +\d/,
        ]
      ) assertMatch(out, line);
      // A pipe gets lines that say how far it is, and nothing for terminals.
      assertStringIncludes(out, "\nPrefill   284 of 284 bytes\n");
      for (const done of [3, 6, 9, 12]) {
        assertStringIncludes(out, `\n          ${done} of 12 bytes each\n`);
      }
      // deno-lint-ignore no-control-regex -- those are what must not be there
      assert(!/[\r\x1b]/.test(out));
      for (const line of out.split("\n")) assert(line.length <= 80, line);
    }),
});

Deno.test({
  name: "demo takes a binary file of a few bytes",
  ignore: SKIP_REASON !== undefined,
  fn: () =>
    inFolder(async (folder) => {
      const bytes = Uint8Array.of(0, 255, 0, 10, 0, 255, 27);
      await Deno.writeFile(`${folder}/data.bin`, bytes);
      const { code, out, err } = await demo(`${folder}/data.bin`, "--bytes=3");
      assertEquals([code, err], [0, ""]);
      assertStringIncludes(out, "7 bytes");
      assertStringIncludes(out, "Proved");
    }),
});

Deno.test("demo says in one line why it cannot read a file", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/empty`, "");
    const cases: [string[], string][] = [
      [["--", `${folder}/none`], "there is no such file"],
      [[`${folder}/none`], "there is no such file"],
      [[`${folder}/empty`], "it is empty"],
      [[folder], "it is a directory"],
    ];
    for (const [args, reason] of cases) {
      const { code, out, err } = await demo(...args);
      assertEquals([code, out], [1, ""]);
      assertMatch(err, /^Cannot .*\n$/);
      assertStringIncludes(err, reason);
    }
  }));
