/**
 * Appends keys and values to the paged cache: token t of the new rows goes to
 * slot `slots[t]` (block * blockSize + offset). One dispatch an arena; slots
 * of other arenas, and the slot {@linkcode SKIP_SLOT}, write nothing.
 *
 * Keys can be rotated on the way (RoPE, Su et al. 2021), each at its own
 * position, with cosines and sines from a table: WGSL's own are not accurate
 * at large angles.
 *
 * @module
 */

import type { Binding, KernelSource } from "../../src/core/kernel.ts";
import {
  loadRow,
  loadTailFragment,
  type RowFormat,
  storageType,
  storeRow,
} from "../fragments/rows.ts";
import { declareBindings, declareUniforms, indent, wgsl } from "../wgsl.ts";

/** A slot that is never written. */
export const SKIP_SLOT = 0xffffffff;

/** What the append kernel's source depends on. */
export interface AppendSpec {
  /** Rows of the new keys. */
  readonly keyFormat: RowFormat;
  /** Rows of the new values. */
  readonly valueFormat: RowFormat;
  /** Rows of the arena. */
  readonly arenaFormat: RowFormat;
  /**
   * How keys are rotated, if they are: pairs are `(2t, 2t + 1)` where
   * interleaved, `(t, t + pairs)` where half-split.
   */
  readonly rope?: "interleaved" | "half-split" | undefined;
}

/** The append kernel's uniforms. */
export const APPEND_PARAMS = {
  token_count: "u32",
  kv_heads: "u32",
  head_dim: "u32",
  head_vecs: "u32",
  value_dim: "u32",
  value_vecs: "u32",
  key_stride: "u32",
  value_stride: "u32",
  arena_key_stride: "u32",
  arena_value_stride: "u32",
  value_at: "u32",
  first_slot: "u32",
  slot_count: "u32",
  rotary_pairs: "u32",
} as const;

/** Invocations of a workgroup. */
export const APPEND_LANES = 64;

/**
 * The append kernel; one invocation a (token, kv head). Its loops go over the
 * vectors of one row: at most 64 of four elements, whatever the cache holds.
 */
export function appendKernel(spec: AppendSpec): KernelSource {
  const { keyFormat, valueFormat, arenaFormat, rope } = spec;
  const bindings: Binding[] = [
    { name: "key", type: storageType(keyFormat), access: "read" },
    { name: "value", type: storageType(valueFormat), access: "read" },
    { name: "slots", type: "array<u32>", access: "read" },
    ...(rope
      ? [
        { name: "positions", type: "array<u32>", access: "read" },
        { name: "rotary", type: "array<vec2f>", access: "read" },
      ] as const
      : []),
    { name: "arena", type: storageType(arenaFormat), access: "read_write" },
    { name: "params", type: "Params", access: "uniform" },
  ];
  const half = arenaFormat.dtype === "f16";
  const code = wgsl`${half ? "enable f16;\n" : ""}
${declareUniforms("Params", APPEND_PARAMS)}

${declareBindings(bindings)}

${keyFormat.vector && valueFormat.vector ? "" : loadTailFragment}

${
    loadRow({
      name: "load_key",
      bindings: ["key"],
      format: keyFormat,
      dim: "head_dim",
    })
  }

${
    loadRow({
      name: "load_value",
      bindings: ["value"],
      format: valueFormat,
      dim: "value_dim",
    })
  }

${
    storeRow({
      name: "store_key",
      bindings: ["arena"],
      format: arenaFormat,
      dim: "head_dim",
    })
  }

${
    storeRow({
      name: "store_value",
      bindings: ["arena"],
      format: arenaFormat,
      dim: "value_dim",
    })
  }

${rope ? rotateFragment(rope) : ""}

@compute @workgroup_size(${APPEND_LANES})
fn main(@builtin(workgroup_id) group_id: vec3u, @builtin(num_workgroups) grid: vec3u,
@builtin(local_invocation_index) lane: u32) {
let index = (group_id.y * grid.x + group_id.x) * ${APPEND_LANES}u + lane;
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
store_key(row * params.arena_key_stride, vec, ${
    rope
      ? "rotate_key(index * params.key_stride, vec, positions[token])"
      : "load_key(index * params.key_stride, vec)"
  });
}
for (var vec = 0u; vec < params.value_vecs; vec++) {
store_value(params.value_at + row * params.arena_value_stride, vec,
load_value(index * params.value_stride, vec));
}
}
`;
  return {
    label: `cache.append/${arenaFormat.dtype}${rope ? `.${rope}` : ""}`,
    code: indent(code),
    bindings,
    uniforms: APPEND_PARAMS,
    features: half ? ["shader-f16"] : [],
  };
}

/** `rotate_key`: four elements of a key row, rotated at a position. */
function rotateFragment(rope: "interleaved" | "half-split"): string {
  const [pair, partner, first] = rope === "interleaved"
    ? ["i / 2u", "i ^ 1u", "(i & 1u) == 0u"]
    : [
      "i % params.rotary_pairs",
      "(i + params.rotary_pairs) % (2u * params.rotary_pairs)",
      "i < params.rotary_pairs",
    ];
  return `fn rotate_key(base: u32, vec: u32, position: u32) -> vec4f {
var key = load_key(base, vec);
for (var c = 0u; c < 4u; c++) {
let i = 4u * vec + c;
if (i < 2u * params.rotary_pairs) {
let turn = rotary[position * params.rotary_pairs + ${pair}];
let partner = ${partner};
let other = load_key(base, partner / 4u)[partner % 4u];
key[c] = fma(key[c], turn.x, select(other, -other, ${first}) * turn.y);
}
}
return key;
}`;
}
