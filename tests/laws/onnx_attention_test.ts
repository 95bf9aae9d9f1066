// deno-lint-ignore-file camelcase -- the operator's own names
/**
 * ONNX's `Attention` (opset 23 and 24) through our options: each case is in the
 * operator's own words, and what is expected is computed from the operator's
 * definition in float64, apart from our oracle. The definition is that of 2026,
 * which caps scores before the mask (onnx/onnx#7867) and anchors causal masks
 * over an external cache at its end (onnx/onnx#8068).
 *
 * @module
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  attention,
  type AttentionOptions,
  attentionProblem,
  type Gpu,
  type HostMask,
} from "../../mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest } from "../support/gpu.ts";

interface Tensor<Data = Float32Array | Float16Array> {
  readonly data: Data;
  readonly shape: readonly number[];
}

/** The operator's inputs and attributes, by its names. */
interface OnnxNode {
  readonly Q: Tensor;
  readonly K: Tensor;
  readonly V: Tensor;
  readonly attn_mask?: Tensor<Float32Array | Uint8Array>;
  readonly past_key?: Tensor;
  readonly past_value?: Tensor;
  readonly nonpad_kv_seqlen?: BigInt64Array;
  readonly scale?: number;
  readonly is_causal?: 0 | 1;
  readonly q_num_heads?: number;
  readonly kv_num_heads?: number;
  readonly softcap?: number;
}

/** Sizes that follow from a node. */
function sizesOf(node: OnnxNode) {
  const { Q, K, V, past_key } = node;
  const past = past_key?.shape[2] ?? 0;
  if (Q.shape.length === 4) {
    const [batch, heads, queries, dim] = Q.shape;
    const [, kvHeads, keys] = K.shape;
    const valueDim = V.shape[3];
    return { batch, heads, kvHeads, queries, keys, past, dim, valueDim };
  }
  const [batch, queries, width] = Q.shape;
  const [heads, kvHeads] = [node.q_num_heads!, node.kv_num_heads!];
  return {
    batch,
    heads,
    kvHeads,
    queries,
    keys: K.shape[1],
    past,
    dim: width / heads,
    valueDim: V.shape[2] / kvHeads,
  };
}

/** An element of `[B, H, S, D]`, or of `[B, S, H * D]` with so many heads. */
function element(
  { data, shape }: Tensor,
  [b, h, s, d]: readonly number[],
  heads: number,
): number {
  if (shape.length === 4) {
    return data[((b * shape[1] + h) * shape[2] + s) * shape[3] + d];
  }
  const dim = shape[2] / heads;
  return data[(b * shape[1] + s) * shape[2] + h * dim + d];
}

/** What the mask adds, with those that it does not have as hidden. */
function biasAt(
  { data, shape }: Tensor<Float32Array | Uint8Array>,
  index: readonly number[],
): number {
  if (index[3] >= shape.at(-1)!) return -Infinity;
  const sizes = [1, 1, 1, 1, ...shape].slice(-4);
  const flat = index.reduce(
    (sum, i, axis) => sum * sizes[axis] + (sizes[axis] === 1 ? 0 : i),
    0,
  );
  if (data instanceof Uint8Array) return data[flat] ? 0 : -Infinity;
  return data[flat];
}

