/**
 * The one-node models of onnxruntime's three attention operators, each with
 * its inputs in the operator's layouts.
 *
 * @module
 */

import {
  HEAD_DIM,
  HEADS,
  type PeerCase,
  type PeerInputs,
  shuffledBlocks,
  swapOuter,
} from "./cases.ts";
import type { SingleNodeModel, ValueInfo } from "./onnx.ts";

const ROW = HEADS * HEAD_DIM;

/** A model, and what to feed it. */
export interface OrtModel {
  /** The model. */
  readonly model: SingleNodeModel;
  /** The arrays of its inputs by name. */
  readonly feeds: Readonly<
    Record<string, Float32Array | Float16Array | Int32Array>
  >;
  /** Inputs that the operator reads on the host. */
  readonly onHost: readonly string[];
  /** Which input each output but the first is written over. */
  readonly inPlace: Readonly<Record<string, string>>;
}

/** The model for a case. */
export function ortModel(peerCase: PeerCase, inputs: PeerInputs): OrtModel {
  if (peerCase.blockSize !== undefined) {
    return pagedAttention(peerCase, inputs, peerCase.blockSize);
  }
  return peerCase.queries === 1
    ? groupQueryAttention(peerCase, inputs)
    : multiHeadAttention(peerCase, inputs);
}

const typed = (type: ValueInfo["type"]) =>
(
  name: string,
  ...dims: number[]
): ValueInfo => ({ name, type, dims });

const f32 = typed("float32");
const f16 = typed("float16");
const i32 = typed("int32");

function multiHeadAttention(
  { queries, keys, causal }: PeerCase,
  { query, key, value }: PeerInputs,
): OrtModel {
  return {
    model: {
      operator: "MultiHeadAttention",
      inputs: [
        f32("query", 1, queries, ROW),
        f32("key", 1, keys, ROW),
        f32("value", 1, keys, ROW),
      ],
      outputs: [f32("output", 1, queries, ROW)],
      attributes: { num_heads: HEADS, unidirectional: causal ? 1 : 0 },
    },
    feeds: { query, key, value },
    onHost: [],
    inPlace: {},
  };
}

/** A static cache: past and present are the same buffer, all keys long. */
function groupQueryAttention(
  { keys }: PeerCase,
  { query, key, value }: PeerInputs,
): OrtModel {
  const cache = [1, HEADS, keys, HEAD_DIM];
  const last = (keys - 1) * ROW;
  return {
    model: {
      operator: "GroupQueryAttention",
      inputs: [
        f32("query", 1, 1, ROW),
        f32("key", 1, 1, ROW),
        f32("value", 1, 1, ROW),
        f32("past_key", ...cache),
        f32("past_value", ...cache),
        i32("seqlens_k", 1),
        i32("total", 1),
      ],
      outputs: [
        f32("output", 1, 1, ROW),
        f32("present_key", ...cache),
        f32("present_value", ...cache),
      ],
      attributes: { num_heads: HEADS, kv_num_heads: HEADS },
    },
    feeds: {
      query,
      key: key.subarray(last),
      value: value.subarray(last),
      past_key: swapOuter(key, [keys, HEADS]),
      past_value: swapOuter(value, [keys, HEADS]),
      seqlens_k: Int32Array.of(keys - 1),
      total: Int32Array.of(keys),
    },
    onHost: ["seqlens_k", "total"],
    inPlace: { present_key: "past_key", present_value: "past_value" },
  };
}

/** Input 16, on the host, saves each call a blocking readback of lengths. */
const METADATA_INPUT = 16;

function pagedAttention(
  { queries, keys }: PeerCase,
  { query, key, value }: PeerInputs,
  blockSize: number,
): OrtModel {
  const used = Math.ceil(keys / blockSize);
  const numBlocks = used + 3;
  const table = shuffledBlocks(used, { first: 0, total: numBlocks });
  const past = (keys - queries) * ROW;
  const paged = (rows: PeerInputs["key"]) =>
    toBlocks(rows.subarray(0, past), { table, blockSize, numBlocks });
  const cache = [numBlocks, blockSize, HEADS, HEAD_DIM];
  const inputs: (ValueInfo | undefined)[] = [
    f16("query", queries, ROW),
    f16("key", queries, ROW),
    f16("value", queries, ROW),
    f16("key_cache", ...cache),
    f16("value_cache", ...cache),
    i32("cumulative_lengths", 2),
    i32("past_lengths", 1),
    i32("block_table", 1, used),
  ];
  while (inputs.length < METADATA_INPUT) inputs.push(undefined);
  inputs.push(i32("metadata", 2));
  return {
    model: {
      operator: "PagedAttention",
      inputs,
      outputs: [
        f16("output", queries, ROW),
        f16("key_cache_out", ...cache),
        f16("value_cache_out", ...cache),
      ],
      attributes: { num_heads: HEADS, kv_num_heads: HEADS },
    },
    feeds: {
      query,
      key: key.subarray(past),
      value: value.subarray(past),
      key_cache: paged(key),
      value_cache: paged(value),
      cumulative_lengths: Int32Array.of(0, queries),
      past_lengths: Int32Array.of(keys - queries),
      block_table: Int32Array.from(table),
      metadata: Int32Array.of(queries, keys),
    },
    onHost: ["metadata"],
    inPlace: { key_cache_out: "key_cache", value_cache_out: "value_cache" },
  };
}

/** Rows in the blocks that the table says. */
function toBlocks(
  rows: PeerInputs["key"],
  { table, blockSize, numBlocks }: {
    table: readonly number[];
    blockSize: number;
    numBlocks: number;
  },
): Float16Array {
  const size = blockSize * ROW;
  const out = new Float16Array(numBlocks * size);
  for (let at = 0, b = 0; at < rows.length; at += size, b++) {
    out.set(rows.subarray(at, at + size), table[b] * size);
  }
  return out;
}
