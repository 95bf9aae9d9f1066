/**
 * Where a service keeps its requests' keys and values: by reservation, or
 * paged.
 *
 * @module
 */

import {
  BlockPool,
  BlockTable,
  grownCapacity,
  OutOfBlocksError,
} from "../../src/cache/mod.ts";
import { BuddyAllocator, type Chunk } from "./buddy.ts";
import type { Request } from "../trace.ts";

/** A request that has memory. */
export interface Held {
  /** Token slots that it may write, or begin to, without asking again. */
  readonly room: number;
  /** Makes room for `tokens` more; `false` if there is none. */
  grow(tokens: number): boolean;
  /** Gives all back. */
  release(): void;
}

/** A kind of memory. */
export interface ServingMemory {
  /** Token slots in all. */
  readonly capacity: number;
  /** Slots that no request has taken. */
  readonly freeSlots: number;
  /** Begins a request with `tokens` of its tokens; `undefined` if it must wait. */
  admit(request: Request, tokens: number): Held | undefined;
}

/** What is reserved for a request that begins. */
export type Reservation = "max" | "pow2" | "oracle";

/**
 * Slots that each policy asks of the allocator (Kwon et al. 2023, section 6.1):
 * the longest length; the prompt and the output's next power of two; or just
 * what it will be, which only an oracle knows.
 */
export function reservedSlots(
  reservation: Reservation,
  { prompt, output }: Request,
  maxLength: number,
): number {
  const grown = (policy: "max" | "powerOfTwo") => (length: number) =>
    grownCapacity(length, { policy, blockSize: 1, maxLength });
  switch (reservation) {
    case "max":
      return grown("max")(prompt + output);
    case "pow2":
      return Math.min(prompt + grown("powerOfTwo")(output), maxLength);
    case "oracle":
      return prompt + output;
  }
}

/** Contiguous chunks of a buddy allocator, taken at once for good. */
export class ReservedMemory implements ServingMemory {
  readonly #buddy: BuddyAllocator;
  readonly #reservation: Reservation;
  readonly #maxLength: number;
  /** Token slots in all. */
  readonly capacity: number;

  /** Makes one with every slot free; `capacity` is a power of two. */
  constructor(
    options: {
      capacity: number;
      reservation: Reservation;
      maxLength: number;
    },
  ) {
    this.capacity = options.capacity;
    this.#buddy = new BuddyAllocator(options.capacity);
    this.#reservation = options.reservation;
    this.#maxLength = options.maxLength;
  }

  /** Slots outside of all chunks. */
  get freeSlots(): number {
    return this.#buddy.freeSlots;
  }

  /** Reserves for the whole request. */
  admit(request: Request): Held | undefined {
    const room = reservedSlots(this.#reservation, request, this.#maxLength);
    const chunk: Chunk | undefined = this.#buddy.allocate(room);
    return chunk &&
      {
        room,
        grow: () => true,
        release: () => this.#buddy.release(chunk),
      };
  }
}

/** Blocks of a pool, taken as they are begun. */
export class PagedMemory implements ServingMemory {
  readonly #pool: BlockPool;
  readonly #watermark: number;
  /** Token slots in all. */
  readonly capacity: number;

  /**
   * Makes one with every slot free. Requests are only admitted as long as
   * `watermark` of the blocks stay free for those that run.
   */
  constructor(
    { capacity, blockSize, watermark = 0.01 }: {
      capacity: number;
      blockSize: number;
      watermark?: number;
    },
  ) {
    const blocks = Math.floor(capacity / blockSize);
    this.#pool = new BlockPool({ numBlocks: blocks + 1, blockSize });
    this.#watermark = Math.floor(watermark * blocks);
    this.capacity = capacity;
  }

  /** Slots of blocks that no table holds. */
  get freeSlots(): number {
    return this.#pool.freeBlocks * this.#pool.blockSize;
  }

  /** Takes the blocks of the tokens that there are. */
  admit(_request: Request, tokens: number): Held | undefined {
    const table = new BlockTable(this.#pool);
    const needed = table.blocksNeeded(tokens);
    if (this.#pool.freeBlocks - needed < this.#watermark) return undefined;
    table.reserve(tokens);
    return {
      get room() {
        return table.capacity;
      },
      grow: (more) => reserved(table, more),
      release: () => table.free(),
    };
  }
}

function reserved(table: BlockTable, tokens: number): boolean {
  try {
    table.reserve(tokens);
    return true;
  } catch (error) {
    if (error instanceof OutOfBlocksError) return false;
    throw error;
  }
}
