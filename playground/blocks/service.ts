/**
 * A cache of words: a `CacheManager` with a prefix index, whose blocks hold
 * words instead of keys and values, so that one can see what lies where.
 *
 * @module
 */

import {
  type Admission,
  BlockPool,
  CacheManager,
  type CacheSequence,
  type Pin,
  PrefixIndex,
  type SequenceReservation,
} from "../../src/cache/mod.ts";
import { checkType } from "../../src/core/check.ts";
import { type Command, sequenceName, wordsOf } from "./commands.ts";
import { generatedWord } from "./generate.ts";

/** How large a service's pool is. */
export interface PoolSize {
  /** Blocks that can be used. */
  readonly blocks: number;
  /** Tokens of a block. */
  readonly blockSize: number;
}

/** A sequence as the page has it. */
export interface Entry {
  /** Its letter. */
  readonly name: string;
  /** By order of making. */
  readonly index: number;
  /** The manager's handle. */
  readonly sequence: CacheSequence;
  /** All of its words, also while it is preempted. */
  words: readonly string[];
  /** What holds its cached blocks, whatever becomes of it. */
  pin?: Pin | undefined;
}

/** One line of the log. */
export interface Event {
  /** What it is about. */
  readonly kind: "step" | "copy" | "hit" | "index" | "error";
  /** In words. */
  readonly text: string;
}

/** What one command did. */
export interface Step {
  /** The command. */
  readonly command: Command;
  /** Line by line. */
  readonly events: readonly Event[];
  /** Blocks that were copied in it. */
  readonly copies: readonly { readonly source: number; readonly to: number }[];
  /** Blocks that were written in it. */
  readonly written: readonly number[];
}

/** A cache of words, and all that was done to it. */
export class Service {
  /** The blocks. */
  readonly pool: BlockPool;
  /** What finds prefixes. */
  readonly index: PrefixIndex;
  /** Who keeps the sequences. */
  readonly manager: CacheManager;
  /** Those that are not freed, and freed ones that are pinned. */
  readonly entries: Map<string, Entry> = new Map();
  /** What was done. */
  readonly steps: Step[] = [];
  readonly #words: Map<number, string> = new Map();
  readonly #tokens: Map<string, number> = new Map();
  #made = 0;
  #copies: { source: number; to: number }[] = [];
  #written: Set<number> = new Set();
  #events: Event[] = [];

  /**
   * Makes an empty one.
   *
   * @throws {RangeError} If a size is out of its range.
   */
  constructor({ blocks, blockSize }: PoolSize) {
    this.pool = new BlockPool({ numBlocks: blocks + 1, blockSize });
    this.index = new PrefixIndex(this.pool, { events: true, clock: () => 0 });
    this.manager = new CacheManager({
      pool: this.pool,
      index: this.index,
      watermark: 0,
    });
  }

  /** The word that lies in a slot, whoever wrote it. */
  wordAt = (block: number, row: number): string | undefined =>
    this.#words.get(block * this.pool.blockSize + row);

