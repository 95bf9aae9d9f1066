/**
 * Where keys and values are: the one difference between dense, ragged and
 * paged attention. A cursor walks a sequence's keys in order; `key_place` and
 * `value_place` turn it into a base address for the row loads.
 *
 * Contiguous: a cursor is a row of the tensor. Paged: a cursor is an entry of
 * the block table and an offset in that block, so walking needs no division
 * and the table is read once a key, in the loop, with no gather to scratch.
 *
 * @module
 */

import type { Binding } from "../../src/core/kernel.ts";
import { loadRow, type RowFormat, SEGMENT_SHIFT, storageType } from "./rows.ts";

/** What the source of keys and values depends on. */
export interface KeyValueSpec {
  /** One tensor in order, or blocks found through the block table. */
  readonly source: "contiguous" | "paged";
  /**
   * `0`: a `key` and a `value` buffer. `n >= 1`: n arena buffers, each with
   * keys at its start and values from `value_at` on.
   */
  readonly segments: number;
  /** Paged: whether a division by the block size is a shift. */
  readonly shift: boolean;
  /**
   * Whether four keys whose first is a multiple of four lie side by side:
   * always where keys are contiguous, in blocks of whole fours where paged.
   */
  readonly quads: boolean;
  /** The format of key rows. */
  readonly keyFormat: RowFormat;
  /** The format of value rows. */
  readonly valueFormat: RowFormat;
}

/** The bindings that hold keys. */
export function keyBindings(spec: KeyValueSpec): Binding[] {
  return spec.segments === 0
    ? [{ name: "key", type: storageType(spec.keyFormat), access: "read" }]
    : arenaBindings(spec);
}

/** The bindings that hold values. */
export function valueBindings(spec: KeyValueSpec): Binding[] {
  return spec.segments === 0
    ? [{ name: "value", type: storageType(spec.valueFormat), access: "read" }]
    : arenaBindings(spec);
}

/** The bindings that hold keys and values, each once. */
export function keyValueBindings(spec: KeyValueSpec): Binding[] {
  return spec.segments === 0
    ? [...keyBindings(spec), ...valueBindings(spec)]
    : arenaBindings(spec);
}

function arenaBindings(spec: KeyValueSpec): Binding[] {
  return Array.from({ length: spec.segments }, (_, s) => ({
    name: `arena_${s}`,
    type: storageType(spec.keyFormat),
    access: "read",
  }));
}

const contiguousCursor = `struct Cursor {
  row: u32,
}

fn seek(sequence: Sequence, key: u32) -> Cursor {
  return Cursor(sequence.key_start + key);
}

fn advance(cursor: Cursor, more: bool) -> Cursor {
  return Cursor(cursor.row + select(0u, 1u, more));
}

fn place(cursor: Cursor, kv_head: u32, stride: u32) -> u32 {
  return (cursor.row * params.kv_heads + kv_head) * stride;
}`;

const pagedCursor = ({ segments, shift }: KeyValueSpec) =>
  `struct Cursor {
  entry: u32,
  offset: u32,
}

fn seek(sequence: Sequence, key: u32) -> Cursor {
  let entry = key ${shift ? ">> params.block_shift" : "/ params.block_size"};
  return Cursor(sequence.key_start + entry, key - entry * params.block_size);
}

fn advance(cursor: Cursor, more: bool) -> Cursor {
  let offset = cursor.offset + select(0u, 1u, more);
  let wrap = offset == params.block_size;
  return Cursor(cursor.entry + select(0u, 1u, wrap), select(offset, 0u, wrap));
}

fn place(cursor: Cursor, kv_head: u32, stride: u32) -> u32 {
${
    segments > 1
      ? `  let id = schedule[cursor.entry];
  let segment = id / params.segment_blocks;
  let block = id - segment * params.segment_blocks;`
      : `  let segment = 0u;
  let block = schedule[cursor.entry];`
  }
  let row = block * params.block_size + cursor.offset;
  return (segment << ${SEGMENT_SHIFT}u) | ((row * params.kv_heads + kv_head) * stride);
}`;

/** The cursor, `key_place` and `value_place`. */
export function cursorFragment(spec: KeyValueSpec): string {
  return `${spec.source === "paged" ? pagedCursor(spec) : contiguousCursor}

fn key_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, kv_head, params.head_stride);
}

fn value_place(cursor: Cursor, kv_head: u32) -> u32 {
  return place(cursor, kv_head, params.value_stride)${
    spec.segments === 0 ? "" : " + params.value_at"
  };
}`;
}

/** `load_key`, over the buffers that hold keys. */
export function loadKeyFragment(spec: KeyValueSpec): string {
  return loadRow({
    name: "load_key",
    bindings: keyBindings(spec).map(({ name }) => name),
    format: spec.keyFormat,
    dim: "head_dim",
  });
}

/** `load_value`, over the buffers that hold values. */
export function loadValueFragment(spec: KeyValueSpec): string {
  return loadRow({
    name: "load_value",
    bindings: valueBindings(spec).map(({ name }) => name),
    format: spec.valueFormat,
    dim: "value_dim",
  });
}
