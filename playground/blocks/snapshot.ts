/** A service at one moment, as plain data for the page. @module */

import {
  type PrefixStats,
  type SequenceStatus,
  type Sharing,
  sharing,
} from "../../src/cache/mod.ts";
import type { Service, Step } from "./service.ts";

/**
 * What a block is: held by one, by several, held by a pin alone, free and still
 * findable, or free.
 */
export type BlockState = "own" | "shared" | "pinned" | "cached" | "free";

/** A block of the pool. */
export interface BlockView {
  /** Its id. */
  readonly id: number;
  /** What it is. */
  readonly state: BlockState;
  /** How many hold it, pins included. */
  readonly references: number;
  /** Sequences that hold it, by their order of making. */
  readonly owners: readonly number[];
  /** Whether the index finds it. */
  readonly cached: boolean;
  /** Whether a pin holds it. */
  readonly pinned: boolean;
  /** What was last done to it in the last step. */
  readonly change?: "copied" | "written" | undefined;
  /** The words of its rows that hold something; none of a free block. */
  readonly words: readonly string[];
}

/** A sequence and its table. */
export interface SequenceView {
  /** Its letter. */
  readonly name: string;
  /** By order of making. */
  readonly index: number;
  /** Where its blocks are. */
  readonly status: SequenceStatus;
  /** Its tokens. */
  readonly words: readonly string[];
  /** Its block table. */
  readonly blocks: readonly number[];
  /** Whether its prefix is pinned. */
  readonly pinned: boolean;
}

/** Counts of the pool. */
export interface PoolCounts {
  /** Blocks that are held. */
  readonly used: number;
  /** Blocks that are free and can still be found. */
  readonly cached: number;
  /** Blocks that are free and hold nothing. */
  readonly free: number;
  /** The most that were ever held. */
  readonly peak: number;
  /** Tokens that lie in held blocks. */
  readonly tokens: number;
}

/** A service at one moment. */
export interface Snapshot {
  /** The pool's blocks in the order of their ids. */
  readonly blocks: readonly BlockView[];
  /** The sequences, the oldest first. */
  readonly sequences: readonly SequenceView[];
  /** The pool. */
  readonly counts: PoolCounts;
  /** What the tables share. */
  readonly sharing: Sharing;
  /** What the index saved. */
  readonly prefix: PrefixStats;
  /** What does not hold; nothing, unless the library is wrong. */
  readonly fault?: string;
}

/** Looks at a service. */
export function snapshot(service: Service): Snapshot {
  const { pool, index } = service;
  const sequences = [...service.entries.values()].map((entry) => ({
    name: entry.name,
    index: entry.index,
    status: entry.sequence.status,
    words: entry.words,
    blocks: [...entry.sequence.tables[0]?.blocks ?? []],
    pinned: entry.pin !== undefined,
  }));
  const blocks = Array.from(
    { length: pool.totalBlocks },
    (_, i) => blockView(service, sequences, i + 1),
  );
  const held = blocks.filter(({ references }) => references > 0);
  return {
    blocks,
    sequences,
    counts: {
      used: pool.usedBlocks,
      cached: pool.evictableBlocks,
      free: pool.freeBlocks - pool.evictableBlocks,
      peak: pool.peakUsedBlocks,
      tokens: held.reduce((sum, { words }) => sum + words.length, 0),
    },
    sharing: sharing(sequences.map(({ blocks }) => blocks)),
    prefix: index.stats,
    ...faultOf(service),
  };
}

function faultOf(service: Service): { readonly fault?: string } {
  try {
    service.verify();
    return {};
  } catch (error) {
    return { fault: (error as Error).message };
  }
}

function blockView(
  service: Service,
  sequences: readonly SequenceView[],
  id: number,
): BlockView {
  const { pool, index } = service;
  const references = pool.refCount(id);
  const cached = pool.isCached(id);
  const owners = sequences.filter(({ blocks }) => blocks.includes(id));
  const pinned = index.pins.some((pin) => pin.blocks.includes(id));
  return {
    id,
    state: stateOf(references, owners.length, cached),
    references,
    owners: owners.map(({ index }) => index),
    cached,
    pinned,
    change: changeOf(service.steps.at(-1), id),
    words: references > 0 || cached ? wordsIn(service, owners, id) : [],
  };
}

function stateOf(
  references: number,
  owners: number,
  cached: boolean,
): BlockState {
  if (references === 0) return cached ? "cached" : "free";
  if (owners === 0) return "pinned";
  return owners === 1 ? "own" : "shared";
}

function changeOf(step: Step | undefined, id: number): BlockView["change"] {
  if (step?.copies.some(({ to }) => to === id)) return "copied";
  return step?.written.includes(id) ? "written" : undefined;
}

/** The rows that someone can read: up to the longest holder's last. */
function wordsIn(
  { pool, wordAt }: Service,
  owners: readonly SequenceView[],
  id: number,
): string[] {
  const { blockSize } = pool;
  const rows = owners.map(({ blocks, words }) =>
    Math.min(blockSize, words.length - blocks.indexOf(id) * blockSize)
  );
  // A block without holders that is found, or pinned, is a full one.
  const filled = owners.length === 0 ? blockSize : Math.max(...rows);
  return Array.from({ length: filled }, (_, row) => wordAt(id, row) ?? "");
}