  /** Does one thing, and notes it; what is refused is a line of the log. */
  run(command: Command): Step {
    this.#events = [];
    this.#copies = [];
    this.#written = new Set();
    try {
      this.#run(command);
    } catch (error) {
      this.#note("error", (error as Error).message);
    }
    this.#noteIndex();
    const step = {
      command,
      events: this.#events,
      copies: this.#copies,
      written: [...this.#written],
    };
    this.steps.push(step);
    return step;
  }

  /**
   * Checks all invariants of the manager, and that every sequence finds its
   * words through its block table.
   *
   * @throws {Error} naming what does not hold.
   */
  verify(): void {
    this.manager.verify();
    const { blockSize } = this.pool;
    for (const { name, sequence, words } of this.entries.values()) {
      const [table] = sequence.tables;
      if (table === undefined) continue;
      words.forEach((word, i) => {
        const block = table.blocks[Math.floor(i / blockSize)];
        const found = this.wordAt(block, i % blockSize);
        if (found !== word) {
          throw new Error(`${name} reads “${found}” at ${i}, not “${word}”`);
        }
      });
    }
  }

  #run(command: Command): void {
    if (command.kind === "new") return this.#create(wordsOf(command.text));
    if (command.kind === "evict") return this.#evict(command.block);
    const entry = this.#entry(command.name);
    const { name, sequence } = entry;
    switch (command.kind) {
      case "append":
        return this.#append(entry, command.count);
      case "fork": {
        const [fork] = this.manager.fork(sequence);
        const added = this.#add(fork, entry.words);
        const held = fork.tables[0].blocks.length;
        return this.#note(
          "step",
          `${name} forked to ${added.name}: ${held} blocks shared, none copied`,
        );
      }
      case "free":
        this.manager.free(sequence);
        if (!entry.pin) this.entries.delete(name);
        return this.#note("step", `${name} freed`);
      case "preempt":
        this.manager.preempt(sequence);
        return this.#note("step", `${name} preempted: its blocks are given up`);
      case "resume": {
        const admission = this.manager.resume(
          sequence,
          this.#tokensOf(entry.words),
        );
        try {
          this.#fill(entry, admission);
        } catch (error) {
          this.manager.preempt(sequence);
          throw error;
        }
        return this.#noteHits(`${name} resumed`, entry, admission.cached);
      }
      case "pin":
        return this.#pin(entry);
      case "unpin":
        return this.#unpin(entry);
    }
  }

  #entry(name: string): Entry {
    const entry = this.entries.get(name);
    checkType(
      entry !== undefined,
      "sequence",
      `must be one of ${[...this.entries.keys()].join(", ") || "none"}`,
      name,
    );
    return entry;
  }

  #add(sequence: CacheSequence, words: readonly string[]): Entry {
    const index = this.#made++;
    const name = sequenceName(index);
    const entry = { name, index, sequence, words };
    this.entries.set(name, entry);
    return entry;
  }

  #create(words: readonly string[]): void {
    const admission = this.manager.create(this.#tokensOf(words));
    const entry = this.#add(admission.sequence, words);
    try {
      this.#fill(entry, admission);
    } catch (error) {
      this.manager.free(admission.sequence);
      this.entries.delete(entry.name);
      this.#made--;
      throw error;
    }
    this.#noteHits(`${entry.name} made`, entry, admission.cached);
  }

  /** Writes what is not cached of an admitted sequence. */
  #fill({ sequence, words }: Entry, admission: Admission): void {
    this.#copy(admission.copies);
    const { pending, cached } = admission;
    const reserved = this.manager.reserve(sequence, pending);
    this.#write(reserved, words.slice(cached));
    this.manager.commit(sequence);
  }

  #append(entry: Entry, count: number): void {
    const { name, sequence, index } = entry;
    const before = sequence.tables[0]?.blocks.length ?? 0;
    const { length } = entry.words;
    const words = Array.from(
      { length: count },
      (_, i) => generatedWord(index, length + i),
    );
    const reserved = this.manager.reserve(sequence, this.#tokensOf(words));
    this.#write(reserved, words);
    this.manager.commit(sequence);
    entry.words = [...entry.words, ...words];
    const taken = sequence.tables[0].blocks.length - before;
    this.#note(
      "step",
      `${name} grew by ${count} to ${entry.words.length} tokens${
        taken === 0 ? "" : `, its table by ${taken}`
      }`,
    );
  }

  #pin(entry: Entry): void {
    checkType(
      entry.pin === undefined,
      "sequence",
      "must not be pinned",
      entry.name,
    );
    entry.pin = this.index.pin(this.#tokensOf(entry.words));
    const { length } = this.index.walk(this.#tokensOf(entry.words));
    this.#note("step", `${entry.name} pinned: ${length} full blocks are held`);
  }

  #unpin(entry: Entry): void {
    checkType(
      entry.pin !== undefined,
      "sequence",
      "must be pinned",
      entry.name,
    );
    this.index.unpin(entry.pin);
    entry.pin = undefined;
    if (entry.sequence.status === "freed") this.entries.delete(entry.name);
    this.#note("step", `${entry.name} no longer pinned`);
  }

  #evict(block: number): void {
    this.#note(
      this.index.evict(block) ? "step" : "error",
      this.pool.isCached(block)
        ? `block ${block} forgotten`
        : `block ${block} taken out of the index`,
    );
  }

  #copy(
    copies: readonly { source: number; destination: number; rows: number }[],
  ): void {
    const { blockSize } = this.pool;
    for (const { source, destination: to, rows } of copies) {
      for (let row = 0; row < rows; row++) {
        const word = this.wordAt(source, row)!;
        this.#words.set(to * blockSize + row, word);
      }
      this.#copies.push({ source, to });
      this.#written.add(to);
      const text = `copy on write: ${rows} ${
        rows === 1 ? "row" : "rows"
      } of block ${source} to block ${to}`;
      this.#note("copy", text);
    }
  }

  #write(
    { slots: [slots], copies }: SequenceReservation,
    words: readonly string[],
  ): void {
    this.#copy(copies);
    slots.forEach((slot, i) => {
      this.#words.set(slot, words[i]);
      this.#written.add(Math.floor(slot / this.pool.blockSize));
    });
  }

  /** What the index found out: each kind in a line, block by block. */
  #noteIndex(): void {
    const events = this.index.takeEvents();
    const blocks = (type: "stored" | "removed") =>
      events.flatMap((event) => event.type === type ? [event.block] : []);
    const removed = blocks("removed");
    if (removed.length > 0) {
      this.#note("index", `found no more: ${blockList(removed)}`);
    }
    const stored = blocks("stored");
    if (stored.length > 0) {
      this.#note("index", `found from now on: ${blockList(stored)}`);
    }
  }

  #noteHits(what: string, { words }: Entry, cached: number): void {
    this.#note("step", `${what}: ${words.length} tokens`);
    if (cached > 0) {
      const text = `${cached} of ${words.length} tokens found by prefix`;
      this.#note("hit", text);
    }
  }

  #note(kind: Event["kind"], text: string): void {
    this.#events.push({ kind, text });
  }

  #tokensOf(words: readonly string[]): number[] {
    return words.map((word) => {
      const token = this.#tokens.get(word) ?? this.#tokens.size;
      this.#tokens.set(word, token);
      return token;
    });
  }
}

function blockList(blocks: readonly number[]): string {
  return `${blocks.length === 1 ? "block" : "blocks"} ${blocks.join(", ")}`;
}

/** Does commands in a new service. */
export function replay(
  size: PoolSize,
  commands: readonly Command[],
): Service {
  const service = new Service(size);
  for (const command of commands) service.run(command);
  return service;
}
