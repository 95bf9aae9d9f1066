/**
 * What lies in host memory of a pool on the device: blocks or states, bounded in
 * number.
 *
 * @module
 */

import { type BlockPool, NULL_BLOCK } from "../block/block_pool.ts";

/**
 * A block's way between device and host.
 *
 * @category Cache
 */
export interface SwapCopy {
  /** The block on the device. */
  readonly block: number;
  /** The slot in host memory, 1 or more. */
  readonly slot: number;
  /** The layer group whose keys and values are moved. */
  readonly group: number;
}

/** Ids of sequences, by their groups of layers; null ones stay null. */
type Ids = readonly (readonly (readonly number[])[])[];

/** Ids where they went, each held as often as it is named. */
export interface Moved {
  /** In the places of those that were moved. */
  readonly ids: number[][][];
  /** What to copy; each of them once. */
  readonly copies: SwapCopy[];
}

/** Every id at most once, with the group that names it. */
function distinct(ids: Ids): Map<number, number> {
  const groups = new Map<number, number>();
  for (const sequence of ids) {
    sequence.forEach((group, number) => {
      for (const id of group) {
        if (id !== NULL_BLOCK && !groups.has(id)) groups.set(id, number);
      }
    });
  }
  return groups;
}

/** Takes ids of a pool for all, and says what becomes of each. */
function take(
  pool: BlockPool,
  ids: Ids,
): { ids: number[][][]; to: Map<number, number> } {
  const order = [...distinct(ids).keys()];
  const fresh = pool.allocate(order.length);
  const to = new Map(order.map((from, i) => [from, fresh[i]]));
  const seen = new Set<number>();
  const move = (from: number) => {
    if (from === NULL_BLOCK) return NULL_BLOCK;
    const id = to.get(from)!;
    if (seen.has(id)) pool.retain(id);
    seen.add(id);
    return id;
  };
  return { ids: ids.map((groups) => groups.map((g) => g.map(move))), to };
}

/** The host's side of a pool; without one it has room for nothing. */
export class HostPool {
  readonly #device: BlockPool;
  readonly #host: BlockPool | undefined;
  readonly #firstGroup: number;

  /** Goes from `device` to `host`; groups are counted from `firstGroup`. */
  constructor(
    device: BlockPool,
    host: BlockPool | undefined,
    firstGroup = 0,
  ) {
    this.#device = device;
    this.#host = host;
    this.#firstGroup = firstGroup;
  }

  /** Slots that host memory has. */
  get totalBlocks(): number {
    return this.#host?.totalBlocks ?? 0;
  }

  /** Those of them that hold nothing. */
  get freeBlocks(): number {
    return this.#host?.freeBlocks ?? 0;
  }

  /** Holders of a slot. */
  refCount(slot: number): number {
    return this.#host?.refCount(slot) ?? 0;
  }

  /**
   * Throws unless host memory has room for these.
   *
   * @throws {OutOfBlocksError} if it has too little.
   */
  checkOut(ids: Ids): void {
    const needed = distinct(ids).size;
    if (this.#host !== undefined) this.#host.checkAllocate(needed);
    else if (needed > 0) {
      throw this.#device.shortage({ needed, free: 0, evictable: 0 });
    }
  }

  /**
   * Throws unless the device has room for these.
   *
   * @throws {OutOfBlocksError} if it has too little.
   */
  checkIn(ids: Ids): void {
    this.#device.checkAllocate(distinct(ids).size);
  }

  /**
   * Takes slots on the host.
   *
   * @throws {OutOfBlocksError} if there are too few.
   */
  out(ids: Ids): Moved {
    this.checkOut(ids);
    // Without a host nothing is moved, so the device is not asked for any.
    const moved = take(this.#host ?? this.#device, ids);
    const copies = this.#copies(ids, (from) => ({
      block: from,
      slot: moved.to.get(from)!,
    }));
    return { ids: moved.ids, copies };
  }

  /**
   * Takes room on the device.
   *
   * @throws {OutOfBlocksError} if there is too little.
   */
  in(ids: Ids): Moved {
    const moved = take(this.#device, ids);
    const copies = this.#copies(ids, (from) => ({
      block: moved.to.get(from)!,
      slot: from,
    }));
    return { ids: moved.ids, copies };
  }

  /** Gives slots on the host back, the last of each group first. */
  release(groups: readonly (readonly number[])[]): void {
    for (const ids of groups) {
      for (const id of ids.toReversed()) {
        if (id !== NULL_BLOCK) this.#host?.release(id);
      }
    }
  }

  /**
   * Checks the pool of slots.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    this.#host?.verify();
  }

  #copies(
    ids: Ids,
    copyOf: (from: number) => Omit<SwapCopy, "group">,
  ): SwapCopy[] {
    return [...distinct(ids)].map(([from, group]) => ({
      ...copyOf(from),
      group: this.#firstGroup + group,
    }));
  }
}
