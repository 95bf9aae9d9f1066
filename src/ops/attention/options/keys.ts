/**
 * Where keys and values are: one tensor each, blocks with a table, or a cache.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../../core/check.ts";
import { GpuTensor } from "../../../gpu/mod.ts";
import { cacheKeys } from "./cache_keys.ts";
import type { AnyTensor, TensorShape } from "../../tensors.ts";
import type { AttentionOptions } from "./attention_options.ts";
import type { Layout, PagedKeys } from "../problem.ts";
import type { KeyInputs } from "./key_inputs.ts";
import { givenStrides } from "./given_strides.ts";
import {
  describeGiven,
  describeRows,
  packedKeys,
  readAs,
  type RowsShape,
} from "./layouts.ts";
import { cumulativeSpans, type Indices, indicesOf } from "./spans.ts";

export function keyInputs(
  options: AttentionOptions<AnyTensor>,
  { query, layout, batch }: {
    readonly query: TensorShape;
    readonly layout: Layout;
    readonly batch: number;
  },
): KeyInputs {
  if (options.cache !== undefined) return cacheKeys(options, query, batch);
  checkType(
    options.sequences === undefined,
    "sequences",
    "must be given with cache only",
    options.sequences,
  );
  const paged = options.blockTable !== undefined;
  const given = (name: "key" | "value"): RowsShape =>
    options.qkv !== undefined
      ? packedKeys(options, query)
      : paged
      ? describeGiven(name, options[name])
      : describeRows(name, options[name], layout);
  const key = given("key");
  const value = given("value");
  const rank = paged ? 4 : query.shape.length;
  for (const [name, tensor] of [["key", key], ["value", value]] as const) {
    checkType(
      tensor.dtype === query.dtype,
      `${name}.dtype`,
      `must be the query's (${query.dtype})`,
      tensor.dtype,
    );
    checkType(
      tensor.shape.length === rank,
      `${name}.shape`,
      `must have rank ${rank}`,
      tensor.shape,
    );
  }
  checkType(
    key.shape.slice(0, -1).join() === value.shape.slice(0, -1).join(),
    "value.shape",
    `must match key.shape [${key.shape.join(", ")}] but for its last dimension${
      paged ? "" : readAs(layout, rank)
    }`,
    value.shape,
  );
  const [kvHeads, headDim] = key.shape.slice(-2);
  const dims = { kvHeads, headDim, valueHeadDim: value.shape[rank - 1] };
  const apart = key.strided !== undefined || value.strided !== undefined;
  const strides = apart
    ? {
      key: key.strided && givenStrides(key.strided),
      value: value.strided && givenStrides(value.strided),
    }
    : undefined;
  const found = paged
    ? blockKeys(options, key.shape, batch)
    : denseKeys(options, key.shape, { layout, batch, apart });
  return { ...found, ...dims, strides };
}

/** Written lengths, each at most the capacity of its sequence. */
function checkedLengths(
  given: Indices | undefined,
  capacities: readonly number[],
): number[] {
  if (given === undefined) return [...capacities];
  const keyLengths = indicesOf("keyLengths", given);
  checkType(
    keyLengths.length === capacities.length,
    "keyLengths.length",
    `must be the number of sequences (${capacities.length})`,
    keyLengths.length,
  );
  return capacities.map((capacity, i) => {
    checkInteger(`keyLengths[${i}]`, keyLengths[i], 0);
    checkRange(
      keyLengths[i] <= capacity,
      `keyLengths[${i}]`,
      `must be <= ${capacity}, the capacity of the sequence`,
      keyLengths[i],
    );
    return keyLengths[i];
  });
}

