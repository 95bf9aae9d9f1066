/**
 * A service over contiguous sequences without virtual memory: extents that
 * move where they cannot grow in place.
 *
 * @module
 */

import {
  ContiguousSequence,
  ExtentPool,
  grownCapacity,
  type GrowthPolicy,
  OutOfBlocksError,
} from "../../src/cache/mod.ts";
import { serve, type Served } from "./serving.ts";
import {
  type Held,
  PagedMemory,
  type ServingMemory,
} from "./serving_memory.ts";
import { lengthTrace, type Request, WORKLOADS } from "../trace.ts";

const MAX_LENGTH = 2048;
const CAPACITY = 2 ** 14;
const BLOCK_SIZE = 16;
const WATERMARK = 0.01;
/** Requests of a run, by default. */
export const EXTENT_REQUESTS = 500;

/** Where sequences lie: in an extent that grows by a policy, or in blocks. */
export type Placing = GrowthPolicy | "blocks";

/** What one placing comes to. */
export interface ExtentRun {
  /** How sequences are placed. */
  readonly placing: Placing;
  /** What memory was used for. */
  readonly served: Served;
  /** Tokens copied from place to place for each token that was written. */
  readonly movedPerToken: number;
  /** Times that all extents were moved together. */
  readonly compactions: number;
}

/** Extents of a pool; moved together where that makes room. */
export class ExtentMemory implements ServingMemory {
  readonly #pool: ExtentPool;
  readonly #policy: GrowthPolicy;
  readonly #watermark: number;
  /** Token slots in all. */
  readonly capacity: number;
  /** Tokens written. */
  written = 0;
  /** Times that all extents were moved together. */
  compactions = 0;

  /**
   * Makes one with every slot free. Requests are only admitted as long as
   * `watermark` of the blocks stay free for those that run.
   */
  constructor(
    { capacity, blockSize, policy, watermark = 0 }: {
      capacity: number;
      blockSize: number;
      policy: GrowthPolicy;
      watermark?: number;
    },
  ) {
    const numBlocks = Math.floor(capacity / blockSize);
    this.#watermark = Math.floor(watermark * numBlocks);
    this.#pool = new ExtentPool({ numBlocks, blockSize });
    this.#policy = policy;
    this.capacity = numBlocks * blockSize;
  }

  /** Slots that no extent has. */
  get freeSlots(): number {
    return this.#pool.stats().free;
  }

  /** Tokens copied by all moves. */
  get moved(): number {
    return this.#pool.stats().relocated;
  }

  /** Takes an extent for the tokens that there are. */
  admit(_request: Request, tokens: number): Held | undefined {
    const growth = { policy: this.#policy, maxLength: MAX_LENGTH };
    const { blockSize, freeBlocks } = this.#pool;
    const needed = grownCapacity(tokens, { ...growth, blockSize }) / blockSize;
    if (freeBlocks - needed < this.#watermark) return undefined;
    const sequence = new ContiguousSequence(this.#pool, growth);
    if (!this.#reserve(sequence, tokens)) {
      sequence.free();
      return undefined;
    }
    return {
      get room() {
        return sequence.capacity;
      },
      grow: (more) => this.#reserve(sequence, more),
      release: () => sequence.free(),
    };
  }

  #reserve(sequence: ContiguousSequence, tokens: number): boolean {
    try {
      sequence.reserve(tokens);
    } catch (error) {
      if (!(error instanceof OutOfBlocksError)) throw error;
      if (error.needed > error.free) return false;
      this.#pool.compact();
      this.compactions++;
      sequence.reserve(tokens);
    }
    this.written += tokens;
    return true;
  }
}

/** Serves the trace of the utilisation experiment from one kind of memory. */
export function runExtents(
  placing: Placing,
  { requests = EXTENT_REQUESTS }: { requests?: number } = {},
): ExtentRun {
  const trace = lengthTrace({
    seed: 1,
    requests,
    ...WORKLOADS.conversations,
    maxLength: MAX_LENGTH,
  });
  const sizes = {
    capacity: CAPACITY,
    blockSize: BLOCK_SIZE,
    watermark: WATERMARK,
  };
  if (placing === "blocks") {
    const served = serve(trace, new PagedMemory(sizes));
    return { placing, served, movedPerToken: 0, compactions: 0 };
  }
  const memory = new ExtentMemory({ ...sizes, policy: placing });
  const served = serve(trace, memory);
  return {
    placing,
    served,
    movedPerToken: memory.moved / memory.written,
    compactions: memory.compactions,
  };
}
