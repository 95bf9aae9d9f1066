/**
 * Appends keys and values to the paged cache: token t of the new rows goes to
 * slot `slots[t]` (block * blockSize + offset). One dispatch an arena; slots
 * of other arenas, and the slot {@linkcode SKIP_SLOT}, write nothing.
 *
 * Keys can be rotated on the way (RoPE, Su et al. 2021), each at its own
 * position, with cosines and sines from a table: WGSL's own are not accurate
 * at large angles.
 *
 * An invocation's loops go over a row's elements, 64 vec4s at most.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import { invocationEntry } from "../entry.ts";
import { kernelOf } from "../fragment.ts";
import { type RotaryPairing, rotatedRows } from "../fragments/rotary.ts";
import {
  loadRow,
  rowBinding,
  type RowFormat,
  storeRow,
} from "../fragments/rows.ts";
import { wgsl } from "../wgsl.ts";

/** A slot that is never written. */
export const SKIP_SLOT = 0xffffffff;

/**
 * What the append kernel's source depends on.
 *
 * @category Kernels
 */
export interface AppendSpec {
  /** Rows of the new keys. */
  readonly keyFormat: RowFormat;
  /** Rows of the new values. */
  readonly valueFormat: RowFormat;
  /** Rows of the arena. */
  readonly arenaFormat: RowFormat;
  /** How keys are rotated, if they are. */
  readonly rope?: RotaryPairing | undefined;
}

/** Invocations of a workgroup. */
export const APPEND_LANES = 64;

/**
 * The append kernel; one invocation a (token, kv head).
 *
 * @example float32 rows into a float16 arena, keys rotated
 * ```ts
 * import { appendKernel, rowFormat } from "@quire/attention/kernels";
 * import { assertEquals } from "@std/assert";
 *
 * const { features, uniforms } = appendKernel({
 *   keyFormat: rowFormat("f32", 64),
 *   valueFormat: rowFormat("f32", 64),
 *   arenaFormat: rowFormat("f16", 64),
 *   rope: "half-split",
 * });
 * assertEquals(features, ["shader-f16"]);
 * assertEquals(uniforms.first_slot, "u32");
 * ```
 *
 * @category Kernels
 */
export function appendKernel(spec: AppendSpec): KernelSource {
  const { keyFormat, valueFormat, arenaFormat, rope } = spec;
  const arena = rowBinding("arena", arenaFormat, "read_write");
  const rows = (name: "key" | "value", format: RowFormat, dim: string) => [
    loadRow({
      name: `load_${name}`,
      bindings: [rowBinding(name, format)],
      format,
      dim,
    }),
    storeRow({
      name: `store_${name}`,
      bindings: [arena],
      format: arenaFormat,
      dim,
    }),
  ];
  return kernelOf({
    label: `cache.append/${arenaFormat.dtype}${rope ? `.${rope}` : ""}`,
    fragments: [
      ...rows("key", keyFormat, "head_dim"),
      ...rows("value", valueFormat, "value_dim"),
      ...(rope ? [rotatedRows("key", rope)] : []),
      {
        bindings: [{ name: "slots", type: "array<u32>", access: "read" }],
        uniforms: {
          token_count: "u32",
          kv_heads: "u32",
          head_vecs: "u32",
          value_vecs: "u32",
          key_stride: "u32",
          value_stride: "u32",
          arena_key_stride: "u32",
          arena_value_stride: "u32",
          value_at: "u32",
          first_slot: "u32",
          slot_count: "u32",
        },
      },
    ],
    main: invocationEntry(
      APPEND_LANES,
      wgsl(APPEND, { rotated: rope !== undefined }),
    ),
  });
}

const APPEND = `
if (index >= params.token_count * params.kv_heads) {
  return;
}
let token = index / params.kv_heads;
let kv_head = index - token * params.kv_heads;
let slot = slots[token];
if (slot < params.first_slot || slot - params.first_slot >= params.slot_count) {
  return;
}
let row = (slot - params.first_slot) * params.kv_heads + kv_head;
for (var vec = 0u; vec < params.head_vecs; vec++) {
  @if rotated
  let key = rotate_key(index * params.key_stride, vec, positions[token]);
  @else
  let key = load_key(index * params.key_stride, vec);
  @end
  store_key(row * params.arena_key_stride, vec, key);
}
for (var vec = 0u; vec < params.value_vecs; vec++) {
  let value = load_value(index * params.value_stride, vec);
  store_value(params.value_at + row * params.arena_value_stride, vec, value);
}
`;
