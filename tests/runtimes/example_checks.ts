/**
 * The examples as any runtime with WebGPU runs them: a browser's page and Node
 * bundle this. Nothing here needs Deno; `tests/examples_test.ts` has more.
 *
 * @module
 */

import {
  DecodeLoop,
  generate as decode,
  type LoopSizes,
} from "../../examples/decode_loop.ts";
import { encodePadded } from "../../examples/encoder.ts";
import { generate as serve } from "../../examples/generate.ts";
import { generateAlone } from "../../examples/generate_alone.ts";
import { TinyDecoder } from "../../examples/tiny_decoder.ts";
import { TinyEncoder } from "../../examples/tiny_encoder.ts";
import { CacheManager, type Gpu, KvCache, PrefixIndex } from "../../mod.ts";
import { type RequestOptions, Scheduler } from "../../src/engine/mod.ts";

/** One example. */
export interface ExampleCheck {
  /** What it says. */
  readonly name: string;
  /** Throws where it is not so. */
  readonly run: (gpu: Gpu) => Promise<void>;
}

function checkSame(what: string, actual: unknown, expected: unknown): void {
  const [one, other] = [actual, expected].map((it) => JSON.stringify(it));
  if (one !== other) throw new Error(`${what}: ${one}, not ${other}`);
}

const LOOP: LoopSizes = {
  layers: 3,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxTokens: 24,
  numBlocks: 24,
};

/** A prompt whose last block is not full, so that its forks copy it. */
const PROMPT = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2, 3, 8];

async function decodeLoop(gpu: Gpu): Promise<void> {
  using loop = await DecodeLoop.create(gpu.device, LOOP);
  const sizes = { prompt: PROMPT, count: 4 };
  const texts = await decode(loop, { ...sizes, forks: 3 });
  const [alone] = await decode(loop, { ...sizes, forks: 1 });
  checkSame("the likeliest text", texts[0], alone);
  checkSame("texts", texts.length, 3);
  checkSame("first tokens", new Set(texts.map(([first]) => first)).size, 3);
  checkSame("blocks that are left", loop.cache.pool.usedBlocks, 0);
}

const DECODER = {
  vocabulary: 32,
  layers: 2,
  queryHeads: 4,
  kvHeads: 2,
  headDim: 8,
  maxLength: 32,
};

const REQUESTS: readonly RequestOptions[] = [
  { id: "a", prompt: PROMPT.slice(0, 13), maxTokens: 5 },
  { id: "b", prompt: [...PROMPT.slice(0, 9), 7], maxTokens: 4 },
  { id: "c", prompt: [2, 7, 1, 8], maxTokens: 4, samples: 2 },
];

async function service(gpu: Gpu): Promise<void> {
  const { layers, kvHeads, headDim } = DECODER;
  const decoder = new TinyDecoder(DECODER, 1);
  using cache = await KvCache.create(gpu, {
    numBlocks: 14,
    blockSize: 4,
    layers,
    kvHeads,
    headDim,
  });
  const index = new PrefixIndex(cache.pool);
  const manager = new CacheManager({ pool: cache.pool, index });
  const scheduler = new Scheduler({ cache: manager, tokenBudget: 8 });
  for (const request of REQUESTS) scheduler.add(request);
  const finished = await serve(scheduler, { decoder, cache });
  checkSame("requests", finished.map(({ id }) => id).sort(), ["a", "b", "c"]);
  for (const { id, branches } of finished) {
    const { prompt, maxTokens } = REQUESTS.find((one) => one.id === id)!;
    for (const [branch, { tokens }] of branches.entries()) {
      const options = { maxTokens, branch };
      const alone = await generateAlone(decoder, prompt, options);
      checkSame(`tokens of ${id}, ${branch}`, [...tokens], [...alone]);
    }
  }
}

const ENCODER = { vocabulary: 30, layers: 2, heads: 2, headDim: 8 };
const TEXTS = [[3, 1, 4, 1, 5, 9, 2], [2, 7], [1, 6, 1, 8, 0]];

async function encoder(gpu: Gpu): Promise<void> {
  const model = new TinyEncoder(ENCODER, 1);
  const length = Math.max(...TEXTS.map((text) => text.length));
  const at = (value: (text: readonly number[], i: number) => number) =>
    TEXTS.flatMap((text) => Array.from({ length }, (_, i) => value(text, i)));
  const together = await encodePadded(gpu, model, {
    tokens: Uint32Array.from(at((text, i) => text[i] ?? 0)),
    mask: Uint8Array.from(at((text, i) => i < text.length ? 1 : 0)),
    shape: [TEXTS.length, length],
  });
  for (const [b, text] of TEXTS.entries()) {
    const alone = await encodePadded(gpu, model, {
      tokens: Uint32Array.from(text),
      mask: new Uint8Array(text.length).fill(1),
      shape: [1, text.length],
    });
    const from = b * length * model.width;
    const rows = together.slice(from, from + alone.length);
    checkSame(`text ${b}`, [...rows], [...alone]);
  }
}

/** All of them. */
export const EXAMPLE_CHECKS: readonly ExampleCheck[] = [
  { name: "the decode loop's forks are as if alone", run: decodeLoop },
  { name: "the encoder's padded texts are as if alone", run: encoder },
  { name: "the service generates what its decoder does alone", run: service },
];
