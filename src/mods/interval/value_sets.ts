/**
 * Which values a range of a captured buffer has, as far as it takes to say that
 * two ranges have none in common: equality of two look-ups is then false in all
 * of a tile, however their ranges of values overlap.
 *
 * @module
 */

import { hostDataOf } from "../captures/device_data.ts";
import type { CapturedBuffer, CapturedData } from "../nodes.ts";
import type { Interval } from "./interval_arithmetic.ts";

/** Elements under one set of the lowest level. */
const CHUNK = 64;

/** Bits of a set; with as many values or fewer, from 0 on, it is exact. */
const BITS = 256;
const WORDS = BITS / 32;

/** A bit for each value: those that share one are taken for equal. */
type ValueSet = Uint32Array;

/** The sets of all runs of `2^level` chunks, one after the other. */
type Levels = readonly Uint32Array[];

/** A part of a captured buffer: a range of each dimension. */
interface Part {
  readonly buffer: CapturedBuffer;
  readonly ranges: readonly Interval[];
}

/** An interval that holds what is in a part of a captured buffer. */
interface Loaded extends Array<number> {
  part?: Part;
}

const TABLES = new WeakMap<CapturedBuffer, Levels>();

/**
 * The same interval, with where it comes from, if it is of several values. That
 * goes along with the very object, as what computes another value makes
 * another interval.
 */
export function loadedFrom(
  interval: Interval,
  buffer: CapturedBuffer,
  ranges: readonly Interval[],
): Interval {
  const [low, high] = interval;
  if (low === high) return interval;
  const loaded: Loaded = [low, high];
  loaded.part = { buffer, ranges };
  return loaded as readonly number[] as Interval;
}

/**
 * Whether two intervals, each of integers in a captured buffer or of one value,
 * have no value in common; `false` where that is not known. The tables behind
 * it are built on first use: O(n) memory, O(1) for a range of the last
 * dimension; others are walked.
 */
export function haveNothingInCommon(left: Interval, right: Interval): boolean {
  const [a, b] = [setOf(left), setOf(right)];
  return a !== undefined && b !== undefined &&
    a.every((word, i) => (word & b[i]) === 0);
}

function setOf(interval: Interval): ValueSet | undefined {
  const { part } = interval as readonly number[] as Loaded;
  if (part !== undefined) return valuesOf(part);
  const [low, high] = interval;
  if (low !== high) return undefined;
  const set = new Uint32Array(WORDS);
  addValue(set, low);
  return set;
}

function valuesOf({ buffer, ranges }: Part): ValueSet {
  const data = hostDataOf(buffer);
  let levels = TABLES.get(buffer);
  if (levels === undefined) {
    levels = buildLevels(data);
    TABLES.set(buffer, levels);
  }
  const found = new Uint32Array(WORDS);
  const { shape } = buffer;
  const visit = (axis: number, flat: number) => {
    const [low, high] = ranges[axis];
    const start = flat * shape[axis];
    for (let i = low; i <= high; i++) {
      if (axis === shape.length - 1) {
        addRange(found, { data, levels }, start + low, start + high);
        return;
      }
      visit(axis + 1, start + i);
    }
  };
  visit(0, 0);
  return found;
}

/** Adds the values of `data[low..high]`: two overlapping runs of chunks, and ends. */
function addRange(
  set: ValueSet,
  { data, levels }: { readonly data: CapturedData; readonly levels: Levels },
  low: number,
  high: number,
): void {
  const first = Math.ceil(low / CHUNK);
  const end = Math.floor((high + 1) / CHUNK);
  if (first >= end) return scan(set, data, low, high);
  const level = 31 - Math.clz32(end - first);
  const sets = levels[level];
  unite(set, sets, first);
  unite(set, sets, end - 2 ** level);
  scan(set, data, low, first * CHUNK - 1);
  scan(set, data, end * CHUNK, high);
}

function scan(
  set: ValueSet,
  data: CapturedData,
  low: number,
  high: number,
): void {
  for (let i = low; i <= high; i++) addValue(set, data[i]);
}

/** Equal bits for equal values, others for as many neighbours as there are bits. */
function addValue(set: ValueSet, value: number): void {
  const bit = (value ^ (value >> 8) ^ (value >> 16)) & (BITS - 1);
  set[bit >>> 5] |= 1 << (bit & 31);
}

function unite(set: ValueSet, sets: Uint32Array, at: number): void {
  for (let word = 0; word < WORDS; word++) {
    set[word] |= sets[at * WORDS + word];
  }
}

function buildLevels(data: CapturedData): Levels {
  const chunks = Math.floor(data.length / CHUNK);
  const lowest = new Uint32Array(chunks * WORDS);
  for (let i = 0; i < chunks; i++) {
    const own = lowest.subarray(i * WORDS, (i + 1) * WORDS);
    scan(own, data, i * CHUNK, (i + 1) * CHUNK - 1);
  }
  const levels = [lowest];
  for (let width = 1; 2 * width <= chunks; width *= 2) {
    const half = levels[levels.length - 1];
    const count = chunks - 2 * width + 1;
    const next = half.slice(0, count * WORDS);
    next.forEach((_, i) => next[i] |= half[i + width * WORDS]);
    levels.push(next);
  }
  return levels;
}
