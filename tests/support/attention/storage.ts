/**
 * Lays a case's keys and values out as the library takes them, with poison in
 * every byte that belongs to no written key.
 *
 * @module
 */

import {
  type BlockTable,
  type ContiguousSequence,
  OutOfBlocksError,
} from "../../../src/cache/mod.ts";
import { ContiguousCache, KvCache } from "../../../src/kv/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import type {
  AttentionOptions,
  AttentionTensors,
  TensorShape,
} from "../../../src/ops/mod.ts";
import { type AttentionCase, inheritance, type SequenceData } from "./cases.ts";

/** Keys and values on the device, and how to say where they are. */
export interface Storage {
  /** Options of `attention()` besides the query and the mods. */
  readonly options: Pick<
    AttentionOptions<GpuTensor | TensorShape>,
    | "key"
    | "value"
    | "cuSeqlens"
    | "cuSeqlensKey"
    | "keyLengths"
    | "blockTable"
    | "cache"
    | "sequences"
  >;
  /** What `encode` takes besides query and outputs. */
  readonly tensors: Pick<AttentionTensors, "key" | "value" | "arenas">;
  /** What to free. */
  readonly made: readonly { destroy(): void }[];
}

type Cache = KvCache | ContiguousCache;
type Sequence = BlockTable | ContiguousSequence;

/** A host array of a storage type. */
export function hostOf(
  dtype: DType,
  data: ArrayLike<number>,
): Float32Array | Float16Array {
  return dtype === "f16" ? Float16Array.from(data) : Float32Array.from(data);
}

/** Stores the keys and values of a case, with `poison` in all that is unowned. */
export async function store(
  gpu: Gpu,
  c: AttentionCase,
  data: readonly SequenceData[],
  poison: number,
): Promise<Storage> {
  if (c.layout === "cache" || c.layout === "contiguous") {
    return await storeInCache(gpu, c, data, poison);
  }
  const plan = c.layout === "paged" ? pagedPlaces(c) : contiguousPlaces(c);
  const fill = (role: "key" | "value", dim: number) => {
    const width = c.kvHeads * dim;
    const out = new Float32Array(plan.tokens * width).fill(poison);
    data.forEach((sequence, i) => {
      for (let j = 0; j < c.sequences[i][1]; j++) {
        const row = sequence[role].subarray(j * width, (j + 1) * width);
        out.set(row, plan.at(i, j) * width);
      }
    });
    const shape = [...plan.shape, c.kvHeads, dim];
    return gpu.tensor(hostOf(c.dtype, out), shape, `case.${role}`);
  };
  const key = fill("key", c.headDim);
  const value = fill("value", c.valueHeadDim);
  return {
    options: { key, value, ...plan.options },
    tensors: { key, value },
    made: [key, value],
  };
}

/** Where each key lies, and what says so. */
interface Places {
  readonly tokens: number;
  readonly shape: readonly number[];
  readonly at: (sequence: number, key: number) => number;
  readonly options: Storage["options"];
}

/** Whether the query has rank 4: dense, and half of what may be either. */
export function isRectangular(c: AttentionCase): boolean {
  if (c.layout === "dense" || c.layout === "ragged") {
    return c.layout === "dense";
  }
  const [[queries]] = c.sequences;
  return c.seed % 2 === 1 && c.sequences.every(([n]) => n === queries);
}

/** The ragged queries' option, where they are ragged. */
export function queryStarts(c: AttentionCase): { cuSeqlens?: number[] } {
  if (isRectangular(c)) return {};
  return { cuSeqlens: starts(c.sequences.map(([queries]) => queries)) };
}

function starts(lengths: readonly number[]): number[] {
  const out = [0];
  for (const length of lengths) out.push(out[out.length - 1] + length);
  return out;
}

function contiguousPlaces(c: AttentionCase): Places {
  const { padding = 0 } = c;
  const keys = c.sequences.map(([, count]) => count);
  if (c.layout === "dense") {
    const capacity = Math.max(...keys) + padding;
    const whole = keys.every((count) => count === capacity);
    return {
      tokens: keys.length * capacity,
      shape: [keys.length, capacity],
      at: (i, j) => i * capacity + j,
      options: whole ? {} : { keyLengths: keys },
    };
  }
  const cuSeqlensKey = starts(keys.map((count) => count + padding));
  const tokens = cuSeqlensKey[keys.length];
  return {
    tokens,
    shape: [tokens],
    at: (i, j) => cuSeqlensKey[i] + j,
    options: {
      ...queryStarts(c),
      cuSeqlensKey,
      ...(padding > 0 && { keyLengths: keys }),
    },
  };
}

/**
 * Blocks in random order, among others that no table owns. Whole blocks that a
 * sequence inherits are those of the one that had them.
 */
