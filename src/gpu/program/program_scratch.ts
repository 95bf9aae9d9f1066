/**
 * The scratch of a program: buffers out of the device's pool.
 *
 * @module
 */

import type { GpuBuffer } from "../buffers/buffer.ts";
import type { BufferPool } from "../buffers/pool.ts";
import { RecordedUses } from "./recordings.ts";

/** One scratch buffer. */
export interface Scratch {
  /** The buffer. */
  readonly buffer: GpuBuffer;
  /** Which recordings use it. */
  readonly uses: RecordedUses;
}

/** The scratch buffers of one program, by binding name. */
export class ProgramScratch {
  #pool: BufferPool;
  #label: string;
  #held = new Map<string, Scratch>();

  /** None yet. */
  constructor(pool: BufferPool, label: string) {
    this.#pool = pool;
    this.#label = label;
  }

  /** The buffers. */
  get all(): Iterable<Scratch> {
    return this.#held.values();
  }

  /** The buffer of a name that was reserved. */
  get(name: string): GpuBuffer {
    return this.#held.get(name)!.buffer;
  }

  /**
   * Sees to it that each name has so many bytes; on an error nothing changes.
   *
   * @param limit The largest binding.
   * @returns Whether a buffer was replaced.
   */
  reserve(sizes: Readonly<Record<string, number>>, limit: number): boolean {
    const made = new Map<string, Scratch>();
    try {
      for (const [name, bytes] of Object.entries(sizes)) {
        const held = this.#held.get(name)?.buffer;
        if (held && !held.destroyed && bytes <= held.size) continue;
        const size = Math.min(limit, sizeClass(bytes));
        const buffer = this.#pool.acquire(size, `${this.#label}.${name}`);
        made.set(name, { buffer, uses: new RecordedUses() });
      }
    } catch (error) {
      for (const { buffer } of made.values()) this.#pool.release(buffer);
      throw error;
    }
    for (const [name, scratch] of made) {
      this.#giveBack(this.#held.get(name));
      this.#held.set(name, scratch);
    }
    return made.size > 0;
  }

  /** Records a command that poisons them, where the pool is to. */
  encodePoison(encoder: GPUCommandEncoder): void {
    for (const { buffer } of this.all) {
      this.#pool.encodePoison(encoder, buffer);
    }
  }

  /** Gives them back to the pool. */
  release(): void {
    for (const scratch of this.all) this.#giveBack(scratch);
    this.#held.clear();
  }

  #giveBack(scratch: Scratch | undefined): void {
    if (scratch === undefined) return;
    const { buffer, uses } = scratch;
    if (uses.none) this.#pool.release(buffer);
    else this.#pool.abandon(buffer);
  }
}

/** A quarter of a power of two: few sizes, and little more than is needed. */
function sizeClass(bytes: number): number {
  const step = 2 ** Math.max(8, Math.floor(Math.log2(Math.max(1, bytes))) - 2);
  return Math.ceil(bytes / step) * step;
}
