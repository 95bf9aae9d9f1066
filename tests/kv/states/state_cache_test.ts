/**
 * States on the device: steps of a linear attention over their slots, side by
 * side, with forks, states that are kept and drafts that are rejected; copies;
 * and what is refused.
 *
 * @module
 */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  PrefixIndex,
  type StatePart,
  stateRounds,
  StateSequence,
} from "../../../src/cache/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import { StateCache } from "../../../src/kv/mod.ts";
import { featureDim, linearAttention } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { checkProperty } from "../../support/property.ts";
import { anyStates, poisonStates, StateImage } from "./state_image.ts";

const [HEADS, DIM, VALUES] = [2, 4, 3];

/** Rows of tokens that follow from their ids: queries, keys or values. */
function rows(tokens: readonly number[], dim: number, salt: number) {
  const data = tokens.flatMap((token) => {
    const prng = new Prng(token * 3 + salt);
    return Array.from({ length: HEADS * dim }, () => prng.normal());
  });
  const shape = [tokens.length, HEADS, dim];
  return { data: Float32Array.from(data), shape };
}

function inputs(texts: readonly (readonly number[])[]) {
  const tokens = texts.flat();
  const cuSeqlens = [0];
  for (const text of texts) cuSeqlens.push(cuSeqlens.at(-1)! + text.length);
  return {
    query: rows(tokens, DIM, 0),
    key: rows(tokens, DIM, 1),
    value: rows(tokens, VALUES, 2),
    decay: { data: Float32Array.of(-0.1, -0.01), shape: [HEADS] },
    cuSeqlens,
  };
}

/** A layer of linear attention over a cache, and alone. */
class Layer {
  readonly #gpu: Gpu;
  readonly cache: StateCache;

  constructor(gpu: Gpu, cache: StateCache) {
    this.#gpu = gpu;
    this.cache = cache;
  }

  /** Runs parts of several sequences, each with its text, in rounds. */
  async run(
    texts: readonly (readonly number[])[],
    reservations: readonly (readonly StatePart[])[],
  ): Promise<string[]> {
    const outputs = texts.map(() => "");
    const rounds = stateRounds(reservations);
    for (const { sequences, starts, counts, read, write } of rounds) {
      const parts = [...sequences].map((s, i) =>
        texts[s].slice(starts[i], starts[i] + counts[i])
      );
      const { output } = await linearAttention(this.#gpu, {
        ...inputs(parts),
        states: this.cache.states(),
        stateIndices: read,
        finalStateIndices: write,
      });
      let at = 0;
      sequences.forEach((sequence, i) => {
        const end = at + counts[i] * HEADS * VALUES;
        const data = output.data.slice(at, at = end);
        outputs[sequence] += `${data};`;
      });
    }
    return outputs;
  }

  /** What a sequence that is alone computes, from state to state. */
  async alone(
    parts: readonly (readonly number[])[],
  ): Promise<{ output: string; state: Float32Array }> {
    let state: GpuTensor | undefined;
    let output = "";
    let data = new Float32Array(HEADS * DIM * VALUES);
    for (const part of parts) {
      const result = await linearAttention(this.#gpu, {
        ...inputs([part]),
        ...(state && { initialState: state }),
        returnState: true,
      });
      output += `${result.output.data};`;
      data = result.state!.data as Float32Array<ArrayBuffer>;
      state?.destroy();
      state = this.#gpu.tensor(data, result.state!.shape);
    }
    state?.destroy();
    return { output, state: data };
  }

  /** Bits of a sequence's state. */
  async state({ slot }: StateSequence): Promise<Float32Array> {
    const all = await this.#gpu.readOne(this.cache.states());
    const size = all.length / this.cache.numStates;
    return (all as Float32Array).slice(slot * size, (slot + 1) * size);
  }
}

