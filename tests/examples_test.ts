/**
 * The examples do what they show.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { pageFiles } from "../examples/browser/serve.ts";
import {
  DecodeLoop,
  generate,
  type LoopSizes,
} from "../examples/decode_loop.ts";
import { attendPacked, encodePadded } from "../examples/encoder.ts";
import { type EncoderAttend, TinyEncoder } from "../examples/tiny_encoder.ts";
import { attention, errorBound, GATES, rope } from "../reference/mod.ts";
import {
  exampleOf,
  guessedRecall,
  keptBy,
  plant,
  recallOf,
  untaught,
} from "../examples/distill_gate.ts";
import {
  drawBatch,
  trainStep,
  untrained,
} from "../examples/train_attention.ts";
import { AttentionWorker } from "../examples/worker/attention_worker.ts";
import { gpuEnvironment } from "../src/cli/setup.ts";
import { Prng } from "../src/core/prng.ts";
import { alibiSlopes } from "../src/mods/mod.ts";
import { readCache } from "./kv/cache_image.ts";
import { gpuTest, SKIP_REASON } from "./support/gpu.ts";
import { objectsMadeBy } from "./support/gpu_objects.ts";

const SIZES: LoopSizes = {
  layers: 4,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxTokens: 24,
  numBlocks: 24,
};
const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8];

gpuTest("DecodeLoop generates forks as if each were alone", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const steps: (readonly Float32Array[])[] = [];
  const blocks: number[] = [];
  const together = await generate(loop, {
    prompt: PROMPT,
    forks: 3,
    count: 5,
    onStep: (rows) => {
      steps.push(rows);
      blocks.push(loop.cache.pool.usedBlocks);
    },
  });
  // The first block is shared by all; the last one, written, by none.
  assertEquals(blocks, [2, 4, 4, 4, 4]);
  assertEquals(loop.cache.pool.usedBlocks, 0);
  const [, one, other] = steps.at(-1)!;
  assertNotEquals(one, other);

  for (const [fork, tokens] of together.entries()) {
    const sequence = loop.cache.createSequence();
    for (const [i, rows] of steps.entries()) {
      const next = i === 0 ? PROMPT : [tokens[i - 1]];
      const [row] = await loop.step([{ sequence, tokens: next }]);
      assertEquals(row, rows.length === 1 ? rows[0] : rows[fork]);
    }
    sequence.free();
  }
});

gpuTest("DecodeLoop's last attention is the oracle's", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const { queryHeads, kvHeads, headDim } = SIZES;
  const first = loop.cache.createSequence();
  await loop.step([{ sequence: first, tokens: PROMPT }]);
  const sequences = [first, first.fork()];
  await loop.step(sequences.map((sequence, i) => ({ sequence, tokens: [i] })));

  const rows = (buffer: GPUBuffer) =>
    loop.gpu.wrap(buffer, "f32", [2, queryHeads, headDim]);
  const [plain, queries, outputs] = await loop.gpu.read([
    rows(loop.own.query),
    rows(loop.own.rotated),
    rows(loop.own.attended),
  ]);
  // Each at the position of its token, the last of its sequence.
  for (let row = 0; row < 2 * queryHeads; row++) {
    const [from, end] = [row * headDim, (row + 1) * headDim];
    rope(plain.subarray(from, end), {
      position: PROMPT.length,
      dim: headDim,
      pairing: "half-split",
    }).forEach((expected, i) =>
      assert(Math.abs(queries[from + i] - expected) < 1e-5)
    );
  }
  const image = (await readCache(loop.gpu, loop.cache)).at(-1)!;
  for (const [i, sequence] of sequences.entries()) {
    const slots = Array.from(
      { length: sequence.length },
      (_, position) => image.slot(sequence.slot(position)),
    );
    const width = queryHeads * headDim;
    const problem = {
      query: queries.slice(i * width, (i + 1) * width),
      key: slots.flatMap((slot) => slot.slice(0, kvHeads * headDim)),
      value: slots.flatMap((slot) => slot.slice(kvHeads * headDim)),
      batch: 1,
      queryLength: 1,
      keyLength: slots.length,
      queryHeads,
      kvHeads,
      headDim,
    };
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl });
    attention(problem).output.forEach((expected, j) =>
      assert(Math.abs(outputs[i * width + j] - expected) <= bound.output)
    );
  }
});

gpuTest("DecodeLoop makes no GPU object in a step", async (_, gpu) => {
  using loop = await DecodeLoop.create(gpu.device, SIZES);
  const first = loop.cache.createSequence();
  await loop.step([{ sequence: first, tokens: PROMPT }]);
  const sequences = [first, first.fork(), first.fork()];
  const step = () =>
    loop.step(sequences.map((sequence, i) => ({ sequence, tokens: [i] })));
  for (let i = 0; i < 3; i++) await step();
  for (let i = 0; i < 12; i++) {
    const made = await objectsMadeBy(gpu, step);
    assertEquals(
      made,
      { buffers: 0, destroyed: 0, bindGroups: 0 },
      `step ${i}`,
    );
  }
  assertEquals(sequences.map(({ length }) => length), [34, 34, 34]);
});

gpuTest("trainStep() descends", async (_, gpu) => {
  const random = new Prng(3);
  const model = untrained(random);
  const batch = drawBatch(random, 8);
  const losses: number[] = [];
  for (let i = 0; i < 24; i++) {
    losses.push(await trainStep(gpu, model, batch, 4));
  }
  // It knows nothing at first: each of eight letters is as likely.
  assert(Math.abs(losses[0] - Math.log(8)) < 0.3, `${losses}`);
  assert(losses.at(-1)! < losses[0] / 2, `${losses}`);
});

const ENCODER = { vocabulary: 30, layers: 2, heads: 4, headDim: 8 };
const LENGTHS = [9, 0, 33, 1, 17];

/** A padded batch, whose padding holds tokens that there are none of. */
function paddedBatch(poison: number) {
  const length = Math.max(...LENGTHS) + 2;
  const mask = new Uint8Array(LENGTHS.length * length);
  const tokens = new Uint32Array(mask.length).fill(poison);
  for (const [b, count] of LENGTHS.entries()) {
    for (let i = 0; i < count; i++) {
      mask[b * length + i] = 1;
      tokens[b * length + i] = (7 * b + 3 * i * i) % ENCODER.vocabulary;
    }
  }
  return { tokens, mask, shape: [LENGTHS.length, length] as const };
}

