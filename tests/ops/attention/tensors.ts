/**
 * Inputs for tests of plans and calls: few shapes, so that few kernels are
 * compiled, and what comes out is compared bit by bit.
 *
 * @module
 */

import { Prng } from "../../../src/core/prng.ts";
import type { Gpu, GpuTensor, HostTensor } from "../../../mod.ts";

/** Heads, kv heads and head dim that these tests share. */
export const HEADS = { queryHeads: 4, kvHeads: 2, headDim: 8 } as const;

/** A host tensor of normal numbers. */
export function random(shape: readonly number[], seed: number): HostTensor {
  const prng = new Prng(seed);
  const size = shape.reduce((product, length) => product * length, 1);
  return {
    data: Float32Array.from({ length: size }, () => prng.normal()),
    shape,
  };
}

/** Query, key and value of one batch. */
export interface Inputs {
  /** `[batch, queries, queryHeads, headDim]`. */
  readonly query: HostTensor;
  /** `[batch, keys, kvHeads, headDim]`. */
  readonly key: HostTensor;
  /** `[batch, keys, kvHeads, headDim]`. */
  readonly value: HostTensor;
}

/** Random inputs of the shared heads. */
export function inputs(
  sizes: { batch: number; queries: number; keys: number },
  seed = 1,
): Inputs {
  const { batch, queries, keys } = sizes;
  const { queryHeads, kvHeads, headDim } = HEADS;
  return {
    query: random([batch, queries, queryHeads, headDim], seed),
    key: random([batch, keys, kvHeads, headDim], seed + 1),
    value: random([batch, keys, kvHeads, headDim], seed + 2),
  };
}

/** The inputs on the device, with an output to fill. */
export interface DeviceTensors extends Disposable {
  /** Uploaded. */
  readonly query: GpuTensor;
  /** Uploaded. */
  readonly key: GpuTensor;
  /** Uploaded. */
  readonly value: GpuTensor;
  /** Zeros. */
  readonly output: GpuTensor;
  /** Zeros. */
  readonly lse: GpuTensor;
}

/** Uploads inputs and makes room for the results. */
export function upload(gpu: Gpu, host: Inputs): DeviceTensors {
  const { query, key, value } = host;
  const tensors = {
    query: gpu.tensor(query.data, query.shape),
    key: gpu.tensor(key.data, key.shape),
    value: gpu.tensor(value.data, value.shape),
    output: gpu.empty("f32", query.shape),
    lse: gpu.empty("f32", query.shape.slice(0, -1)),
  };
  return {
    ...tensors,
    [Symbol.dispose]() {
      for (const tensor of Object.values(tensors)) tensor.destroy();
    },
  };
}

/** Buffers and bytes that are alive now. */
export function live(gpu: Gpu): { buffers: number; bytes: number } {
  gpu.trim();
  const { buffers, bytes } = gpu.stats;
  return { buffers, bytes };
}
