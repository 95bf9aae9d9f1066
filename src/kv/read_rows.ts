/**
 * Reads the rows of a sequence back, wherever they lie.
 *
 * @module
 */

import { hostArrayOf } from "../core/dtype.ts";
import type { HostTensor } from "../gpu/host_tensor.ts";
import type { Gpu, GpuBuffer, GpuTensor, ReadOptions } from "../gpu/mod.ts";
import { arenaLayout, type BlockShape, tokenBytes } from "./copier.ts";

/**
 * Which rows of a sequence are read, and how.
 *
 * @category Cache
 */
export interface ReadRowsOptions extends ReadOptions {
  /** The layer; 0 by default. */
  readonly layer?: number;
  /** The layer group of a `CacheManager`'s sequence; 0 by default. */
  readonly group?: number;
}

/**
 * The rows that a cache holds of a sequence, in the order of its tokens.
 *
 * @category Cache
 */
export interface SequenceRows {
  /** The first token: 0, unless leading ones were dropped behind a window. */
  readonly start: number;
  /** `[tokens, kvHeads, headDim]`, as they are kept: rotated, where they are. */
  readonly key: HostTensor;
  /** `[tokens, kvHeads, valueHeadDim]`. */
  readonly value: HostTensor;
}

/** Tokens whose slots follow each other, within one arena. */
interface SlotRun {
  /** The slot of the first. */
  readonly slot: number;
  /** Tokens. */
  readonly count: number;
}

/** A cache as far as its rows are read. */
export interface RowSource extends BlockShape {
  readonly gpu: Gpu;
  readonly segmentBlocks: number;
  readonly arenas: (layer: number) => readonly GpuBuffer[];
}

function runsOf(cache: RowSource, slots: Uint32Array): SlotRun[] {
  const perArena = cache.segmentBlocks * cache.blockSize;
  const runs: { slot: number; count: number }[] = [];
  for (const slot of slots) {
    const last = runs.at(-1);
    if (
      last && slot === last.slot + last.count && slot % perArena !== 0
    ) {
      last.count++;
    } else {
      runs.push({ slot, count: 1 });
    }
  }
  return runs;
}

/** A part of an arena on its way to the host. */
interface RowCopy {
  readonly segment: number;
  /** First byte, of the rows and of what is copied: a multiple of 4. */
  readonly from: number;
  readonly copyFrom: number;
  /** Bytes of the rows, and of what is copied: a multiple of 4. */
  readonly size: number;
  readonly copySize: number;
  /** Where it is copied to. */
  readonly to: number;
}

/** Copies of rows of `width` bytes, which begin at byte `at` of an arena. */
function rowCopies(
  cache: RowSource,
  runs: readonly SlotRun[],
  { width, at }: { readonly width: number; readonly at: number },
): { readonly copies: readonly RowCopy[]; readonly bytes: number } {
  const slots = cache.segmentBlocks * cache.blockSize;
  let to = 0;
  const copies = runs.map(({ slot, count }) => {
    const segment = Math.floor(slot / slots);
    const from = at + (slot - segment * slots) * width;
    const size = count * width;
    // WebGPU copies multiples of 4 bytes; a row of f16 may be none.
    const copyFrom = from - from % 4;
    const copySize = Math.ceil((from + size - copyFrom) / 4) * 4;
    const copy = { segment, from, copyFrom, size, copySize, to };
    to += copySize;
    return copy;
  });
  return { copies, bytes: to };
}

/**
 * Reads the rows in slots back. What was submitted before is in them, and
 * nothing that is submitted after.
 */
export async function readRows(
  cache: RowSource,
  slots: Uint32Array,
  { layer = 0, signal }: ReadRowsOptions,
): Promise<Omit<SequenceRows, "start">> {
  const { gpu, kvHeads, headDim, valueHeadDim } = cache;
  const arenas = cache.arenas(layer);
  const runs = runsOf(cache, slots);
  const width = tokenBytes(cache);
  const { valueAt } = arenaLayout(cache, cache.segmentBlocks);
  const parts = [
    rowCopies(cache, runs, { width: width.key, at: 0 }),
    rowCopies(cache, runs, { width: width.value, at: valueAt }),
  ];
  const staging: GpuTensor[] = [];
  try {
    for (const { bytes } of parts) {
      staging.push(gpu.empty("u32", [bytes / 4], "kv.read"));
    }
    gpu.submit("kv.read", (encoder) => {
      parts.forEach(({ copies }, i) => {
        for (const { segment, copyFrom, to, copySize } of copies) {
          encoder.copyBufferToBuffer(
            arenas[segment].buffer,
            copyFrom,
            staging[i].buffer,
            to,
            copySize,
          );
        }
      });
    });
    const read = await gpu.read(staging, signal ? { signal } : {});
    const [key, value] = read.map((words, i): HostTensor => {
      const bytes = rowBytes(new Uint8Array(words.buffer), parts[i].copies);
      return {
        data: hostArrayOf(cache.dtype, bytes) as Float32Array,
        shape: [slots.length, kvHeads, i === 0 ? headDim : valueHeadDim],
      };
    });
    return { key, value };
  } finally {
    for (const tensor of staging) tensor.destroy();
  }
}

/** The bytes of the rows, without those that were copied around them. */
function rowBytes(
  copied: Uint8Array,
  copies: readonly RowCopy[],
): ArrayBuffer {
  const total = copies.reduce((sum, { size }) => sum + size, 0);
  const bytes = new Uint8Array(total);
  let at = 0;
  for (const { from, copyFrom, size, to } of copies) {
    const first = to + from - copyFrom;
    bytes.set(copied.subarray(first, first + size), at);
    at += size;
  }
  return bytes.buffer;
}