gpuTest(
  "StateCache() keeps sequences apart, whatever lies in free slots",
  async (_, gpu) => {
    using cache = await StateCache.create(gpu, {
      numStates: 12,
      blockSize: 4,
      stateHeads: HEADS,
      headDim: DIM,
      valueHeadDim: VALUES,
    });
    const layer = new Layer(gpu, cache);
    const prompt = cache.createSequence();
    const text = Array.from({ length: 9 }, (_, i) => i);
    poisonStates(cache);
    // The state behind 8 tokens is kept for the index.
    let outputs = await layer.run([text], [prompt.reserve(9, { at: [8] })]);
    const index = new PrefixIndex(cache.pool);
    const cursor = index.cursor();
    cursor.advance(text.slice(0, 4), 0);
    cursor.advance(text.slice(4, 8), prompt.slotAt(8));
    prompt.commit();
    const whole = await layer.alone([text.slice(0, 8), text.slice(8)]);
    assertEquals(outputs, [whole.output]);
    assertEquals(await layer.state(prompt), whole.state);

    // Two forks and who was found go on side by side, in slots full of NaN.
    const fork = prompt.fork();
    const hit = index.match([...text.slice(0, 8), 99]);
    const [slot] = hit.blocks;
    cache.pool.allocate(0, { reuse: [slot] });
    const third = StateSequence.adopt(cache.pool, slot, hit.length);
    poisonStates(cache);
    const texts = [[...text, 10], [...text, 11], [...text.slice(0, 8), 99, 98]];
    outputs = await layer.run(texts, [
      prompt.reserve(1),
      fork.reserve(1),
      third.reserve(2),
    ]);
    for (const sequence of [prompt, fork, third]) sequence.commit();
    const cuts = [[8, 9], [8, 9], [8]];
    for (const [i, sequence] of [prompt, fork, third].entries()) {
      const ends = [...cuts[i], texts[i].length];
      const parts = ends.map((end, j) => texts[i].slice(ends[j - 1] ?? 0, end));
      const { output, state } = await layer.alone(parts);
      assertEquals(output.endsWith(outputs[i]), true);
      assertEquals(await layer.state(sequence), state);
    }

    // Drafts of which one is accepted: the state behind it is there.
    poisonStates(cache);
    const drafts = [...texts[0], 20, 21, 22];
    await layer.run([drafts], [
      prompt.reserve(3, { at: [11, 12], keep: true }),
    ]);
    prompt.commit(11);
    prompt.truncate(11);
    const accepted = await layer.alone([
      drafts.slice(0, 8),
      [8],
      [10],
      [20],
    ]);
    assertEquals(await layer.state(prompt), accepted.state);
    for (const sequence of [prompt, fork, third]) sequence.free();
    cursor.close();
    assertEquals(cache.pool.usedBlocks, 0);
  },
);

gpuTest(
  "StateCache() holds states of features and their sums",
  async (_, gpu) => {
    const [dim, tokens] = [24, 5];
    using cache = await StateCache.create(gpu, {
      numStates: 3,
      stateHeads: 1,
      headDim: featureDim(dim, "taylor"),
      valueHeadDim: dim + 1,
    });
    assertEquals(cache.states().shape, [3, 1, 325, 25]);
    const prng = new Prng(3);
    const drawn = () => ({
      data: Float32Array.from({ length: tokens * dim }, () => prng.normal()),
      shape: [tokens, 1, dim],
    });
    const problem = {
      query: drawn(),
      key: drawn(),
      value: drawn(),
      cuSeqlens: [0, tokens],
      featureMap: "taylor",
      normalize: { eps: 1e-6 },
    } as const;
    const sequence = cache.createSequence();
    const [{ read, write }] = stateRounds([sequence.reserve(tokens)]);
    const { output } = await linearAttention(gpu, {
      ...problem,
      states: cache.states(),
      stateIndices: read,
      finalStateIndices: write,
    });
    sequence.commit();
    const alone = await linearAttention(gpu, { ...problem, returnState: true });
    assertEquals(output.data, alone.output.data);
    const all = await gpu.readOne(cache.states());
    const size = all.length / cache.numStates;
    const at = sequence.slot * size;
    assertEquals(all.slice(at, at + size), alone.state!.data);
  },
);

