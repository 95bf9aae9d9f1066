/**
 * Squeezed Attention for `attention({ select })`: exact for the keys it keeps.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { BlockMask } from "../../mods/mod.ts";
import type { Gpu, GpuTensor } from "../../gpu/mod.ts";
import type {
  AttentionPolicy,
  DeviceBlockMask,
  PolicySelection,
  PolicyShape,
} from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import { checkOwnLayer } from "../own_layer.ts";
import type { SqueezedClusters } from "./clusters.ts";
import type { LookupProblem } from "./lookup.ts";
import { checkThresholds, type SqueezedThresholds } from "./options.ts";
import { keyMask, SqueezedLookup } from "./squeezed_lookup.ts";

/**
 * What a {@linkcode SqueezedPolicy} is for.
 *
 * @category Policies
 */
export interface SqueezedPolicyOptions extends SqueezedThresholds {
  /** Of the calls: f32 or f16. */
  readonly dtype: "f32" | "f16";
  /** Query heads of the calls. */
  readonly queryHeads: number;
  /** Queries of a call; at most, where keys are in blocks or a cache. */
  readonly queries: number;
  /**
   * Keys that a call has room for, those behind the context included; at most,
   * where they are in blocks or a cache.
   */
  readonly keys: number;
}

const OWNER = "SqueezedPolicy.create()";

/**
 * Squeezed Attention (Hooper et al. 2024, arXiv:2411.09688) as a policy: a call's
 * queries together keep the keys of a fixed context whose cluster has a mean score
 * above a threshold, and all keys behind the context. It goes with `causal`,
 * windows, softcap, ALiBi, blocks and caches, as any mask does.
 *
 * Which of it and `squeezedAttention()`: this one leaves out steps of keys none of
 * which is kept, where kept keys lie apart it still loads those between;
 * `squeezedAttention()` loads what is kept and nothing else.
 *
 * @example The keys that a call keeps
 * ```ts
 * import { attention, openGpu } from "@quire/attention";
 * import { SqueezedPolicy } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const clusters = {
 *   centroids: gpu.tensor(Float32Array.of(9, 0, 0, 9), [1, 2, 2]),
 *   counts: gpu.tensor(Uint32Array.of(2, 2), [1, 2]),
 *   labels: gpu.tensor(Uint32Array.of(0, 1, 0, 1), [1, 4]),
 * };
 * using select = await SqueezedPolicy.create(gpu, {
 *   clusters,
 *   threshold: 0.1,
 *   dtype: "f32",
 *   queryHeads: 1,
 *   queries: 1,
 *   keys: 5,
 * });
 * const { output } = await attention(gpu, {
 *   query: { data: Float32Array.of(9, 0), shape: [1, 1, 1, 2] },
 *   key: { data: Float32Array.of(9, 0, 0, 9, 9, 0, 0, 9, 0, 0), shape: [1, 5, 1, 2] },
 *   value: { data: Float32Array.of(1, 7, 3, 7, 7), shape: [1, 5, 1, 1] },
 *   causal: true,
 *   select,
 * });
 * console.log(output.data[0]); // 2
 * console.log((await select.read()).draw().text); // █·█·█
 * ```
 *
 * @category Policies
 */
export class SqueezedPolicy implements AttentionPolicy, Disposable {
  /** What errors and explanations call it. */
  readonly name = "squeezed";
  readonly #gpu: Gpu;
  readonly #clusters: SqueezedClusters;
  readonly #problem: Omit<LookupProblem, "queries" | "scale">;
  readonly #lookup: SqueezedLookup;
  readonly #mask: DeviceBlockMask;

  private constructor(
    gpu: Gpu,
    made: {
      readonly clusters: SqueezedClusters;
      readonly problem: Omit<LookupProblem, "queries" | "scale">;
      readonly lookup: SqueezedLookup;
      readonly mask: DeviceBlockMask;
    },
  ) {
    this.#gpu = gpu;
    this.#clusters = made.clusters;
    this.#problem = made.problem;
    this.#lookup = made.lookup;
    this.#mask = made.mask;
  }