/** Y as `[B, H, S, Dv]`, from the operator's definition. */
function expectedOf(node: OnnxNode): Float64Array {
  const s = sizesOf(node);
  const { Q, K, V, attn_mask, past_key, past_value } = node;
  const { scale = 1 / Math.sqrt(s.dim), softcap = 0 } = node;
  const total = s.past + s.keys;
  const out = new Float64Array(s.batch * s.heads * s.queries * s.valueDim);
  const keyAt = (b: number, h: number, j: number, d: number) =>
    j < s.past
      ? element(past_key!, [b, h, j, d], s.kvHeads)
      : element(K, [b, h, j - s.past, d], s.kvHeads);
  const valueAt = (b: number, h: number, j: number, d: number) =>
    j < s.past
      ? element(past_value!, [b, h, j, d], s.kvHeads)
      : element(V, [b, h, j - s.past, d], s.kvHeads);
  for (let b = 0; b < s.batch; b++) {
    const valid = Number(node.nonpad_kv_seqlen?.[b] ?? total);
    const before = past_key === undefined && node.nonpad_kv_seqlen !== undefined
      ? valid - s.queries
      : s.past;
    for (let h = 0; h < s.heads; h++) {
      const kv = Math.floor(h / (s.heads / s.kvHeads));
      for (let i = 0; i < s.queries; i++) {
        const scores = Array.from({ length: total }, (_, j) => {
          if (j >= valid || (node.is_causal && j > i + before)) {
            return -Infinity;
          }
          let dot = 0;
          for (let d = 0; d < s.dim; d++) {
            dot += element(Q, [b, h, i, d], s.heads) * keyAt(b, kv, j, d);
          }
          const score = scale * dot;
          const capped = softcap > 0
            ? softcap * Math.tanh(score / softcap)
            : score;
          return capped + (attn_mask ? biasAt(attn_mask, [b, h, i, j]) : 0);
        });
        const most = Math.max(...scores);
        // A row that sees nothing is 0.
        const weights = scores.map((x) =>
          x === -Infinity ? 0 : Math.exp(x - most)
        );
        const sum = weights.reduce((a, x) => a + x, 0);
        for (let d = 0; d < s.valueDim; d++) {
          const y = weights.reduce(
            (a, w, j) => w === 0 ? a : a + w * valueAt(b, kv, j, d),
            0,
          );
          out[((b * s.heads + h) * s.queries + i) * s.valueDim + d] = sum === 0
            ? 0
            : y / sum;
        }
      }
    }
  }
  return out;
}

/** `[B, H, S, D]` with the past before it. */
function present(past: Tensor | undefined, own: Tensor, heads: number): Tensor {
  const [batch, kvHeads, keys, dim] = own.shape.length === 4
    ? own.shape
    : [own.shape[0], heads, own.shape[1], own.shape[2] / heads];
  const before = past?.shape[2] ?? 0;
  const data = new (own.data.constructor as typeof Float32Array)(
    batch * kvHeads * (before + keys) * dim,
  );
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < kvHeads; h++) {
      for (let j = 0; j < before + keys; j++) {
        for (let d = 0; d < dim; d++) {
          data[at++] = j < before
            ? element(past!, [b, h, j, d], heads)
            : element(own, [b, h, j - before, d], heads);
        }
      }
    }
  }
  return { data, shape: [batch, kvHeads, before + keys, dim] };
}

/** A mask as long as the keys: what it does not have is hidden. */
function padded(
  { data, shape }: Tensor<Float32Array | Uint8Array>,
  keys: number,
): HostMask {
  const own = shape.at(-1)!;
  if (own === keys || own === 1) return { data, shape };
  const rows = data.length / own;
  const out = data instanceof Uint8Array
    ? new Uint8Array(rows * keys)
    : new Float32Array(rows * keys).fill(-Infinity);
  for (let row = 0; row < rows; row++) {
    out.set(data.subarray(row * own, (row + 1) * own), row * keys);
  }
  return { data: out, shape: [...shape.slice(0, -1), keys] };
}

/** What PORTING.md says that one writes here. */
function optionsOf(node: OnnxNode): AttentionOptions {
  const { Q, K, V, past_key, past_value, attn_mask, nonpad_kv_seqlen } = node;
  const s = sizesOf(node);
  const total = s.past + s.keys;
  const rest = {
    ...(node.scale !== undefined && { scale: node.scale }),
    ...(node.softcap && { softcap: node.softcap }), // 0 is off there
    ...(attn_mask && { attnMask: padded(attn_mask, total) }),
    ...(nonpad_kv_seqlen && { keyLengths: nonpad_kv_seqlen }),
    ...(node.is_causal && {
      causal: true,
      // Bottom-right over an external cache; else after the past.
      ...(nonpad_kv_seqlen === undefined && { queryOffset: s.past }),
    }),
  };
  if (Q.shape.length === 4) {
    const key = past_key ? present(past_key, K, s.kvHeads) : K;
    const value = past_value ? present(past_value, V, s.kvHeads) : V;
    return { ...rest, layout: "bhsd", query: Q, key, value };
  }
  // Rank 3 is the same bytes with heads of their own; a past has heads before
  // tokens, so what it is concatenated to is read by its strides.
  const rows = ({ data }: Tensor, heads: number, dim: number) => ({
    data,
    shape: [s.batch, data.length / (s.batch * heads * dim), heads, dim],
  });
  const query = rows(Q, s.heads, s.dim);
  if (past_key === undefined) {
    return {
      ...rest,
      query,
      key: rows(K, s.kvHeads, s.dim),
      value: rows(V, s.kvHeads, s.valueDim),
    };
  }
  const view = (past: Tensor, own: Tensor, dim: number) => ({
    data: present(past, own, s.kvHeads).data,
    shape: [s.batch, total, s.kvHeads, dim],
    strides: [s.kvHeads * total * dim, dim, total * dim],
  });
  return {
    ...rest,
    query,
    key: view(past_key, K, s.dim),
    value: view(past_value!, V, s.valueDim),
  };
}