const COPIES = "StateCache.copy() copies one after the other, bit for bit";

gpuTest(COPIES, async (_, gpu) => {
  await checkProperty(
    COPIES,
    [
      anyStates,
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 8 }),
      fc.nat(),
    ],
    async (options, picks, seed) => {
      using cache = await StateCache.create(gpu, options);
      const image = StateImage.fill(gpu, cache, seed);
      const copies = picks.map(([a, b]) => ({
        source: a % options.numStates,
        destination: 1 + b % (options.numStates - 1),
      }));
      cache.copy(copies);
      for (const copy of copies) image.copy(image, copy);
      assertEquals((await StateImage.read(gpu, cache)).words, image.words);
    },
    { runs: 12 },
  );
});

gpuTest(
  "StateCache() gives each layer its arenas, all zeros",
  async (_, gpu) => {
    using cache = await StateCache.create(gpu, {
      numStates: 3,
      layers: 2,
      stateHeads: 2,
      headDim: 4,
      valueHeadDim: 5,
      extras: { tail: [3, 2] },
    });
    assertEquals(cache.names, ["state", "tail"]);
    assertEquals(cache.states(1).shape, [3, 2, 4, 5]);
    assertEquals(cache.states(1, "tail").shape, [3, 3, 2]);
    assertEquals(cache.byteLength, 2 * 3 * (40 + 6) * 4);
    assertEquals([cache.pool.totalBlocks, cache.pool.blockSize], [2, 16]);
    const all = await StateImage.read(gpu, cache);
    assertEquals(all.words.every((words) => words.every((w) => w === 0)), true);
    for (const layer of [2, -1, 0.5]) {
      assertThrows(() => cache.states(layer), RangeError, "layer must");
    }
    assertThrows(() => cache.states(0, "head"), RangeError, "state, tail");
    const copy = (source: number, destination: number) => () =>
      cache.copy([{ source, destination }]);
    for (const [a, b] of [[3, 1], [-1, 1], [1, 0], [1, 3]]) {
      assertThrows(copy(a, b), RangeError, "copies[0]");
    }
    assertThrows(() => cache.copy(1 as never), TypeError, "copies must");
    cache.copy([]);
    cache.destroy();
    cache.destroy();
    for (
      const use of [
        () => cache.states(),
        () => cache.createSequence(),
        () => cache.copy([]),
      ]
    ) assertThrows(use, TypeError, "state cache must not be destroyed");
  },
);

gpuTest("StateCache.create() refuses sizes that do not fit", async (_, gpu) => {
  const good = { numStates: 3, stateHeads: 2, headDim: 4 };
  const cases: [object, new () => Error, string][] = [
    [{ numStates: 1 }, RangeError, "numStates must"],
    [{ layers: 0 }, RangeError, "layers must"],
    [{ stateHeads: 0 }, RangeError, "stateHeads must"],
    [{ headDim: 0 }, RangeError, "headDim must"],
    [{ valueHeadDim: 0 }, RangeError, "valueHeadDim must"],
    [{ blockSize: 0 }, RangeError, "blockSize must"],
    [{ extras: { state: [1] } }, TypeError, "extras.state must"],
    [{ extras: { tail: [] } }, TypeError, "extras.tail must"],
    [{ extras: { tail: [1, 0] } }, RangeError, "extras.tail[1] must"],
    [{ extras: 1 }, TypeError, "extras must"],
    [{ slots: 3 }, TypeError, "write numStates"],
    [{ numStates: 2 ** 30 }, RangeError, 'a layer\'s "state" of all slots'],
    [{ extras: { tail: [2 ** 30] } }, RangeError, 'a layer\'s "tail" of all'],
  ];
  for (const [options, Class, message] of cases) {
    await assertRejects(
      () => StateCache.create(gpu, { ...good, ...options }),
      Class,
      message,
    );
  }
});
