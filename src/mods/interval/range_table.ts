/**
 * The least and greatest element of any range of a captured buffer.
 *
 * @module
 */

import { hostDataOf } from "../captures/device_data.ts";
import type { CapturedBuffer, CapturedData } from "../nodes.ts";
import { type Interval, union } from "./interval_arithmetic.ts";

/** Elements under one entry of the lowest level. */
const CHUNK = 16;

/** Extremes of `data[low..high]` (inclusive). */
type RangeQuery = (low: number, high: number) => Interval;

const TABLES = new WeakMap<CapturedBuffer, RangeQuery>();

/**
 * The least and greatest element over inclusive index ranges, one a dimension,
 * each already clamped. The table behind it is built on first use: O(n) memory,
 * O(1) for a range of the last dimension; other dimensions are walked.
 */
export function elementRange(
  buffer: CapturedBuffer,
  ranges: readonly Interval[],
): Interval {
  let query = TABLES.get(buffer);
  if (query === undefined) {
    const data = hostDataOf(buffer);
    query = buffer.type === "bool" ? countTable(data) : sparseTable(data);
    TABLES.set(buffer, query);
  }
  return walk(query, buffer, ranges);
}

function walk(
  query: RangeQuery,
  { shape, type }: CapturedBuffer,
  ranges: readonly Interval[],
): Interval {
  const last = shape.length - 1;
  const visit = (axis: number, flat: number): Interval => {
    const [low, high] = ranges[axis];
    const start = flat * shape[axis];
    if (axis === last) return query(start + low, start + high);
    let found = visit(axis + 1, start + low);
    for (let i = low + 1; i <= high; i++) {
      if (type === "bool" && found[0] !== found[1]) break;
      found = union(found, visit(axis + 1, start + i));
    }
    return found;
  };
  return visit(0, 0);
}

/** For booleans: counts of true elements tell all, none and some. */
function countTable(data: CapturedData): RangeQuery {
  const before = new Uint32Array(data.length + 1);
  for (let i = 0; i < data.length; i++) {
    before[i + 1] = before[i] + (data[i] !== 0 ? 1 : 0);
  }
  return (low, high) => {
    const count = before[high + 1] - before[low];
    return [count === high - low + 1 ? 1 : 0, count === 0 ? 0 : 1];
  };
}

/** One level: extremes of every run of 2^level chunks. */
interface Level {
  readonly least: Float64Array;
  readonly greatest: Float64Array;
}

/** For numbers: two overlapping powers of two cover any range of chunks. */
function sparseTable(data: CapturedData): RangeQuery {
  const levels = buildLevels(data);
  return (low, high) => {
    const firstChunk = Math.ceil(low / CHUNK);
    const endChunk = Math.floor((high + 1) / CHUNK);
    if (firstChunk >= endChunk) return scan(data, low, high);
    const level = 31 - Math.clz32(endChunk - firstChunk);
    const { least, greatest } = levels[level];
    const second = endChunk - 2 ** level;
    const inner: Interval = [
      Math.min(least[firstChunk], least[second]),
      Math.max(greatest[firstChunk], greatest[second]),
    ];
    const head = scan(data, low, firstChunk * CHUNK - 1);
    return union(inner, union(head, scan(data, endChunk * CHUNK, high)));
  };
}

function scan(data: CapturedData, low: number, high: number): Interval {
  let [least, greatest] = [Infinity, -Infinity];
  for (let i = low; i <= high; i++) {
    least = Math.min(least, data[i]);
    greatest = Math.max(greatest, data[i]);
  }
  return [least, greatest];
}

function buildLevels(data: CapturedData): Level[] {
  const chunks = Math.floor(data.length / CHUNK);
  const lowest = Array.from(
    { length: chunks },
    (_, i) => scan(data, i * CHUNK, (i + 1) * CHUNK - 1),
  );
  const levels: Level[] = [{
    least: Float64Array.from(lowest, ([least]) => least),
    greatest: Float64Array.from(lowest, ([, greatest]) => greatest),
  }];
  for (let width = 1; 2 * width <= chunks; width *= 2) {
    const { least, greatest } = levels[levels.length - 1];
    const count = chunks - 2 * width + 1;
    levels.push({
      least: Float64Array.from(
        { length: count },
        (_, i) => Math.min(least[i], least[i + width]),
      ),
      greatest: Float64Array.from(
        { length: count },
        (_, i) => Math.max(greatest[i], greatest[i + width]),
      ),
    });
  }
  return levels;
}
