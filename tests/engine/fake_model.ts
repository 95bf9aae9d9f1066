/**
 * A model whose next token is a hash of the sequence so far, a device that
 * only remembers which token lies in which slot, and what a request must yield.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { stateRounds } from "../../src/cache/mod.ts";
import type {
  FinishedBranch,
  RequestOptions,
  SampleResult,
  SequenceWork,
  Step,
  StepOperation,
} from "../../src/engine/mod.ts";

/** Few, so that sequences meet again in the prefix index. */
export const VOCABULARY = 3;

/** What a device holds where nothing of use was written. */
const POISON = -1;

/** FNV-1a over tokens. */
export function hash(tokens: readonly number[], salt = 0): number {
  let h = 0x811c9dc5 ^ salt;
  for (const token of tokens) h = Math.imul(h ^ (token + 1), 0x01000193) >>> 0;
  return Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> 0;
}

/** The token that follows `tokens`; `choice` tells branches apart. */
export function nextToken(tokens: readonly number[], choice = 0): number {
  return hash(tokens, choice) % VOCABULARY;
}

/** How the beams with these tokens go on. */
export function nextBeams(
  beams: readonly (readonly number[])[],
): { parent: number; token: number; done: boolean }[] {
  const done = hash(beams.flat(), 99) % 16 === 0;
  return beams.map((_, i) => {
    const parent = hash(beams.flat(), i) % beams.length;
    return { parent, token: nextToken(beams[parent], i), done };
  });
}

/** What a request yields when it is alone. */
export function expectedBranches(request: RequestOptions): FinishedBranch[] {
  const { prompt, maxTokens, stop = [], samples = 1, beams } = request;
  const width = beams ?? samples;
  const outputs = Array.from(
    { length: width },
    (_, i) => [nextToken(prompt, i)],
  );
  if (beams !== undefined) {
    let current = outputs;
    while (current[0].length < maxTokens) {
      const next = nextBeams(current.map((out) => [...prompt, ...out]));
      current = next.map(({ parent, token }) => [...current[parent], token]);
      if (next[0].done) {
        return current.map((tokens) => ({ tokens, reason: "stop" }));
      }
    }
    return current.map((tokens) => ({ tokens, reason: "length" }));
  }
  return outputs.map((tokens) => {
    while (!stop.includes(tokens.at(-1)!) && tokens.length < maxTokens) {
      tokens.push(nextToken([...prompt, ...tokens]));
    }
    const stopped = stop.includes(tokens.at(-1)!);
    return { tokens, reason: stopped ? "stop" : "length" };
  });
}

/** Where a device's layer groups look, as the cache's groups say. */
export interface FakeDeviceOptions {
  /** Tokens per block. */
  readonly blockSize: number;
  /** The window of each layer group with keys. */
  readonly groups: readonly { readonly left?: number }[];
}

/** What a slot that no one wrote holds. */
const SPOILT: readonly number[] = [POISON];

/** Memory that is read through block tables only. */
export class FakeDevice {
  readonly #blockSize: number;
  readonly #groups: FakeDeviceOptions["groups"];
  #blocks: Map<number, number[]> = new Map();
  #host: Map<number, number[]> = new Map();
  /** Of each slot of a state, the tokens that it has seen. */
  #states: Map<number, readonly number[]> = new Map();
  #hostStates: Map<number, readonly number[]> = new Map();

  constructor({ blockSize, groups }: FakeDeviceOptions) {
    this.#blockSize = blockSize;
    this.#groups = groups;
  }

  /** Forgets everything but host memory. */
  lose(): void {
    this.#blocks = new Map();
    this.#states = new Map();
  }

  /** Forgets host memory. */
  loseHost(): void {
    this.#host = new Map();
    this.#hostStates = new Map();
  }

  /** Spoils blocks that no one may read any longer. */
  spoil(blocks: Iterable<number>): void {
    for (const id of blocks) this.#blocks.delete(id);
  }

  /** Spoils slots of states that no one may read any longer. */
  spoilStates(slots: Iterable<number>): void {
    for (const slot of slots) this.#states.delete(slot);
  }

