/**
 * A simulation of vAttention's page mapper: WebGPU has no virtual memory, so
 * its counters can be had and its speed cannot.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../src/core/check.ts";
import { OutOfBlocksError } from "../../src/core/errors.ts";
import { invariant } from "../../src/core/invariant.ts";

/**
 * Which idle slot a new request gets:
 *
 * - `"best"`: the fewest pages that are enough, else the most there are;
 * - `"official"`: the rule of the published code, which starts at the first
 *   idle slot and only ever moves to one with fewer pages that are enough, so
 *   it can miss an exact fit.
 */
export type FitRule = "best" | "official";

/** What a {@linkcode MapperSimulator} simulates. */
export interface MapperOptions {
  /** Requests that can be active at once. */
  readonly slots: number;
  /** Physical pages. */
  readonly pages: number;
  /** Bytes per page: 64 KiB to 2 MiB with real drivers. */
  readonly pageBytes: number;
  /** Bytes of one token in one tensor: `kvHeads * headDim * elementBytes`. */
  readonly tokenBytes: number;
  /** Virtual tensors that grow together: 2 for each layer. */
  readonly tensors: number;
  /** Which idle slot a new request gets. Defaults to `"best"`. */
  readonly fit?: FitRule;
  /** Tokens before a page is full when its successor is mapped. Default 10. */
  readonly aheadTokens?: number;
}

/** What a mapper has done, in driver calls of one page each. */
export interface MapperCounters {
  /** Pages mapped. */
  readonly mapCalls: number;
  /** Those of them that a step had to wait for. */
  readonly criticalMapCalls: number;
  /** Pages unmapped. */
  readonly unmapCalls: number;
}

/** A request's virtual tensors. */
interface Slot {
  active: boolean;
  length: number;
  /** Pages mapped in each tensor. */
  mapped: number;
}

/**
 * Contiguous virtual key/value tensors whose pages are mapped on demand (Prabhu
 * et al. 2024, sections 5 and 6), **simulated**: nothing is mapped, but every
 * call that would be is counted, exactly.
 *
 * A freed slot keeps its pages for the next request (deferred reclamation);
 * they are taken away when others run short, from the highest slot down. One
 * page of every tensor is mapped at a time.
 *
 * Every operation succeeds, or throws and changes nothing.
 */
export class MapperSimulator {
  readonly #slots: Slot[];
  readonly #rows: number;
  readonly #tensors: number;
  readonly #pageBytes: number;
  readonly #tokenBytes: number;
  readonly #fit: FitRule;
  readonly #ahead: number;
  #counters = { mapCalls: 0, criticalMapCalls: 0, unmapCalls: 0 };

