/**
 * Where keys and values are in a cache of ours: in blocks with tables, a
 * manager's or one's own, or in extents.
 *
 * @module
 */

import {
  BlockTable,
  ContiguousSequence,
  packTables,
} from "../../../cache/mod.ts";
import { CacheSequence } from "../../../cache/manager/cache_sequence.ts";
import { ContiguousCache, KvCache } from "../../../kv/mod.ts";
import { checkInteger, checkType } from "../../../core/check.ts";
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
  const { group = 0 } = options;
  checkInteger("group", group, 0);
  return {
    kvHeads: cache.kvHeads,
    headDim: cache.headDim,
    valueHeadDim: cache.valueHeadDim,
    ...(cache instanceof KvCache
      ? tableKeys(cache, sequences, group)
      : extentKeys(cache, sequences)),
  };
}

function tableKeys(
  cache: KvCache,
  sequences: readonly unknown[],
  group: number,
): Pick<KeyInputs, "keys" | "spans"> {
  const tables = sequences.map((sequence, i) =>
    sequence instanceof CacheSequence
      ? groupTable(`sequences[${i}]`, sequence, { cache, group })
      : ownSequence(`sequences[${i}]`, sequence, { cache, type: BlockTable })
  );
  const packed = packTables(tables);
  return {
    keys: {
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

function extentKeys(
  cache: ContiguousCache,
  sequences: readonly unknown[],
): Pick<KeyInputs, "keys" | "spans"> {
  const extents = sequences.map((sequence, i) =>
    ownSequence(`sequences[${i}]`, sequence, {
      cache,
      type: ContiguousSequence,
    })
  );
  return {
    keys: {
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

/** A sequence as one of a cache; throws unless it is. */
function ownSequence<S extends { readonly pool: unknown }>(
  name: string,
  sequence: unknown,
  { cache, type }: {
    readonly cache: { readonly pool: unknown };
    readonly type: abstract new (...args: never[]) => S;
  },
): S {
  checkType(
    sequence instanceof type && sequence.pool === cache.pool,
    name,
    "must be a sequence of the cache",
    sequence,
  );
  return sequence;
}

/** The table of a manager's sequence in one layer group. */
function groupTable(
  name: string,
  sequence: CacheSequence,
  { cache, group }: { readonly cache: KvCache; readonly group: number },
): BlockTable {
  ownSequence(name, sequence, { cache, type: CacheSequence });
  const { status, tables } = sequence;
  checkType(
    status === "running",
    `${name}.status`,
    "must be running, with its blocks on the device",
    status,
  );
  checkInteger("group", group, 0, tables.length - 1);
  return tables[group];
}