function noise(shape: readonly number[], seed: number): Tensor<Float32Array> {
  const prng = new Prng(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return {
    data: Float32Array.from({ length: size }, () => prng.uniform()),
    shape,
  };
}

function booleans(shape: readonly number[], seed: number): Tensor<Uint8Array> {
  const { data } = noise(shape, seed);
  return { data: Uint8Array.from(data, (x) => Number(x < 0.6)), shape };
}

/** Floats with -Infinity among them. */
function hiding(shape: readonly number[], seed: number): Tensor<Float32Array> {
  const { data } = noise(shape, seed);
  return { data: data.map((x) => x < 0.3 ? -Infinity : 2 * x), shape };
}

const [B, H, KV, S, T, D] = [2, 4, 2, 4, 6, 8];

/** Q, K and V of rank 4. */
function rank4(
  { heads = H, kvHeads = H, dim = D, valueDim = D, keys = T } = {},
): OnnxNode {
  return {
    Q: noise([B, heads, S, dim], 1),
    K: noise([B, kvHeads, keys, dim], 2),
    V: noise([B, kvHeads, keys, valueDim], 3),
  };
}

/** The same of rank 3, with the heads as attributes. */
function rank3(
  { heads = H, kvHeads = H, dim = D, valueDim = D, keys = T } = {},
): OnnxNode {
  return {
    Q: noise([B, S, heads * dim], 1),
    K: noise([B, keys, kvHeads * dim], 2),
    V: noise([B, keys, kvHeads * valueDim], 3),
    q_num_heads: heads,
    kv_num_heads: kvHeads,
  };
}

const PAST = 5;

/** A past of so many tokens. */
function past({ kvHeads = H, dim = D, valueDim = D } = {}) {
  return {
    past_key: noise([B, kvHeads, PAST, dim], 4),
    past_value: noise([B, kvHeads, PAST, valueDim], 5),
  };
}

/** As the operator's own cases are named. */
const NODES: Readonly<Record<string, OnnxNode>> = {
  "4d": rank4(),
  "4d_scaled": { ...rank4(), scale: 1e-2 },
  "4d_gqa": rank4({ kvHeads: KV }),
  "4d_mqa": rank4({ kvHeads: 1 }),
  "4d_diff_heads_sizes": rank4({ valueDim: 10 }),
  "4d_causal": { ...rank4(), is_causal: 1 },
  "4d_causal_square": { ...rank4({ keys: S }), is_causal: 1 },
  "4d_gqa_causal": { ...rank4({ kvHeads: KV }), is_causal: 1 },
  "4d_softcap": { ...rank4(), softcap: 2 },
  "4d_softcap_0": { ...rank4(), softcap: 0 },
  "4d_attn_mask": { ...rank4(), attn_mask: noise([S, T], 6) },
  "4d_attn_mask_3d": { ...rank4(), attn_mask: noise([H, S, T], 6) },
  "4d_attn_mask_3d_1": { ...rank4(), attn_mask: noise([1, S, T], 6) },
  "4d_attn_mask_4d": { ...rank4(), attn_mask: noise([B, H, S, T], 6) },
  "4d_attn_mask_4d_1": { ...rank4(), attn_mask: noise([B, 1, S, T], 6) },
  "4d_attn_mask_4d_causal": {
    ...rank4(),
    attn_mask: noise([B, H, S, T], 6),
    is_causal: 1,
  },
  "4d_attn_mask_bool": { ...rank4(), attn_mask: booleans([S, T], 7) },
  "4d_attn_mask_bool_4d": {
    ...rank4(),
    attn_mask: booleans([B, H, S, T], 7),
  },
  "4d_attn_mask_bool_causal": {
    ...rank4(),
    attn_mask: booleans([S, T], 7),
    is_causal: 1,
  },
  "4d_attn_mask_neginf": { ...rank4(), attn_mask: hiding([B, H, S, T], 8) },
  "4d_softcap_neginf_mask": {
    ...rank4(),
    softcap: 0.5,
    attn_mask: hiding([S, T], 8),
  },
  "4d_attn_mask_shorter": { ...rank4(), attn_mask: noise([S, T - 2], 6) },
  "4d_attn_mask_bool_shorter": {
    ...rank4(),
    attn_mask: booleans([B, 1, S, T - 2], 6),
  },
  "4d_fully_masked": {
    ...rank4(),
    attn_mask: { data: new Uint8Array(S * T), shape: [S, T] },
  },
  "4d_with_past_and_present": { ...rank4(), ...past() },
  "4d_gqa_with_past_causal": {
    ...rank4({ kvHeads: KV }),
    ...past({ kvHeads: KV }),
    is_causal: 1,
  },
  "4d_with_past_attn_mask": {
    ...rank4(),
    ...past(),
    attn_mask: noise([S, PAST + T], 6),
    softcap: 3,
  },
  "4d_diff_heads_with_past_mask4d": {
    ...rank4({ valueDim: 10 }),
    ...past({ valueDim: 10 }),
    attn_mask: noise([B, H, S, PAST + T], 6),
  },
  "4d_padded_kv": {
    ...rank4(),
    nonpad_kv_seqlen: BigInt64Array.of(3n, 6n),
  },
  "4d_padded_kv_mask4d": {
    ...rank4(),
    nonpad_kv_seqlen: BigInt64Array.of(3n, 5n),
    attn_mask: noise([B, H, S, T], 6),
  },
  "4d_padded_kv_causal": {
    ...rank4(),
    nonpad_kv_seqlen: BigInt64Array.of(4n, 6n),
    is_causal: 1,
  },
  // Fewer keys than queries: the first row of that sequence sees none.
  "4d_padded_kv_causal_short": {
    ...rank4(),
    nonpad_kv_seqlen: BigInt64Array.of(3n, 6n),
    is_causal: 1,
  },
  "3d": rank3(),
  "3d_gqa": rank3({ kvHeads: KV }),
  "3d_diff_heads_sizes": rank3({ valueDim: 10 }),
  "3d_causal": { ...rank3(), is_causal: 1 },
  "3d_scaled_softcap": { ...rank3(), scale: 0.5, softcap: 1.5 },
  "3d_attn_mask": { ...rank3(), attn_mask: noise([S, T], 6) },
  "3d_gqa_attn_mask_bool": {
    ...rank3({ kvHeads: KV }),
    attn_mask: booleans([B, H, S, T], 7),
  },
  "3d_with_past_and_present": { ...rank3(), ...past() },
  "3d_gqa_with_past_causal": {
    ...rank3({ kvHeads: KV }),
    ...past({ kvHeads: KV }),
    is_causal: 1,
  },
  "3d_diff_heads_with_past": {
    ...rank3({ valueDim: 10 }),
    ...past({ valueDim: 10 }),
    attn_mask: noise([PAST + T], 6),
  },
};

/** Our output as `[B, H, S, Dv]`. */
function heads4(
  data: ArrayLike<number>,
  node: OnnxNode,
): number[] {
  const { batch, heads, queries, valueDim } = sizesOf(node);
  const out: number[] = [];
  const rank = node.Q.shape.length;
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < queries; i++) {
        const row = rank === 4
          ? (b * heads + h) * queries + i
          : (b * queries + i) * heads + h;
        for (let d = 0; d < valueDim; d++) out.push(data[row * valueDim + d]);
      }
    }
  }
  return out;
}

