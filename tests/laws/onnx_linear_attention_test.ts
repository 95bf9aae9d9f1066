// deno-lint-ignore-file camelcase -- the operator's own names
/**
 * ONNX's `LinearAttention` (opset 27) through our options: each case is in the
 * operator's own words, with heads packed into the last dimension, and what is
 * expected is computed from the operator's definition in float64, apart from our
 * oracle.
 *
 * @module
 */

import { assert } from "@std/assert";
import { type Gpu, type HostTensor, linearAttention } from "../../mod.ts";
import { LINEAR_GATES, linearErrorBound } from "../../reference/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { gpuTest } from "../support/gpu.ts";

type Rows = HostTensor & { readonly data: Float32Array };

/** The operator's inputs and attributes, by its names. */
interface OnnxNode {
  /** `[B, T, q_num_heads * d_k]`. */
  readonly query: Rows;
  /** `[B, T, kv_num_heads * d_k]`. */
  readonly key: Rows;
  /** `[B, T, kv_num_heads * d_v]`. */
  readonly value: Rows;
  /** `[B, kv_num_heads, d_k, d_v]`. */
  readonly past_state?: Rows;
  /** `[B, T, kv_num_heads * d_k]` or `[B, T, kv_num_heads]`. */
  readonly decay?: Rows;
  /** `[B, T, kv_num_heads]` or `[B, T, 1]`. */
  readonly beta?: Rows;
  readonly q_num_heads: number;
  readonly kv_num_heads: number;
  readonly update_rule: "linear" | "gated" | "delta" | "gated_delta";
  readonly scale?: number;
  readonly chunk_size?: number;
}

/** What the operator gives, as its text defines it. */
function expected(node: OnnxNode): { output: number[]; state: number[] } {
  const { query, key, value, past_state, decay, beta } = node;
  const { q_num_heads: Hq, kv_num_heads: Hkv, update_rule: rule } = node;
  const [B, T] = query.shape;
  const [dk, dv] = [query.shape[2] / Hq, value.shape[2] / Hkv];
  const scale = node.scale || 1 / Math.sqrt(dk);
  const at = ({ data, shape }: Rows, b: number, t: number, i: number) =>
    data[(b * T + t) * shape[2] + i];
  const output = new Array<number>(B * T * Hq * dv).fill(0);
  const state: number[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < Hkv; h++) {
      const S = Array.from(
        { length: dk },
        (_, i) =>
          Array.from(
            { length: dv },
            (_, j) => past_state?.data[((b * Hkv + h) * dk + i) * dv + j] ?? 0,
          ),
      );
      for (let t = 0; t < T; t++) {
        if (rule === "gated" || rule === "gated_delta") {
          const perKey = decay!.shape[2] === Hkv * dk && dk > 1;
          for (let i = 0; i < dk; i++) {
            const g = at(decay!, b, t, perKey ? h * dk + i : h);
            for (let j = 0; j < dv; j++) S[i][j] *= Math.exp(g);
          }
        }
        const k = Array.from(
          { length: dk },
          (_, i) => at(key, b, t, h * dk + i),
        );
        for (let j = 0; j < dv; j++) {
          let update = at(value, b, t, h * dv + j);
          if (rule === "delta" || rule === "gated_delta") {
            const recalled = k.reduce((sum, x, i) => sum + x * S[i][j], 0);
            const strength = at(beta!, b, t, beta!.shape[2] === 1 ? 0 : h);
            update = strength * (update - recalled);
          }
          for (let i = 0; i < dk; i++) S[i][j] += k[i] * update;
        }
        for (let r = 0; r < Hq / Hkv; r++) {
          const q = h * (Hq / Hkv) + r;
          for (let j = 0; j < dv; j++) {
            let sum = 0;
            for (let i = 0; i < dk; i++) {
              sum += at(query, b, t, q * dk + i) * S[i][j];
            }
            output[((b * T + t) * Hq + q) * dv + j] = scale * sum;
          }
        }
      }
      state.push(...S.flat());
    }
  }
  return { output, state };
}

/** The same call in our words: heads have a dimension of their own. */
function run(gpu: Gpu, node: OnnxNode) {
  const { query, key, value, past_state, decay, beta } = node;
  const { q_num_heads: Hq, kv_num_heads: Hkv, chunk_size } = node;
  const apart = ({ data, shape: [B, T, width] }: Rows, heads: number) => ({
    data,
    shape: [B, T, heads, width / heads],
  });
  return linearAttention(gpu, {
    query: apart(query, Hq),
    key: apart(key, Hkv),
    value: apart(value, Hkv),
    rule: node.update_rule,
    returnState: true,
    ...past_state && { initialState: past_state },
    ...decay && { decay: apart(decay, Hkv) },
    ...beta && { beta },
    ...node.scale && { scale: node.scale },
    ...chunk_size && { chunk: chunk_size },
  });
}