  /**
   * Makes a mapper with every slot idle and no page mapped.
   *
   * @throws {TypeError} if a size is not a number or the rule is unknown.
   * @throws {RangeError} if a size is not an integer >= 1, or a token does not
   * fit in a page.
   */
  constructor(options: MapperOptions) {
    const { slots, pages, pageBytes, tokenBytes, tensors } = options;
    const { fit = "best", aheadTokens = 10 } = options;
    checkInteger("slots", slots, 1);
    checkInteger("pages", pages, 1);
    checkInteger("pageBytes", pageBytes, 1);
    checkInteger("tokenBytes", tokenBytes, 1, pageBytes);
    checkInteger("tensors", tensors, 1);
    checkInteger("aheadTokens", aheadTokens, 0);
    checkType(
      fit === "best" || fit === "official",
      "fit",
      'must be "best" or "official"',
      fit,
    );
    this.#slots = Array.from(
      { length: slots },
      () => ({ active: false, length: 0, mapped: 0 }),
    );
    this.#rows = Math.floor(pages / tensors);
    this.#tensors = tensors;
    this.#pageBytes = pageBytes;
    this.#tokenBytes = tokenBytes;
    this.#fit = fit;
    this.#ahead = aheadTokens;
  }

  /** Tokens whose keys, or values, of one layer fit in a page. */
  get tokensPerPage(): number {
    return Math.floor(this.#pageBytes / this.#tokenBytes);
  }

  /** Counts since the mapper was made. */
  get counters(): MapperCounters {
    return { ...this.#counters };
  }

  /** Pages that are mapped nowhere, in each tensor. */
  get freePages(): number {
    return this.#rows - this.#slots.reduce((sum, s) => sum + s.mapped, 0);
  }

  /** Bytes mapped for active requests beyond what their tokens take. */
  get wastedBytes(): number {
    return this.#slots.filter(({ active }) => active).reduce(
      (sum, { mapped, length }) =>
        sum +
        this.#tensors *
          (mapped * this.#pageBytes - length * this.#tokenBytes),
      0,
    );
  }

  /**
   * Pages that are mapped for a slot in each tensor.
   *
   * @throws {TypeError} if `slot` is not a number.
   * @throws {RangeError} if there is no such slot.
   */
  mappedPages(slot: number): number {
    checkInteger("slot", slot, 0, this.#slots.length - 1);
    return this.#slots[slot].mapped;
  }

  /**
   * Gives an idle slot to a request that is about to have `length` tokens. Maps
   * nothing: the next step does.
   *
   * @throws {TypeError} if `length` is not a number.
   * @throws {RangeError} if it is not an integer >= 0, or no slot is idle.
   */
  allocate(length: number): number {
    checkInteger("length", length, 0);
    const idle = [...this.#slots.keys()].filter((i) => !this.#slots[i].active);
    checkRange(idle.length > 0, "slots", "must not all be active", idle.length);
    const needed = this.#pagesFor(length);
    const chosen = this.#fit === "best"
      ? this.#bestFit(idle, needed)
      : this.#officialFit(idle, needed);
    this.#slots[chosen].active = true;
    this.#slots[chosen].length = 0;
    return chosen;
  }

  /**
   * Ends a request; its pages stay mapped.
   *
   * @throws {TypeError} if `slot` is not a number.
   * @throws {RangeError} if it is not an active slot.
   */
  free(slot: number): void {
    this.#checkActive(slot);
    this.#slots[slot].active = false;
    this.#slots[slot].length = 0;
  }

  /**
   * Maps what the lengths of this step need, all of it on the critical path.
   *
   * @param lengths Tokens of each slot, this step's included; slots that are
   * left out stay as they are.
   * @throws {TypeError} if a slot or a length is not a number.
   * @throws {RangeError} if a slot is not active or a length is less than it
   * was.
   * @throws {OutOfBlocksError} in pages of a tensor, if there are too few even
   * when all that is not needed is taken away.
   */
  step(lengths: ReadonlyMap<number, number>): void {
    this.#checkStep(lengths);
    for (const [slot, length] of lengths) this.#slots[slot].length = length;
    for (const slot of lengths.keys()) {
      this.#counters.criticalMapCalls += this.#grow(slot);
    }
  }

  /**
   * As {@linkcode MapperSimulator.step}; then, in the background, maps the next
   * page of each request that is about to need one, as long as pages are free.
   * Where there is nothing to map, one page of an idle slot is given up.
   *
   * @throws as `step` does.
   */
  stepAsync(lengths: ReadonlyMap<number, number>): void {
    this.step(lengths);
    let idle = true;
    for (const slot of this.#slots) {
      const room = slot.mapped * this.tokensPerPage - slot.length;
      if (!slot.active || slot.length === 0 || room >= this.#ahead) continue;
      if (this.freePages === 0) continue;
      this.#map(slot, 1);
      idle = false;
    }
    if (idle) this.#giveUpOne();
  }

  /**
   * Checks that no more pages are mapped than there are, that every request
   * has what its tokens need, and that maps and unmaps add up.
   *
   * @throws {Error} naming the violated invariant.
   */
  verify(): void {
    const { mapCalls, criticalMapCalls, unmapCalls } = this.#counters;
    const mapped = this.#slots.reduce((sum, s) => sum + s.mapped, 0);
    invariant(
      this.freePages >= 0,
      "no more pages are mapped than there are",
      `${mapped} of ${this.#rows}`,
    );
    invariant(
      this.#slots.every((s) => s.mapped >= this.#pagesFor(s.length)),
      "every request has the pages of its tokens",
      `${mapped} mapped`,
    );
    invariant(
      mapCalls - unmapCalls === mapped * this.#tensors &&
        criticalMapCalls <= mapCalls,
      "calls add up to what is mapped",
      `${mapCalls} - ${unmapCalls}, ${mapped} mapped`,
    );
  }

  #pagesFor(length: number): number {
    return Math.ceil(length / this.tokensPerPage);
  }

  #bestFit(idle: readonly number[], needed: number): number {
    const mapped = (i: number) => this.#slots[i].mapped;
    const enough = idle.filter((i) => mapped(i) >= needed);
    const least = (a: number, b: number) => mapped(b) < mapped(a) ? b : a;
    const most = (a: number, b: number) => mapped(b) > mapped(a) ? b : a;
    return enough.length > 0 ? enough.reduce(least) : idle.reduce(most);
  }

  #officialFit(idle: readonly number[], needed: number): number {
    const mapped = (i: number) => this.#slots[i].mapped;
    return idle.reduce((chosen, i) =>
      mapped(i) >= needed && mapped(i) < mapped(chosen) ? i : chosen
    );
  }

  #checkActive(slot: number): void {
    checkInteger("slot", slot, 0, this.#slots.length - 1);
    checkRange(this.#slots[slot].active, "slot", "must be active", slot);
  }

  #checkStep(lengths: ReadonlyMap<number, number>): void {
    for (const [slot, length] of lengths) {
      this.#checkActive(slot);
      checkInteger("length", length, this.#slots[slot].length);
    }
    const needed = this.#slots.reduce(
      (sum, slot, i) => sum + this.#pagesFor(lengths.get(i) ?? slot.length),
      0,
    );
    if (needed > this.#rows) {
      throw new OutOfBlocksError({ needed, free: this.#rows });
    }
  }

  /** Maps what a slot's length needs; says how many calls that took. */
  #grow(index: number): number {
    const slot = this.#slots[index];
    const count = Math.max(0, this.#pagesFor(slot.length) - slot.mapped);
    for (let short = count - this.freePages; short > 0; short--) {
      this.#reclaimOne();
    }
    this.#map(slot, count);
    return count * this.#tensors;
  }

  /** Takes a page away that no length needs: idle slots' first. */
  #reclaimOne(): void {
    const surplus = (slot: Slot) => slot.mapped > this.#pagesFor(slot.length);
    const slot = this.#slots.findLast((s) => !s.active && surplus(s)) ??
      this.#slots.findLast(surplus);
    this.#unmapOne(slot!);
  }

  #giveUpOne(): void {
    const slot = this.#slots.findLast((s) => !s.active && s.mapped > 0);
    if (slot) this.#unmapOne(slot);
  }

  #map(slot: Slot, count: number): void {
    slot.mapped += count;
    this.#counters.mapCalls += count * this.#tensors;
  }

  #unmapOne(slot: Slot): void {
    slot.mapped--;
    this.#counters.unmapCalls += this.#tensors;
  }
}
