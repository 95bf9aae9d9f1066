/**
 * What the peers are compared on: one sequence, 8 heads of 64.
 *
 * @module
 */

import type { DType } from "../../src/core/dtype.ts";
import { Prng } from "../../src/core/prng.ts";
import { normals } from "../support/inputs.ts";

/** Query, key and value heads of every case. */
export const HEADS = 8;

/** Elements of a row of every case. */
export const HEAD_DIM = 64;

/**
 * What is computed: the output; forward and then the gradients of queries, keys
 * and values; or these alone, of what forward left before any time counts.
 */
export type Pass = "forward" | "gradients" | "backward";

/** One comparison. */
export interface PeerCase {
  /** A readable name. */
  readonly name: string;
  /** What is computed. */
  readonly pass: Pass;
  /** Storage type. */
  readonly dtype: DType;
  /** Queries, at the end of the keys: 1 is decode. */
  readonly queries: number;
  /** Keys. */
  readonly keys: number;
  /** Whether a query sees only keys at its own position and before. */
  readonly causal: boolean;
  /**
   * Tokens of a block, where keys and values are paged. A call then first
   * appends the queries' own keys and values, and attends to all.
   */
  readonly blockSize?: number;
}

/** A case's numbers, rounded to its dtype, tokens outermost. */
export interface PeerInputs {
  /** `[queries, HEADS, HEAD_DIM]`. */
  readonly query: Float32Array | Float16Array;
  /** `[keys, HEADS, HEAD_DIM]`. */
  readonly key: Float32Array | Float16Array;
  /** `[keys, HEADS, HEAD_DIM]`. */
  readonly value: Float32Array | Float16Array;
  /** Derivative of the loss by the output, `[queries, HEADS, HEAD_DIM]`. */
  readonly outputGradient: Float32Array | Float16Array;
}

/** All cases: dense in f32, paged in f16. */
export function peerCases(): PeerCase[] {
  const cases: PeerCase[] = [];
  const square = (pass: Pass, size: number) => {
    for (const causal of [false, true]) {
      const what = pass === "forward" ? "prefill" : pass;
      cases.push({
        name: `${what} ${size} ${causal ? "causal" : "dense"} f32`,
        pass,
        dtype: "f32",
        queries: size,
        keys: size,
        causal,
      });
    }
  };
  for (const size of [512, 1024]) square("forward", size);
  for (const pass of ["gradients", "backward"] as const) square(pass, 512);
  for (const keys of [1024, 4096]) {
    cases.push({
      name: `decode ${keys} f32`,
      pass: "forward",
      dtype: "f32",
      queries: 1,
      keys,
      causal: false,
    });
  }
  for (const kind of ["decode", "prefill"] as const) {
    for (const keys of kind === "decode" ? [1024, 4096] : [512, 1024]) {
      for (const blockSize of [16, 256]) {
        cases.push({
          name: `paged ${kind} ${keys} block ${blockSize} f16`,
          pass: "forward",
          dtype: "f16",
          queries: kind === "decode" ? 1 : keys,
          keys,
          causal: true,
          blockSize,
        });
      }
    }
  }
  return cases;
}

/** The numbers of a case, the same for every contestant. */
export function inputsOf({ dtype, queries, keys }: PeerCase): PeerInputs {
  const size = (tokens: number) => tokens * HEADS * HEAD_DIM;
  return {
    query: normals(dtype, size(queries), 1),
    key: normals(dtype, size(keys), 2),
    value: normals(dtype, size(keys), 3),
    outputGradient: normals(dtype, size(queries), 5),
  };
}

/** Shuffled ids of `count` blocks among `first..first + total - 1`. */
export function shuffledBlocks(
  count: number,
  { first, total }: { first: number; total: number },
): number[] {
  const ids = Array.from({ length: total }, (_, i) => first + i);
  return new Prng(4).shuffle(ids).slice(0, count);
}

/** Swaps the two outer dimensions: `[a, b, HEAD_DIM]` to `[b, a, HEAD_DIM]`. */
export function swapOuter<T extends Float32Array | Float16Array>(
  array: T,
  [a, b]: readonly [number, number],
): T {
  const out = array.slice() as T;
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      const from = (i * b + j) * HEAD_DIM;
      out.set(array.subarray(from, from + HEAD_DIM), (j * a + i) * HEAD_DIM);
    }
  }
  return out;
}
