/**
 * A buddy allocator, as serving systems before paging had one.
 *
 * @module
 */

/** A chunk that is taken. */
export interface Chunk {
  /** Its first slot, a multiple of its size. */
  readonly start: number;
  /** Its slots, a power of two. */
  readonly size: number;
}

/**
 * Contiguous chunks of `2**k` slots (Knuth, The Art of Computer Programming,
 * volume 1, section 2.5): a larger chunk is halved until it fits, and two
 * halves that are free become one again.
 */
export class BuddyAllocator {
  readonly #capacity: number;
  /** Starts of the free chunks by size. */
  readonly #free: Map<number, Set<number>> = new Map();
  #freeSlots: number;

  /** Makes one with all slots free. */
  constructor(capacity: number) {
    if (!Number.isInteger(Math.log2(capacity))) {
      throw new RangeError(
        `capacity must be a power of two: current value is ${capacity}`,
      );
    }
    for (let size = 1; size <= capacity; size *= 2) {
      this.#free.set(size, new Set());
    }
    this.#free.get(capacity)!.add(0);
    this.#capacity = capacity;
    this.#freeSlots = capacity;
  }

  /** Slots of no chunk, however they lie. */
  get freeSlots(): number {
    return this.#freeSlots;
  }

  /** Takes the least chunk of at least `slots`; `undefined` if none fits. */
  allocate(slots: number): Chunk | undefined {
    const size = 2 ** Math.ceil(Math.log2(slots));
    let found = size;
    while (found <= this.#capacity && this.#free.get(found)!.size === 0) {
      found *= 2;
    }
    if (found > this.#capacity) return undefined;
    const [start] = this.#free.get(found)!;
    this.#free.get(found)!.delete(start);
    while (found > size) {
      found /= 2;
      this.#free.get(found)!.add(start + found);
    }
    this.#freeSlots -= size;
    return { start, size };
  }

  /** Gives a chunk back, which must have come from here. */
  release({ start, size }: Chunk): void {
    this.#freeSlots += size;
    while (size < this.#capacity) {
      // Buddies differ in one bit: the size.
      const buddy = start ^ size;
      if (!this.#free.get(size)!.delete(buddy)) break;
      start = Math.min(start, buddy);
      size *= 2;
    }
    this.#free.get(size)!.add(start);
  }
}
