/**
 * Attention workloads: what is computed, over which layout, and what it costs
 * at least.
 *
 * @module
 */

import type { KvCache } from "../../src/kv/mod.ts";
import { bytesPerElement, type DType } from "../../src/core/dtype.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  type AttentionOptions,
  type AttentionPlan,
  type AttentionTensors,
  planAttention,
  type PlanChoices,
  type TensorShape,
} from "../../src/ops/mod.ts";
import { shuffledCache } from "./shuffled_cache.ts";
import { normals } from "./inputs.ts";

/** One sequence's attention. */
export interface Workload {
  /** Prefill has many queries, decode one. */
  readonly kind: "prefill" | "decode";
  /** Tensors in order, or a KV cache whose blocks are shuffled. */
  readonly source: "dense" | "paged";
  /** Storage type. */
  readonly dtype: DType;
  /** Whether a query sees only keys at its own position and before. */
  readonly causal: boolean;
  /** Query heads. */
  readonly queryHeads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Elements of a query, key or value row. */
  readonly headDim: number;
  /** Queries. */
  readonly queries: number;
  /** Keys. */
  readonly keys: number;
}

/** Tokens of a block in the paged workloads. */
export const BLOCK_SIZE = 16;

/** `prefill 512x512 8/8 heads d64 f32 dense causal`. */
export function workloadName(workload: Workload): string {
  const { kind, source, dtype, causal, queries, keys } = workload;
  const { queryHeads, kvHeads, headDim } = workload;
  return [
    kind,
    `${queries}x${keys}`,
    `${queryHeads}/${kvHeads} heads`,
    `d${headDim}`,
    dtype,
    source,
    ...(causal ? ["causal"] : []),
  ].join(" ");
}

/** Operations of the two products, 2 a multiply-add; half where causal. */
export function flopsOf(workload: Workload): number {
  const { queryHeads, queries, keys, headDim, causal } = workload;
  return 4 * queryHeads * queries * keys * headDim / (causal ? 2 : 1);
}

/** Bytes of keys and values, each read once. */
export function bytesOf(workload: Workload): number {
  const { kvHeads, keys, headDim, dtype } = workload;
  return 2 * kvHeads * keys * headDim * bytesPerElement(dtype);
}

/** A workload's tensors on a device. */
export class LoadedWorkload {
  /** What it is. */
  readonly workload: Workload;
  /** What plans read and write. */
  readonly tensors: AttentionTensors;
  readonly #gpu: Gpu;
  readonly #options: AttentionOptions<TensorShape>;
  readonly #owned: readonly { destroy(): void }[];

  private constructor(
    gpu: Gpu,
    workload: Workload,
    tensors: AttentionTensors,
    cached: Cached | undefined,
  ) {
    const { query, key, value } = tensors;
    this.#gpu = gpu;
    this.workload = workload;
    this.tensors = tensors;
    this.#owned = [query, tensors.output, cached?.cache, key, value]
      .filter((made) => made !== undefined);
    this.#options = {
      query: shapeOf(query),
      causal: workload.causal,
      ...(cached
        ? { cache: cached.cache, sequences: [cached.sequence] }
        : { key: shapeOf(key!), value: shapeOf(value!) }),
    };
  }

  /** Uploads a workload's inputs. */
  static async create(gpu: Gpu, workload: Workload): Promise<LoadedWorkload> {
    const { dtype, queryHeads, headDim, queries, kvHeads, keys } = workload;
    const queryShape = [1, queries, queryHeads, headDim];
    const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b);
    const make = (shape: readonly number[], seed: number) =>
      gpu.tensor(normals(dtype, size(shape), seed), shape, "bench");
    const query = make(queryShape, 1);
    const key = make([1, keys, kvHeads, headDim], 2);
    const value = make([1, keys, kvHeads, headDim], 3);
    const output = gpu.empty(dtype, queryShape, "bench");
    if (workload.source === "dense") {
      const tensors = { query, key, value, output };
      return new LoadedWorkload(gpu, workload, tensors, undefined);
    }
    const cached = await cacheOf(gpu, workload, { key, value });
    key.destroy();
    value.destroy();
    const arenas = cached.cache.arenas();
    const tensors = { query, arenas, output };
    return new LoadedWorkload(gpu, workload, tensors, cached);
  }

  /** A plan for the workload. */
  async plan(choices: PlanChoices = {}): Promise<AttentionPlan> {
    return await planAttention(this.#gpu, { ...this.#options, ...choices });
  }

  /** Frees its tensors. */
  destroy(): void {
    for (const made of this.#owned) made.destroy();
  }
}

interface Cached {
  readonly cache: KvCache;
  readonly sequence: ReturnType<KvCache["createSequence"]>;
}

function shapeOf({ dtype, shape }: GpuTensor): TensorShape {
  return { dtype: dtype as DType, shape };
}

/** A cache with one sequence, whose blocks lie in no order. */
async function cacheOf(
  gpu: Gpu,
  { dtype, kvHeads, headDim, keys }: Workload,
  rows: { readonly key: GpuTensor; readonly value: GpuTensor },
): Promise<Cached> {
  const cache = await shuffledCache(gpu, {
    numBlocks: Math.ceil(keys / BLOCK_SIZE) + 1,
    blockSize: BLOCK_SIZE,
    kvHeads,
    headDim,
    dtype,
  });
  const sequence = cache.createSequence();
  cache.append([{ sequence, count: keys }], rows);
  return { cache, sequence };
}