/** Attention as the definition has it: one text, in float64, all on the host. */
function attendAlone({ sizes: { heads, headDim } }: TinyEncoder) {
  const slopes = alibiSlopes(heads);
  return ({ query, key, value }: Parameters<EncoderAttend>[0]) => {
    const problem = {
      query,
      key,
      value,
      batch: 1,
      queryLength: query.length / heads / headDim,
      keyLength: key.length / heads / headDim,
      queryHeads: heads,
      kvHeads: heads,
      headDim,
      score: (s: number, _: number, h: number, i: number, j: number) =>
        s - slopes[h] * Math.abs(i - j),
    };
    const bound = errorBound(problem, { keys: 16, gate: GATES.wgsl }).output;
    return { output: attention(problem).output, bound };
  };
}

gpuTest(
  "the encoder's attention is the oracle's in every layer",
  async (_, gpu) => {
    const encoder = new TinyEncoder(ENCODER, 1);
    const alone = attendAlone(encoder);
    const tokens = Array.from({ length: 50 }, (_, i) => i % 30);
    const starts = [0, 9, 9, 42, 43, 50];
    const attend = attendPacked(gpu, encoder, Uint32Array.from(starts));
    let calls = 0;
    await encoder.encode(tokens, async (rows) => {
      calls++;
      const found = await attend(rows, undefined);
      for (const [b, start] of starts.slice(0, -1).entries()) {
        const [from, end] = [start, starts[b + 1]].map((at) =>
          at * encoder.width
        );
        const { query, key, value } = rows;
        const { output, bound } = alone({
          query: query.slice(from, end),
          key: key.slice(from, end),
          value: value.slice(from, end),
        });
        output.forEach((expected, i) =>
          assert(Math.abs(found[from + i] - expected) <= bound, `text ${b}`)
        );
      }
      return found;
    });
    assertEquals(calls, ENCODER.layers);
  },
);

gpuTest(
  "the encoder gives a padded batch what each text has alone",
  async (_, gpu) => {
    const encoder = new TinyEncoder(ENCODER, 1);
    const { width } = encoder;
    const batch = paddedBatch(0);
    const together = await encodePadded(gpu, encoder, batch);
    assertEquals(
      together,
      await encodePadded(gpu, encoder, paddedBatch(0xffffffff)),
      "what stands in the padding",
    );
    const [, length] = batch.shape;
    for (const [b, count] of LENGTHS.entries()) {
      const rows = together.subarray(
        b * length * width,
        (b + 1) * length * width,
      );
      const tokens = batch.tokens.slice(b * length, b * length + count);
      const alone = await encodePadded(gpu, encoder, {
        tokens,
        mask: new Uint8Array(count).fill(1),
        shape: [1, count],
      });
      assertEquals(rows.subarray(0, count * width), alone, `text ${b}`);
      assert(rows.subarray(count * width).every((value) => value === 0));
    }
  },
);

