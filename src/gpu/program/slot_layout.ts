/**
 * Where the uniforms and words of a program lie in one buffer.
 *
 * @module
 */

import { checkRange } from "../../core/check.ts";
import { roundUp } from "../buffers/usage.ts";

/** Bytes that a program's parts need. */
export interface SlotSizes {
  /** Of all uniforms, one after the other, each aligned. */
  readonly uniforms: number;
  /** Of each words binding, by name. */
  readonly words: ReadonlyMap<string, number>;
}

/** Where a words binding lies. */
export interface WordsPlace {
  /** Its first byte. */
  readonly offset: number;
  /** Its capacity in bytes, which is what gets bound. */
  readonly size: number;
}

/** The places in a slot's buffer; uniforms start at 0. */
export interface SlotLayout {
  /** Capacities. */
  readonly sizes: SlotSizes;
  /** The place of each words binding, by name. */
  readonly words: ReadonlyMap<string, WordsPlace>;
  /** Bytes of the buffer. */
  readonly size: number;
}

/** The smallest binding: one `vec4`. */
const MIN_BYTES = 16;

/** Nothing has a place yet. */
export const EMPTY_LAYOUT: SlotLayout = {
  sizes: { uniforms: 0, words: new Map() },
  words: new Map(),
  size: 0,
};

/** What every uniform and words binding starts at a multiple of. */
export function slotAlignment(limits: GPUSupportedLimits): number {
  return Math.max(
    limits.minUniformBufferOffsetAlignment,
    limits.minStorageBufferOffsetAlignment,
  );
}

/**
 * The same layout where the sizes fit its capacities, else one with capacities
 * that are powers of two where those fit the device. What had a place keeps it
 * while there is room: sizes come back.
 *
 * @throws {RangeError} Where no buffer is large enough.
 */
export function fitLayout(
  layout: SlotLayout,
  sizes: SlotSizes,
  limits: GPUSupportedLimits,
): SlotLayout {
  if (fits(layout, sizes)) return layout;
  const most = Math.floor(limits.maxStorageBufferBindingSize / 4) * 4;
  const grown = grow(layout.sizes, sizes, most);
  const roomy = place(grown, slotAlignment(limits));
  if (roomy.size <= limits.maxBufferSize) return roomy;
  const exact = place(sizes, slotAlignment(limits));
  checkRange(
    exact.size <= limits.maxBufferSize,
    "words",
    `must need <= maxBufferSize (${limits.maxBufferSize} bytes) with the uniforms`,
    exact.size,
  );
  return exact;
}

function fits(layout: SlotLayout, { uniforms, words }: SlotSizes): boolean {
  return layout.size > 0 && uniforms <= layout.sizes.uniforms &&
    [...words].every(([name, bytes]) =>
      bytes <= (layout.words.get(name)?.size ?? -1)
    );
}

function grow(held: SlotSizes, sizes: SlotSizes, most: number): SlotSizes {
  const larger = (before: number, bytes: number) =>
    bytes <= before ? before : 2 ** Math.ceil(Math.log2(bytes));
  const words = new Map(held.words);
  for (const [name, bytes] of sizes.words) {
    const capacity = larger(words.get(name) ?? 0, Math.max(MIN_BYTES, bytes));
    words.set(name, Math.min(most, capacity));
  }
  return { uniforms: larger(held.uniforms, sizes.uniforms), words };
}

function place(sizes: SlotSizes, alignment: number): SlotLayout {
  let end = roundUp(sizes.uniforms, alignment);
  const words = new Map<string, WordsPlace>();
  for (const [name, bytes] of sizes.words) {
    const size = Math.max(MIN_BYTES, bytes);
    words.set(name, { offset: end, size });
    end = roundUp(end + size, alignment);
  }
  return { sizes, words, size: Math.max(MIN_BYTES, end) };
}
