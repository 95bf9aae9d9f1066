/**
 * Where keys and values are in a cache of ours: in blocks with tables, or in
 * extents.
 *
 * @module
 */

import {
  BlockTable,
  ContiguousSequence,
  packTables,
} from "../../../cache/mod.ts";
import { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import { checkInteger, checkType } from "../../../core/check.ts";
import type { AnyTensor, TensorShape } from "../../tensors.ts";
import type { AttentionOptions } from "./options.ts";
import type { KeySource } from "./sources.ts";

/** The source that `cache` and `sequences` are; throws unless they fit. */
export function cacheSource(
  options: AttentionOptions<AnyTensor>,
  query: TensorShape,
  batch: number,
): KeySource {
  const cache = options.cache!;
  checkType(
    cache instanceof KvCache || cache instanceof ContiguousCache,
    "cache",
    "must be a KvCache or a ContiguousCache",
    cache,
  );
  for (
    const name of [
      "key",
      "value",
      "blockTable",
      "keyLengths",
      "cuSeqlensKey",
    ] as const
  ) {
    checkType(
      options[name] === undefined,
      name,
      "must not be given with cache",
      options[name],
    );
  }
  const { sequences } = options;
  checkType(
    Array.isArray(sequences),
    "sequences",
    "must be given with cache",
    sequences,
  );
  checkType(
    sequences.length === batch,
    "sequences.length",
    `must be the query's number of sequences (${batch})`,
    sequences.length,
  );
  checkType(
    cache.dtype === query.dtype,
    "query.dtype",
    `must be the cache's (${cache.dtype})`,
    query.dtype,
  );
  checkInteger("layer", options.layer ?? 0, 0, cache.layers - 1);
  return {
    kvHeads: cache.kvHeads,
    headDim: cache.headDim,
    valueHeadDim: cache.valueHeadDim,
    ...(cache instanceof KvCache
      ? tableSource(cache, sequences)
      : extentSource(cache, sequences)),
  };
}

/** Sequences as those of a cache; throws unless they are. */
function sequencesOf<S extends { readonly pool: unknown }>(
  cache: { readonly pool: unknown },
  sequences: readonly unknown[],
  type: abstract new (...args: never[]) => S,
): readonly S[] {
  return sequences.map((sequence, i) => {
    checkType(
      sequence instanceof type && sequence.pool === cache.pool,
      `sequences[${i}]`,
      "must be a sequence of the cache",
      sequence,
    );
    return sequence;
  });
}

function tableSource(
  cache: KvCache,
  sequences: readonly unknown[],
): Pick<KeySource, "source" | "spans"> {
  const tables = sequencesOf(cache, sequences, BlockTable);
  const packed = packTables(tables);
  return {
    source: {
      kind: "paged",
      blockSize: cache.blockSize,
      numBlocks: cache.numBlocks,
      segments: cache.segments,
      segmentBlocks: cache.segmentBlocks,
      blockTable: packed.blockTable,
      tableWidth: packed.maxBlocks,
    },
    spans: tables.map(({ length }, i) => ({
      keyStart: i * packed.maxBlocks,
      keyCount: length,
    })),
  };
}

function extentSource(
  cache: ContiguousCache,
  sequences: readonly unknown[],
): Pick<KeySource, "source" | "spans"> {
  const extents = sequencesOf(cache, sequences, ContiguousSequence);
  return {
    source: {
      kind: "contiguous",
      keyTokens: cache.numBlocks * cache.blockSize,
      segments: 1,
    },
    spans: extents.map(({ start, length }) => ({
      keyStart: start,
      keyCount: length,
    })),
  };
}