  /**
   * Compiles the look-up.
   *
   * @throws {TypeError} for wrong types and options, and clusters of another Gpu
   * @throws {RangeError} for values out of range
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`, and for
   * more clusters than the adapter's loops go through
   */
  static async create(
    gpu: Gpu,
    options: SqueezedPolicyOptions,
  ): Promise<SqueezedPolicy> {
    checkGpu(gpu);
    const problem = policyProblem(gpu, options);
    const { clusters } = options;
    const { kvHeads: heads, headDim } = problem.sizes;
    const scale = 1 / Math.sqrt(headDim);
    const { queries } = options;
    const mask = await keyMask(gpu, { heads, queries, keys: problem.keys });
    try {
      const lookup = await SqueezedLookup.create(gpu, {
        ...problem,
        queries,
        scale,
      });
      return new SqueezedPolicy(gpu, { clusters, problem, lookup, mask });
    } catch (error) {
      mask.destroy();
      throw error;
    }
  }

  /**
   * What a call keeps.
   *
   * @throws {TypeError} if it has several sequences, other heads, dims or another
   * dtype than the policy is for, or queries have strides
   * @throws {RangeError} if its queries do not stand behind the context
   */
  select(shape: PolicyShape): PolicySelection {
    const problem = this.#problemOf(shape);
    return {
      blocks: {
        mask: this.#mask,
        encode: (encoder, { query }) => this.#encode(encoder, problem, query),
      },
    };
  }

  /** Reads which keys the last recording that ran kept: this waits. */
  async read(): Promise<BlockMask> {
    return await this.#mask.read();
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.#lookup.destroy();
    this.#mask.destroy();
  }

  /** The same as {@linkcode SqueezedPolicy.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #encode(
    encoder: GPUCommandEncoder,
    problem: LookupProblem,
    query: GpuTensor,
  ): void {
    this.#lookup.update(problem);
    this.#lookup.encode(encoder, {
      query,
      clusters: this.#clusters,
      bits: this.#mask.bits,
    });
  }

  #problemOf(shape: PolicyShape): LookupProblem {
    const { sizes, dtype, queryHeads } = this.#problem;
    this.#gpu.check();
    const { kvHeads, headDim } = sizes;
    const own = { dtype, queryHeads, kvHeads, headDim };
    for (const [name, value] of Object.entries(own)) {
      const given = shape[name as keyof typeof own];
      checkType(
        given === value,
        name,
        `must be that of the policy squeezed (${value})`,
        given,
      );
    }
    checkOwnLayer(this.name, this.#clusters.layer, shape);
    checkType(
      shape.sequences.length === 1,
      "sequences",
      "must be 1 for the policy squeezed, which looks a context up for one sequence a call",
      shape.sequences.length,
    );
    checkType(
      shape.strides?.query === undefined,
      "query.strides",
      "must be left out for the policy squeezed, which reads queries side by side",
      shape.strides?.query,
    );
    const [{ queryCount, keyCount, queryOffset }] = shape.sequences;
    checkRange(
      queryOffset >= sizes.keys && queryOffset + queryCount <= keyCount,
      "queryOffset",
      `must be >= ${sizes.keys} and each query have a key of its own, so that the policy squeezed leaves no row empty: queries stand behind its context`,
      queryOffset,
    );
    // Never of qkv, whose queries stand in the context.
    return {
      ...this.#problem,
      queries: queryCount,
      ...(shape.layout === "bhsd" && {
        strides: { token: headDim, head: queryCount * headDim },
      }),
      scale: shape.scale,
    };
  }
}

function policyProblem(
  gpu: Gpu,
  options: SqueezedPolicyOptions,
): Omit<LookupProblem, "queries" | "scale"> {
  checkOptions(OWNER, options, {
    known: [
      "clusters",
      "threshold",
      "coarseThreshold",
      "dtype",
      "queryHeads",
      "queries",
      "keys",
    ],
    hints: {
      scale: "leave it out: it is the call's",
      causal: "give it to attention()",
      keyLength: "write keys: those of a call at most",
      quantile: "write threshold: the mean score at that quantile",
    },
  });
  const { dtype, queryHeads, queries, keys, clusters } = options;
  checkType(
    dtype === "f32" || dtype === "f16",
    "dtype",
    "must be f32 or f16",
    dtype,
  );
  const [kvHeads, , headDim] = clusters?.centroids?.shape ?? [];
  const kept = checkThresholds(gpu, options, { queryHeads, kvHeads, headDim });
  checkInteger("queries", queries, 1, 2 ** 30);
  checkInteger("keys", keys, kept.sizes.keys + queries, 2 ** 31 - 1);
  return { ...kept, dtype, queryHeads, keys, gather: false };
}