function check(
  found: ArrayLike<number>,
  node: OnnxNode,
  { name, relative }: { readonly name: string; readonly relative: number },
): void {
  const expected = expectedOf(node);
  const own = heads4(found, node);
  assertEquals(own.length, expected.length, name);
  own.forEach((x, i) => {
    // Values are in 0..1, so a result is; 0 is exact.
    const bound = relative * (expected[i] === 0 ? 0 : 1);
    const error = Math.abs(x - expected[i]);
    assert(error <= bound, `${name}, element ${i}: off by ${error}`);
  });
}

/** Small, as each structure of a mask is a kernel of its own to compile. */
const TILES = {
  forward: { lanes: 8, rowsPerLane: 1, keys: 2, modKeys: 2 },
  decode: { maxRows: 1 },
} as const;

/** Whose mask is also given on the device: one of each structure. */
const ON_DEVICE = new Set([
  "4d_attn_mask_bool_4d",
  "4d_attn_mask_neginf",
  "4d_attn_mask_4d_causal",
  "3d_gqa_attn_mask_bool",
]);

async function hold(gpu: Gpu, name: string, node: OnnxNode): Promise<void> {
  const options = { ...optionsOf(node), tiles: TILES };
  const { output } = await attention(gpu, options);
  check((output as Tensor).data, node, { name, relative: 1e-6 });
  // The mask on the device, as a graph has it that another node made it in.
  const { attnMask } = options;
  if (!ON_DEVICE.has(name)) return;
  const { data, shape } = attnMask as Tensor<Float32Array | Uint8Array>;
  using mask = gpu.tensor(data, shape);
  const again = await attention(gpu, { ...options, attnMask: mask });
  const own = again.output as Tensor;
  check(own.data, node, { name: `${name}, on the device`, relative: 1e-6 });
}