  /** Carries out copies, but leaves those of `broken` requests out. */
  operate(
    operations: readonly StepOperation[],
    broken: ReadonlySet<string>,
  ): void {
    for (const operation of operations) {
      if (operation.type === "copy") {
        const { source, destination, rows } = operation.copy;
        const to = this.#block(destination);
        this.#block(source).slice(0, rows).forEach((t, row) => to[row] = t);
        continue;
      }
      const { direction, copies, states = [] } = operation.transfer;
      for (const { block, slot } of copies) {
        const lost = broken.has(operation.request);
        const from = direction === "out"
          ? this.#block(block)
          : this.#host.get(slot) ?? this.#fresh();
        const data = lost ? this.#fresh() : [...from];
        if (direction === "out") this.#host.set(slot, data);
        else this.#blocks.set(block, data);
      }
      for (const { block, slot } of states) {
        const [from, at, to, end] = direction === "out"
          ? [this.#states, block, this.#hostStates, slot]
          : [this.#hostStates, slot, this.#states, block];
        const lost = broken.has(operation.request);
        to.set(end, lost ? SPOILT : from.get(at) ?? SPOILT);
      }
    }
  }

  /** Writes a step's tokens, and samples from what then lies in the cache. */
  compute({ work }: Step): SampleResult[] {
    for (const item of work) this.#write(item);
    this.#writeStates(work);
    const seen = work.map((item) => this.#read(item));
    const results: SampleResult[] = [];
    work.forEach((item, i) => {
      const { request, branch, samples } = item;
      if (samples === 0) return;
      const tokens = Array.from(
        { length: samples },
        (_, choice) => nextToken(seen[i], choice),
      );
      results.push({ request, branch, tokens });
    });
    return results;
  }

  /** Samples beams, which all go on from what lies in the cache. */
  computeBeams({ work }: Step, request: string): SampleResult[] {
    const mine = work.filter((item) => item.request === request);
    const seen = mine.map((item) => this.#read(item));
    return nextBeams(seen).map(({ parent, token, done }, branch) => ({
      request,
      branch,
      tokens: [token],
      parent,
      done,
    }));
  }

  #fresh(): number[] {
    return new Array(this.#blockSize).fill(POISON);
  }

  #block(id: number): number[] {
    if (!this.#blocks.has(id)) this.#blocks.set(id, this.#fresh());
    return this.#blocks.get(id)!;
  }

  #write({ slots, tokens }: SequenceWork): void {
    for (const group of slots) {
      assertEquals(group.length, tokens.length);
      tokens.forEach((token, i) => {
        const row = group[i] % this.#blockSize;
        this.#block(Math.floor(group[i] / this.#blockSize))[row] = token;
      });
    }
  }

  /** Runs states of all work at once: what is read is what was there before. */
  #writeStates(work: readonly SequenceWork[]): void {
    const all = work.flatMap(({ states = [], ...item }) =>
      states.map((parts) => ({ ...item, parts }))
    );
    const rounds = stateRounds(all.map(({ parts }) => parts));
    for (const { sequences, starts, counts, read, write } of rounds) {
      const before = [...read].map((slot) =>
        slot < 0 ? [] : this.#states.get(slot) ?? SPOILT
      );
      for (const slot of write) {
        assert(slot > 0, "the null state is written");
        assertEquals(
          [...read, ...write].filter((other) => other === slot).length,
          1 + (read[write.indexOf(slot)] === slot ? 1 : 0),
          "a slot is written beside another use",
        );
      }
      sequences.forEach((sequence, i) => {
        const { tokens, start } = all[sequence];
        const at = starts[i] - start;
        this.#states.set(write[i], [
          ...before[i],
          ...tokens.slice(at, at + counts[i]),
        ]);
      });
    }
  }

  /** All tokens of a sequence, as far as any layer group sees them. */
  #read({ blocks, start, tokens, states = [] }: SequenceWork): number[] {
    const length = start + tokens.length;
    const seen: number[] = [];
    blocks.forEach((table, group) => {
      const first = Math.max(0, start - (this.#groups[group].left ?? Infinity));
      for (let position = first; position < length; position++) {
        const id = table[Math.floor(position / this.#blockSize)];
        assert(id > 0, `position ${position} has no block`);
        const token = this.#block(id)[position % this.#blockSize];
        seen[position] ??= token;
        assertEquals(token, seen[position], "layer groups differ");
      }
    });
    for (const parts of states) {
      const state = this.#states.get(parts.at(-1)!.write)!;
      assertEquals(state.length, length, "a state has seen every token");
      state.forEach((token, position) => {
        seen[position] ??= token;
        assertEquals(token, seen[position], "a state differs");
      });
    }
    return seen;
  }
}