function pagedPlaces(c: AttentionCase): Places {
  const { blockSize = 16 } = c;
  const needed = c.sequences.map(([, keys]) => Math.ceil(keys / blockSize));
  const owned = needed.reduce((sum, count) => sum + count, 0);
  const numBlocks = owned + 4;
  const random = new Prng(c.seed ^ 0x7ab1e);
  const ids = random.shuffle(Array.from({ length: numBlocks }, (_, i) => i));
  const surplus = ids.slice(owned);
  const width = Math.max(...needed) + 2;
  const table = new Uint32Array(c.sequences.length * width);
  let next = 0;
  needed.forEach((count, i) => {
    for (let b = 0; b < width; b++) {
      const { from, keys } = inheritance(c, i);
      table[i * width + b] = (b + 1) * blockSize <= keys
        ? table[from * width + b]
        : b < count
        ? ids[next++]
        // Past the end: a block that nobody owns, or no block at all.
        : b % 2 === 0
        ? surplus[b % surplus.length]
        : 0xffffffff;
    }
  });
  return {
    tokens: numBlocks * blockSize,
    shape: [numBlocks, blockSize],
    at: (i, j) =>
      table[i * width + Math.floor(j / blockSize)] * blockSize + j % blockSize,
    options: {
      blockTable: table,
      keyLengths: c.sequences.map(([, keys]) => keys),
      ...queryStarts(c),
    },
  };
}

/**
 * Appends in turns of random size, so that the tables' blocks interleave, and
 * extents have to move. A sequence that inherits keys is a fork of the one that
 * had them, cut off.
 */
async function storeInCache(
  gpu: Gpu,
  c: AttentionCase,
  data: readonly SequenceData[],
  poison: number,
): Promise<Storage> {
  const { blockSize = 16, segments = 1, kvHeads, dtype } = c;
  const { headDim, valueHeadDim } = c;
  const owned = c.sequences.reduce(
    (sum, [, keys]) => sum + Math.ceil(keys / blockSize),
    0,
  );
  const shape = { blockSize, kvHeads, headDim, valueHeadDim, dtype };
  const numBlocks = Math.max(owned + 4, segments);
  const bytes = blockSize * kvHeads * (headDim + valueHeadDim) *
    (dtype === "f16" ? 2 : 4);
  const cache = c.layout === "contiguous"
    // Twice the room, so that what is compacted has some to grow into.
    ? await ContiguousCache.create(gpu, { ...shape, numBlocks: 2 * owned + 4 })
    : await KvCache.create(gpu, {
      ...shape,
      numBlocks,
      maxArenaBytes: Math.ceil(numBlocks / segments) * bytes,
    });
  for (const arena of cache.arenas()) poisonArena(gpu, arena, dtype, poison);
  const random = new Prng(c.seed ^ 0xcac4e);
  const tables: Sequence[] = [];
  const appendTurns = (from: number) => {
    const turns = tables.slice(from).map((table, n) => ({
      table,
      i: from + n,
    }));
    const left = (i: number) => c.sequences[i][1] - tables[i].length;
    while (turns.some(({ i }) => left(i) > 0)) {
      for (const { table, i } of turns) {
        const most = 1 + random.below(3 * blockSize + 40);
        const count = Math.min(left(i), most);
        if (count > 0) appendRows(cache, table, c, data[i], count);
      }
    }
  };
  let written = 0;
  c.sequences.forEach((_, i) => {
    const { from, keys } = inheritance(c, i);
    if (keys === 0) {
      tables.push(cache.createSequence());
      return;
    }
    // What it inherits must be there.
    appendTurns(written);
    written = i;
    tables.push(forkOf(cache, tables[from]));
    tables[i].truncate(keys);
  });
  appendTurns(written);
  return {
    options: {
      cache,
      sequences: tables as BlockTable[],
      ...queryStarts(c),
    },
    tensors: { arenas: cache.arenas() },
    made: [cache],
  };
}

/** Appends the next `count` keys and values of a sequence's data. */
export function appendRows(
  cache: Cache,
  table: Sequence,
  c: Pick<AttentionCase, "kvHeads" | "headDim" | "valueHeadDim" | "dtype">,
  data: Pick<SequenceData, "key" | "value">,
  count: number,
): void {
  const from = table.length;
  const rows = (role: "key" | "value", dim: number) => {
    const width = c.kvHeads * dim;
    const part = data[role].subarray(from * width, (from + count) * width);
    const shape = [count, c.kvHeads, dim];
    return cache.gpu.tensor(hostOf(c.dtype, part), shape, `append.${role}`);
  };
  const key = rows("key", c.headDim);
  const value = rows("value", c.valueHeadDim);
  const requests = [{ sequence: table, count }];
  withRoom(cache, () => cache.append(requests, { key, value }));
  key.destroy();
  value.destroy();
}

function forkOf(cache: Cache, sequence: Sequence): Sequence {
  return cache instanceof KvCache
    ? (sequence as BlockTable).fork()
    : withRoom(cache, () => cache.fork(sequence as ContiguousSequence));
}

/** The result of a call, which a contiguous cache may have to make room for. */
function withRoom<T>(cache: Cache, call: () => T): T {
  try {
    return call();
  } catch (error) {
    const scattered = cache instanceof ContiguousCache &&
      error instanceof OutOfBlocksError;
    if (!scattered) throw error;
    cache.compact();
    return call();
  }
}

function poisonArena(
  gpu: Gpu,
  arena: { readonly buffer: GPUBuffer; readonly size: number },
  dtype: DType,
  poison: number,
): void {
  const elements = arena.size / (dtype === "f16" ? 2 : 4);
  const { buffer } = hostOf(dtype, new Array(elements).fill(poison));
  // As plain bytes: Dawn's Node binding divides by zero on a Float16Array.
  gpu.queue.writeBuffer(arena.buffer, 0, buffer as ArrayBuffer);
}
