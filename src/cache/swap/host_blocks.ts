/**
 * Bytes of blocks in host memory, in numbered slots.
 *
 * @module
 */

/**
 * Slots of one size. Memory is taken when a slot is first used, and kept for
 * the next use.
 */
export class HostBlocks {
  /** Bytes of a slot. */
  readonly slotBytes: number;
  readonly #slots: Map<number, Uint8Array> = new Map();
  readonly #sealed: Set<number> = new Set();

  /** Makes a store without any slot. */
  constructor(slotBytes: number) {
    this.slotBytes = slotBytes;
  }

  /** Bytes of all slots that were ever used. */
  get byteLength(): number {
    return this.#slots.size * this.slotBytes;
  }

  /** Whether a slot holds a block. */
  has(slot: number): boolean {
    return this.#sealed.has(slot);
  }

  /**
   * Empties slots, to be written and then sealed.
   *
   * @throws {RangeError} if the host has no memory; nothing is changed then.
   */
  open(slots: readonly number[]): void {
    const fresh = slots.filter((slot) => !this.#slots.has(slot));
    const bytes = fresh.map(() => new Uint8Array(this.slotBytes));
    fresh.forEach((slot, i) => this.#slots.set(slot, bytes[i]));
    for (const slot of slots) this.#sealed.delete(slot);
  }

  /** Copies blocks, one after the other in `packed`, into open slots. */
  write(slots: readonly number[], packed: Uint8Array): void {
    slots.forEach((slot, i) =>
      this.#slots.get(slot)!.set(this.#part(packed, i))
    );
  }

  /** Says that slots are written: they hold blocks from now on. */
  seal(slots: readonly number[]): void {
    for (const slot of slots) this.#sealed.add(slot);
  }

  /** Copies the blocks of slots, one after the other, into `packed`. */
  read(slots: readonly number[], packed: Uint8Array): void {
    slots.forEach((slot, i) =>
      this.#part(packed, i).set(this.#slots.get(slot)!)
    );
  }

  /** Forgets all slots. */
  clear(): void {
    this.#slots.clear();
    this.#sealed.clear();
  }

  #part(packed: Uint8Array, i: number): Uint8Array {
    return packed.subarray(i * this.slotBytes, (i + 1) * this.slotBytes);
  }
}
