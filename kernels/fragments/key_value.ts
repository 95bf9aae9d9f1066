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
import type { Fragment } from "../fragment.ts";
import { wgsl } from "../wgsl.ts";
import { loadRow, rowBinding, type RowFormat, SEGMENT_SHIFT } from "./rows.ts";
import { schedule } from "./schedule.ts";

/**
 * What reading keys and values depends on.
 *
 * @category Kernels
 */
export interface KeyValueSpec {
  /** One tensor in order, or blocks found through the block table. */
  readonly layout: "contiguous" | "paged";
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
  /**
   * Whether sequences, or blocks, of keys and values are apart by a stride, and
   * tokens count from their first.
   */
  readonly stridedKeys?: boolean | undefined;
  /** The format of value rows; that of keys where they share arenas. */
  readonly valueFormat: RowFormat;
}

/** `seek`, `advance`: a cursor over the keys of a sequence. */
function cursor(spec: KeyValueSpec): Fragment {
  return {
    needs: [schedule],
    ...(spec.layout === "paged"
      ? pagedCursor(spec)
      : spec.stridedKeys
      ? stridedCursor
      : contiguousCursor),
  };
}

const contiguousCursor: Fragment = {
  code: wgsl(`
    struct Cursor {
      row: u32,
    }

    fn seek(sequence: Sequence, key: u32) -> Cursor {
      return Cursor(sequence.key_start + key);
    }

    fn advance(cursor: Cursor, more: bool) -> Cursor {
      return Cursor(cursor.row + select(0u, 1u, more));
    }

    fn place(cursor: Cursor, token_stride: u32) -> u32 {
      return cursor.row * token_stride;
    }
  `),
};

/** The same where sequences are apart by a stride. */
const stridedCursor: Fragment = {
  code: wgsl(`
    struct Cursor {
      row: u32,
      batch: u32,
    }

    fn seek(sequence: Sequence, key: u32) -> Cursor {
      return Cursor(sequence.key_start + key, u32(sequence.batch));
    }

    fn advance(cursor: Cursor, more: bool) -> Cursor {
      return Cursor(cursor.row + select(0u, 1u, more), cursor.batch);
    }

    fn place(cursor: Cursor, token_stride: u32, batch_stride: u32) -> u32 {
      return cursor.batch * batch_stride + cursor.row * token_stride;
    }
  `),
};

function pagedCursor(
  { segments, shift, stridedKeys = false }: KeyValueSpec,
): Fragment {
  const several = segments > 1;
  return {
    uniforms: {
      block_size: "u32",
      ...(shift && { block_shift: "u32" }),
      ...(several && { segment_blocks: "u32" }),
    },
    code: wgsl(
      `
      struct Cursor {
        entry: u32,
        offset: u32,
      }

      fn seek(sequence: Sequence, key: u32) -> Cursor {
        @if shift
        let entry = key >> params.block_shift;
        @else
        let entry = key / params.block_size;
        @end
        return Cursor(sequence.key_start + entry, key - entry * params.block_size);
      }

      fn advance(cursor: Cursor, more: bool) -> Cursor {
        let offset = cursor.offset + select(0u, 1u, more);
        let wrap = offset == params.block_size;
        return Cursor(cursor.entry + select(0u, 1u, wrap), select(offset, 0u, wrap));
      }

      @if strided
      fn place(cursor: Cursor, token_stride: u32, batch_stride: u32) -> u32 {
        return schedule[cursor.entry] * batch_stride + cursor.offset * token_stride;
      }
      @else
      fn place(cursor: Cursor, token_stride: u32) -> u32 {
        @if several
        let id = schedule[cursor.entry];
        let segment = id / params.segment_blocks;
        let block = id - segment * params.segment_blocks;
        @else
        let segment = 0u;
        let block = schedule[cursor.entry];
        @end
        let row = block * params.block_size + cursor.offset;
        return (segment << $bits) | (row * token_stride);
      }
      @end
      `,
      { shift, several, strided: stridedKeys, bits: `${SEGMENT_SHIFT}u` },
    ),
  };
}

/** The buffers that hold keys, or values. */
function buffers(
  spec: KeyValueSpec,
  name: "key" | "value",
  format: RowFormat,
): Binding[] {
  return spec.segments === 0 ? [rowBinding(name, format)] : Array.from(
    { length: spec.segments },
    (_, segment) => rowBinding(`arena_${segment}`, format),
  );
}

/** `key_place` and `load_key`, or a load of another name. */
export function keyRows(spec: KeyValueSpec, load = "load_key"): Fragment {
  return {
    needs: [
      cursor(spec),
      loadRow({
        name: load,
        bindings: buffers(spec, "key", spec.keyFormat),
        format: spec.keyFormat,
        dim: "head_dim",
      }),
    ],
    uniforms: {
      key_at: "u32",
      key_token_stride: "u32",
      key_head_stride: "u32",
      ...(spec.stridedKeys && { key_batch_stride: "u32" }),
    },
    code: placeCode("key", spec),
  };
}

/** `value_place` and `load_value`, or a load of another name. */
export function valueRows(spec: KeyValueSpec, load = "load_value"): Fragment {
  return {
    needs: [
      cursor(spec),
      loadRow({
        name: load,
        bindings: buffers(spec, "value", spec.valueFormat),
        format: spec.valueFormat,
        dim: "value_dim",
      }),
    ],
    uniforms: {
      value_vecs: "u32",
      value_at: "u32",
      value_token_stride: "u32",
      value_head_stride: "u32",
      ...(spec.stridedKeys && { value_batch_stride: "u32" }),
    },
    code: placeCode("value", spec),
  };
}

function placeCode(
  name: "key" | "value",
  { stridedKeys = false }: KeyValueSpec,
): string {
  const strides = [
    `params.${name}_token_stride`,
    ...(stridedKeys ? [`params.${name}_batch_stride`] : []),
  ];
  return wgsl(
    `
      fn $name_place(cursor: Cursor, kv_head: u32) -> u32 {
        return place(cursor, $strides) + kv_head * params.$name_head_stride + params.$name_at;
      }
    `,
    { name, strides: strides.join(", ") },
  );
}