gpuTest("ONNX Attention of rank 4, by our options", async (_, gpu) => {
  for (const [name, node] of Object.entries(NODES)) {
    if (name.startsWith("4d")) await hold(gpu, name, node);
  }
});

gpuTest("ONNX Attention of rank 3, by our options", async (_, gpu) => {
  for (const [name, node] of Object.entries(NODES)) {
    if (name.startsWith("3d")) await hold(gpu, name, node);
  }
});

gpuTest("ONNX Attention of float16, by our options", async (_, gpu) => {
  const half = ({ data, shape }: Tensor) => ({
    data: Float16Array.from(data),
    shape,
  });
  for (const name of ["4d", "4d_gqa_with_past_causal", "3d_attn_mask"]) {
    const node = NODES[name];
    const { Q, K, V, past_key, past_value } = node;
    const own = {
      ...node,
      Q: half(Q),
      K: half(K),
      V: half(V),
      ...(past_key && { past_key: half(past_key) }),
      ...(past_value && { past_value: half(past_value) }),
    };
    const { output } = await attention(gpu, {
      ...optionsOf(own),
      tiles: TILES,
    });
    // Rounded once, at the end; the sums are of float32.
    check((output as Tensor).data, own, { name, relative: 2 ** -11 + 1e-5 });
  }
}, { features: ["shader-f16"] });

Deno.test("ONNX Attention's attributes that are none of ours are refused", () => {
  const options = optionsOf(NODES["4d"]);
  for (
    const [name, value, cure] of [
      ["qk_matmul_output_mode", 0, "scores are never formed"],
      ["softmax_precision", 1, "softmax is computed in float32"],
      ["q_num_heads", 4, "the shapes say it"],
      ["is_causal", 1, "write causal"],
      ["past_key", null, "write key with the past in it"],
      ["nonpad_kv_seqlen", null, "write keyLengths"],
      ["attn_mask", null, "write attnMask"],
    ]
  ) {
    const given = { ...options, [name as string]: value };
    const { message } = assertThrows(
      () => attentionProblem(given as AttentionOptions),
      TypeError,
    );
    assert(message.startsWith(`${name} must not be given`), message);
    assert(message.includes(cure as string), message);
  }
});