gpuTest("the encoder's last layer may be for some rows", async (_, gpu) => {
  const encoder = new TinyEncoder(ENCODER, 1);
  const { width } = encoder;
  const alone = attendAlone(encoder);
  const tokens = Array.from({ length: 50 }, (_, i) => (i * i) % 30);
  const starts = Uint32Array.of(0, 9, 9, 42, 43, 50);
  const picked = [0, 8, 20, 42, 44, 49];
  const attend = attendPacked(gpu, encoder, starts);
  // Both ways on the same rows, so that only their attention may differ.
  let seen = 0;
  await encoder.encode(tokens, async (rows, some) => {
    if (some === undefined) return await attend(rows, undefined);
    seen++;
    assertEquals(rows.query.length, picked.length * width);
    const found = await attend(rows, some);
    for (const [i, token] of picked.entries()) {
      const text = starts.findLastIndex((start) => start <= token);
      const [from, end] = [starts[text], starts[text + 1]];
      const query = new Float32Array((end - from) * width);
      query.set(
        rows.query.slice(i * width, (i + 1) * width),
        (token - from) * width,
      );
      const { output, bound } = alone({
        query,
        key: rows.key.slice(from * width, end * width),
        value: rows.value.slice(from * width, end * width),
      });
      for (let j = 0; j < width; j++) {
        const expected = output[(token - from) * width + j];
        assert(Math.abs(found[i * width + j] - expected) <= bound);
      }
    }
    return found;
  }, picked);
  assertEquals(seen, 1);
});

Deno.test({
  name: "AttentionWorker computes on another thread",
  ignore: SKIP_REASON !== undefined,
  fn: async () => {
    using worker = new AttentionWorker();
    const rows = (...values: number[]) => ({
      data: Float32Array.from(values),
      shape: [1, values.length, 1, 1],
    });
    const options = () => ({
      query: rows(0, 0),
      key: rows(0, 0),
      value: rows(1, 2),
      causal: true,
    });
    const [first, second] = await Promise.all([
      worker.attention(options()),
      worker.attention({ ...options(), causal: false }),
    ]);
    assertEquals([...first.data], [1, 1.5]);
    assertEquals([...second.data], [1.5, 1.5]);
    await assertRejects(
      () => worker.attention({ ...options(), value: rows(1) }),
      Error,
      "value",
    );
  },
});

Deno.test({
  name: "every block of PORTING.md runs",
  ignore: SKIP_REASON !== undefined,
  fn: async () => {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "--doc", "-A", "--no-check", "examples/PORTING.md"],
      cwd: new URL("../", import.meta.url),
      env: { ...gpuEnvironment(), NO_COLOR: "1" },
    }).output();
    const [out, err] = [stdout, stderr].map((bytes) =>
      new TextDecoder().decode(bytes)
    );
    assertEquals(code, 0, out + err);
    assertStringIncludes(out, "9 passed | 0 failed");
  },
});

Deno.test("the browser page's scripts are bundled, with nothing left to import", async () => {
  const files = await pageFiles();
  const sizes = await Promise.all(
    [...files.values()].map(async (file) => (await file.clone().text()).length),
  );
  assertEquals([...files.keys()], ["/", "/page.js", "/worker.js"]);
  for (const size of sizes) assert(size > 500, `${size} characters`);
  for (const path of ["/page.js", "/worker.js"]) {
    const script = await files.get(path)!.clone().text();
    // What a browser does not have.
    assertEquals(
      script.match(/^(?:import|export)\b[^;]*? from "[^"]*"|\bDeno\./gm),
      null,
    );
  }
});

gpuTest("a Seer gate learns to find planted blocks", async (_, gpu) => {
  const random = new Prng(7);
  const planted = Array.from({ length: 11 }, () => plant(random));
  const examples = await Promise.all(
    planted.map((own) => exampleOf(gpu, own)),
  );
  const [unseen, ...seen] = examples;
  // What is to be learned finds all of them.
  assertEquals(recallOf(unseen.blockScores.data, planted[0]), 1);
  const gate = untaught(1);
  const found = () => recallOf(gate.shares(unseen), planted[0]);
  const [guessed, chance] = [found(), guessedRecall()];
  assert(Math.abs(guessed - chance) < 0.15, `${guessed}, ${chance}`);
  const losses = Array.from({ length: 12 }, () => gate.step(seen, 40));
  losses.slice(1).forEach((loss, i) => assert(loss < losses[i], `${losses}`));
  assert(found() > 3 * chance, `${found()}`);
  const options = { planted: planted[0], topK: 4 };
  const taught = await keptBy(gpu, gate.weights, options);
  const ignorant = await keptBy(gpu, untaught(1).weights, options);
  assert(taught.mass > 0.8 && ignorant.mass < 0.6, `${taught.mass}`);
  for (const { error, bound } of [taught, ignorant]) assert(error <= bound);
});