/** A node with random inputs: keys of length 1, log gates below 0. */
function drawn(
  seed: number,
  {
    B = 2,
    T,
    Hq = 4,
    Hkv = 2,
    dk = 8,
    dv = 12,
    gates = "key",
    strengths = "head",
    past = true,
    ...rest
  }:
    & Pick<OnnxNode, "update_rule">
    & Partial<Pick<OnnxNode, "scale" | "chunk_size">>
    & {
      readonly B?: number;
      readonly T: number;
      readonly Hq?: number;
      readonly Hkv?: number;
      readonly dk?: number;
      readonly dv?: number;
      readonly gates?: "key" | "head";
      readonly strengths?: "head" | "one";
      readonly past?: boolean;
    },
): OnnxNode {
  const random = new Prng(seed);
  const rows = (shape: number[], f: (x: number) => number): Rows => ({
    data: Float32Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      () => f(random.uniform()),
    ),
    shape,
  });
  const about = (x: number) => 2 * x - 1;
  const key = rows([B, T, Hkv * dk], about);
  for (let at = 0; at < key.data.length; at += dk) {
    const own = key.data.subarray(at, at + dk);
    const length = Math.hypot(...own);
    own.forEach((x, i) => own[i] = x / length);
  }
  const gated = rest.update_rule.startsWith("gated");
  const delta = rest.update_rule.endsWith("delta");
  return {
    query: rows([B, T, Hq * dk], about),
    key,
    value: rows([B, T, Hkv * dv], about),
    ...past && { past_state: rows([B, Hkv, dk, dv], about) },
    ...gated && {
      decay: rows([B, T, gates === "key" ? Hkv * dk : Hkv], (x) => -x),
    },
    ...delta && {
      beta: rows([B, T, strengths === "head" ? Hkv : 1], (x) => x),
    },
    q_num_heads: Hq,
    kv_num_heads: Hkv,
    ...rest,
  };
}

const RULES = ["linear", "gated", "delta", "gated_delta"] as const;

const NODES: readonly OnnxNode[] = [
  ...RULES.map((update_rule, i) => drawn(i, { update_rule, T: 37 })),
  // A step of decoding.
  ...RULES.map((update_rule, i) => drawn(10 + i, { update_rule, T: 1 })),
  drawn(20, { update_rule: "gated", T: 20, gates: "head" }),
  drawn(21, {
    update_rule: "gated_delta",
    T: 20,
    gates: "head",
    strengths: "one",
  }),
  drawn(22, { update_rule: "delta", T: 33, strengths: "one", past: false }),
  drawn(23, { update_rule: "gated_delta", T: 40, Hq: 3, Hkv: 3, scale: 0.5 }),
  drawn(24, { update_rule: "linear", T: 65, Hq: 6, Hkv: 1, past: false }),
  drawn(25, { update_rule: "gated_delta", T: 50, chunk_size: 16 }),
];

gpuTest("ONNX's LinearAttention is linearAttention()", async (_, gpu) => {
  for (const node of NODES) {
    const { query, key, value, past_state, decay, beta } = node;
    const [batch, sequence] = query.shape;
    const { q_num_heads: queryHeads, kv_num_heads: valueHeads } = node;
    const headDim = query.shape[2] / queryHeads;
    const { output, state } = await run(gpu, node);
    const want = expected(node);
    const bound = linearErrorBound({
      query: query.data,
      key: key.data,
      value: value.data,
      batch,
      sequence,
      queryHeads,
      keyHeads: valueHeads,
      valueHeads,
      headDim,
      valueHeadDim: value.shape[2] / valueHeads,
      scale: node.scale,
      decay: decay?.data,
      decayShape: decay && (decay.shape[2] === valueHeads ? "head" : "channel"),
      beta: beta?.data,
      initialState: past_state?.data,
    }, { chunk: 64, gate: LINEAR_GATES.wgsl });
    const { update_rule } = node;
    const near = (got: number, x: number, most: number) =>
      assert(
        Math.abs(got - x) <= most,
        `${update_rule}, T = ${sequence}: ${got} is not ${x}`,
      );
    want.output.forEach((x, i) => near(output.data[i], x, bound.output));
    want.state.forEach((x, i) => near(state!.data[i], x, bound.state));
  }
});