function denseKeys(
  options: AttentionOptions<AnyTensor>,
  shape: readonly number[],
  { layout, batch, apart }: {
    readonly layout: Layout;
    readonly batch: number;
    readonly apart: boolean;
  },
): Pick<KeyInputs, "keys" | "spans"> {
  let spans: [number, number][];
  if (shape.length === 4) {
    const [rows, count] = shape;
    checkType(
      rows === batch,
      "key.shape[0]",
      `must be the query's batch (${batch})${readAs(layout, 4)}`,
      rows,
    );
    checkType(
      options.cuSeqlensKey === undefined,
      "cuSeqlensKey",
      "must not be given with a key of rank 4",
      options.cuSeqlensKey,
    );
    // In token strides, of which one is a row where heads come first; with
    // strides of their own, sequences are found by those.
    const stride = apart ? 0 : count * (layout === "bhsd" ? shape[2] : 1);
    spans = Array.from({ length: batch }, (_, b) => [b * stride, count]);
  } else {
    const cumulative = options.cuSeqlensKey ?? options.cuSeqlens!;
    const name = options.cuSeqlensKey ? "cuSeqlensKey" : "cuSeqlens";
    spans = cumulativeSpans(name, cumulative, shape[0]);
    checkType(
      spans.length === batch,
      "cuSeqlensKey.length",
      `must be cuSeqlens' (${batch + 1})`,
      spans.length + 1,
    );
  }
  const lengths = checkedLengths(
    options.keyLengths,
    spans.map(([, count]) => count),
  );
  const keyTokens = shape.length === 4 ? shape[0] * shape[1] : shape[0];
  return {
    keys: { kind: "contiguous", keyTokens, segments: 0 },
    spans: spans.map(([keyStart], i) => ({ keyStart, keyCount: lengths[i] })),
  };
}

function blockKeys(
  options: AttentionOptions<AnyTensor>,
  [numBlocks, blockSize]: readonly number[],
  batch: number,
): Pick<KeyInputs, "keys" | "spans"> {
  const { keyLengths } = options;
  const { blockTable, tableWidth } = tableOf(options.blockTable, batch);
  checkType(
    keyLengths !== undefined,
    "keyLengths",
    "must be given with blockTable",
    keyLengths,
  );
  checkType(
    options.cuSeqlensKey === undefined,
    "cuSeqlensKey",
    "must not be given with blockTable",
    options.cuSeqlensKey,
  );
  checkInteger("blockSize", blockSize, 1);
  const lengths = checkedLengths(
    keyLengths,
    new Array(batch).fill(tableWidth * blockSize),
  );
  if (blockTable instanceof Uint32Array) {
    checkIds(blockTable, { tableWidth, blockSize, numBlocks, lengths });
  }
  return {
    keys: {
      kind: "paged",
      blockSize,
      numBlocks,
      segments: 0,
      segmentBlocks: Math.max(1, numBlocks),
      // What has been checked is what is read, whatever becomes of the array.
      blockTable: blockTable instanceof Uint32Array
        ? blockTable.slice()
        : blockTable,
      tableWidth,
    },
    spans: lengths.map((keyCount, i) => ({
      keyStart: i * tableWidth,
      keyCount,
    })),
  };
}

/** A block table, and the columns that it has. */
function tableOf(
  blockTable: unknown,
  batch: number,
): Pick<PagedKeys, "blockTable" | "tableWidth"> {
  if (blockTable instanceof GpuTensor) {
    const { dtype, shape } = blockTable;
    checkType(dtype === "u32", "blockTable.dtype", "must be u32", dtype);
    checkType(
      shape.length === 2 && shape[0] === batch,
      "blockTable.shape",
      `must be [sequences (${batch}), maxBlocks]`,
      shape,
    );
    void blockTable.buffer; // Throws where it is destroyed.
    return { blockTable, tableWidth: shape[1] };
  }
  checkType(
    blockTable instanceof Uint32Array,
    "blockTable",
    "must be a Uint32Array, or a GpuTensor of u32",
    blockTable,
  );
  checkType(
    batch === 0 ? blockTable.length === 0 : blockTable.length % batch === 0,
    "blockTable.length",
    `must be a multiple of the number of sequences (${batch})`,
    blockTable.length,
  );
  const tableWidth = batch === 0 ? 0 : blockTable.length / batch;
  return { blockTable, tableWidth };
}

/** Throws unless each entry that is read is a block's. */
function checkIds(
  blockTable: Uint32Array,
  { tableWidth, blockSize, numBlocks, lengths }:
    & Pick<PagedKeys, "tableWidth" | "blockSize" | "numBlocks">
    & { readonly lengths: readonly number[] },
): void {
  lengths.forEach((length, i) => {
    for (let b = 0; b < Math.ceil(length / blockSize); b++) {
      const id = blockTable[i * tableWidth + b];
      checkRange(
        id < numBlocks,
        `blockTable[${i}, ${b}]`,
        `must be < numBlocks (${numBlocks})`,
        id,
      );
    }
  });
}
