/**
 * Where keys and values are in a cache of ours: in blocks with tables, a
 * manager's or one's own, or in extents.
 *
 * @module
 */

import { checkInteger, checkType } from "../../../core/check.ts";
import type { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import type { AnyTensor, TensorShape } from "../../tensors.ts";
import type { AttentionOptions } from "./attention_options.ts";
import type { KeyInputs } from "./key_inputs.ts";

/** The keys that `cache` and `sequences` are; throws unless they fit. */
export function cacheKeys(
  options: AttentionOptions<AnyTensor>,
  query: TensorShape,
  batch: number,
): KeyInputs {
  const cache = options.cache!;
  checkType(
    isCache(cache),
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
  const { group = 0 } = options;
  checkInteger("group", group, 0);
  return {
    kvHeads: cache.kvHeads,
    headDim: cache.headDim,
    valueHeadDim: cache.valueHeadDim,
    ...keysOf(cache, sequences, group),
  };
}

/**
 * Whether something is a cache, by what is asked of it: to know the classes
 * would be to import them, and all that they need, wherever attention is.
 */
function isCache(value: unknown): value is KvCache | ContiguousCache {
  return typeof (value as KvCache | null)?.keysOf === "function";
}

function keysOf(
  cache: KvCache | ContiguousCache,
  sequences: NonNullable<AttentionOptions["sequences"]>,
  group: number,
): Pick<KeyInputs, "keys" | "spans"> {
  const found = cache.keysOf(sequences, { group });
  const span = (keyStart: number, i: number) => ({
    keyStart,
    keyCount: found.lengths[i],
  });
  if (found.kind === "contiguous") {
    const keyTokens = cache.numBlocks * cache.blockSize;
    return {
      keys: { kind: "contiguous", keyTokens, segments: 1 },
      spans: found.starts.map(span),
    };
  }
  const { blockTable, tableWidth } = found;
  return {
    keys: {
      kind: "paged",
      blockSize: cache.blockSize,
      numBlocks: cache.numBlocks,
      segments: cache.segments,
      segmentBlocks: cache.segmentBlocks,
      blockTable,
      tableWidth,
    },
    spans: found.lengths.map((_, i) => span(i * tableWidth, i)),
  };
}
