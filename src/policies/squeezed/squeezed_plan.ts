/**
 * A plan for Squeezed Attention: compiled, reusable, disposable.
 *
 * @module
 */

import {
  MERGE_STATES_LANES,
  mergeStatesKernel,
} from "../../../kernels/attention/merge_states.ts";
import { rowFormat, rowStride } from "../../../kernels/fragments/rows.ts";
import { checkInteger, checkType } from "../../core/check.ts";
import { type Gpu, type GpuTensor, Program } from "../../gpu/mod.ts";
import { foldGrid } from "../../gpu/program/dispatch.ts";
import {
  type AttentionOptions,
  type AttentionPlan,
  attentionProblem,
  type DeviceBlockMask,
  planAttention,
  type PlanChoices,
} from "../../ops/mod.ts";
import { checkGpu } from "../../ops/plan/plan_program.ts";
import { checkTensor, checkWritten } from "../../ops/plan/tensors.ts";
import type { AnyTensor } from "../../ops/tensors.ts";
import {
  checkSameSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./clusters.ts";
import {
  type SqueezedOptions,
  type SqueezedProblem,
  squeezedProblem,
} from "./options.ts";
import type { LookupProblem } from "./lookup.ts";
import { keyMask, SqueezedLookup } from "./squeezed_lookup.ts";

/**
 * What a {@linkcode SqueezedPlan}'s `encode` reads and writes.
 *
 * @category Policies
 */
export interface SqueezedTensors {
  /** As in the options. */
  readonly query: GpuTensor;
  /** As in the options. */
  readonly key: GpuTensor;
  /** As in the options. */
  readonly value: GpuTensor;
  /** Like the query, with the value's head dim. */
  readonly output: GpuTensor;
  /** `[1, queries, queryHeads]`, f32; where asked for. */
  readonly lse?: GpuTensor | undefined;
  /** Other clusters of the same sizes, as each layer has its own. */
  readonly clusters?: SqueezedClusters | undefined;
}

/**
 * Which keys of a context were kept, on the host.
 *
 * @category Policies
 */
export interface KeptKeys {
  /** Of each kv head the keys, in order. */
  readonly keys: readonly Uint32Array[];
  /** Kept keys over all of the context. */
  readonly density: number;
}

/**
 * A plan for Squeezed Attention (Hooper et al. 2024): queries are held against
 * the centroids of a fixed context's clusters, keys of clusters with a high mean
 * score are listed on the device, and exact attention over these and over all
 * keys behind the context is merged. All queries of a call, and the query heads
 * that share keys, keep the same keys.
 *
 * @example One plan for all layers, and for the next token
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { planSqueezedAttention } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * const room = 12; // 8 of the context, then those of tokens to come
 * const cache = { dtype: "f32", shape: [1, room, 1, 4] } as const;
 * const clusters = {
 *   centroids: gpu.tensor(Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0), [1, 2, 4]),
 *   counts: gpu.tensor(Uint32Array.of(4, 4), [1, 2]),
 *   labels: gpu.tensor(Uint32Array.of(0, 0, 0, 0, 1, 1, 1, 1), [1, 8]),
 * };
 * using plan = await planSqueezedAttention(gpu, {
 *   query: { dtype: "f32", shape: [1, 1, 1, 4] },
 *   key: cache,
 *   value: cache,
 *   keyLength: 9,
 *   clusters,
 *   threshold: 0.125, // an eighth of the attention for each of 8 keys
 * });
 * const tensors = {
 *   query: gpu.tensor(Float32Array.of(4, 0, 0, 0), [1, 1, 1, 4]),
 *   key: gpu.tensor(new Float32Array(4 * room).fill(1), cache.shape),
 *   value: gpu.tensor(new Float32Array(4 * room).fill(1), cache.shape),
 *   output: gpu.empty("f32", [1, 1, 1, 4]),
 * };
 * for (const keyLength of [9, 10]) {
 *   await plan.update({ keyLength });
 *   gpu.submit("step", (encoder) => plan.encode(encoder, tensors));
 * }
 * const { keys, density } = await plan.kept();
 * console.log(keys[0].join(), density); // 0,1,2,3 0.5
 * ```
 *
 * @category Policies
 */
export class SqueezedPlan implements Disposable {
  readonly #gpu: Gpu;
  readonly #clusters: SqueezedClusters;
  readonly #parts: Parts;
  #problem: SqueezedProblem;
  /** What was recorded last: another update may have come since. */
  #recorded: SqueezedProblem;
  #destroyed = false;

  private constructor(
    gpu: Gpu,
    made: {
      readonly clusters: SqueezedClusters;
      readonly problem: SqueezedProblem;
      readonly parts: Parts;
    },
  ) {
    this.#gpu = gpu;
    this.#clusters = made.clusters;
    this.#problem = made.problem;
    this.#recorded = made.problem;
    this.#parts = made.parts;
  }

  /** See {@linkcode planSqueezedAttention}. */
  static async create(
    gpu: Gpu,
    options: SqueezedOptions,
  ): Promise<SqueezedPlan> {
    checkGpu(gpu);
    const problem = squeezedProblem(gpu, options);
    const { clusters } = options;
    const parts = await createParts(gpu, problem, options.choices);
    return new SqueezedPlan(gpu, { clusters, problem, parts });
  }

  /** Keys of the context, of all kv heads; each is read if it is kept. */
  get contextKeys(): number {
    const { kvHeads, keys } = this.#problem.sizes;
    return kvHeads * keys;
  }

  /**
   * Takes another number of written keys, as after a token, and where keys are in
   * blocks another table, if there is one. What was recorded before stays as it
   * was recorded; after an error the plan is as before.
   *
   * @throws {TypeError} if the plan is destroyed, takes a table and has none, or
   * its context has grown since it was made
   * @throws {RangeError} if there is no room for so many, no key of a query's
   * own, or no block of an id
   */
  async update(
    { keyLength, blockTable = this.#problem.blocks?.table }: {
      readonly keyLength: number;
      readonly blockTable?: Uint32Array | undefined;
    },
  ): Promise<void> {
    this.#check();
    const { dtype, queries, queryHeads, headDim, room, blocks } = this.#problem;
    checkInteger("keyLength", keyLength, 0);
    checkType(
      blocks !== undefined || blockTable === undefined,
      "blockTable",
      "must be left out, as the plan's keys are not in blocks",
      blockTable,
    );
    const { sizes: { kvHeads }, valueHeadDim } = this.#problem;
    const { threshold, coarseThreshold, scale, softcap } = this.#problem;
    const size = blocks?.size ?? room;
    const tensor = (count: readonly number[], heads: number, dim: number) => ({
      dtype,
      shape: [...count, heads, dim],
    });
    const keys = [room / size, size];
    const problem = squeezedProblem(this.#gpu, {
      query: tensor([1, queries], queryHeads, headDim),
      key: tensor(keys, kvHeads, headDim),
      value: tensor(keys, kvHeads, valueHeadDim),
      blockTable,
      clusters: this.#clusters,
      threshold,
      ...(this.#problem.sizes.coarse > 0 && { coarseThreshold }),
      scale,
      softcap,
      keyLength,
      returnLse: this.#problem.lse,
    });
    checkSameSizes(problem.sizes, this.#problem.sizes);
    await this.#parts.rest.update(attentionProblem(restOptions(problem)));
    if (blocks) this.#parts.lookup.update(gatherOf(problem));
    this.#problem = problem;
  }

  /**
   * Records all of it: the look-up, attention over what it keeps and over the
   * rest, and their merge. Nothing is submitted, nothing waits.
   *
   * @throws {TypeError} if a tensor is missing, destroyed, of another device,
   * dtype or size, or one that is written shares its buffer with another
   */
  encode(encoder: GPUCommandEncoder, tensors: SqueezedTensors): void {
    this.#check();
    const { clusters = this.#clusters } = tensors;
    this.#checkTensors(tensors, clusters);
    const { query, key, value, output } = tensors;
    const { lookup, prefix, rest, merge } = this.#parts;
    const { table, counts, mask, gathered, gatheredLse, lse: own } =
      this.#parts;
    const lse = tensors.lse ?? own;
    lookup.encode(encoder, {
      query,
      clusters,
      keyTable: table,
      keyCounts: counts,
      keyPlaces: mask.bits,
    });
    rest.encode(encoder, { query, key, value, output, lse });
    prefix.encode(encoder, {
      query,
      key,
      value,
      output: gathered,
      lse: gatheredLse,
    });
    merge.encode(encoder, {
      other: gathered,
      other_lse: gatheredLse,
      output,
      lse,
    });
    this.#recorded = this.#problem;
  }

  /**
   * Reads which keys of the context the last recording kept, which is to have
   * been submitted: this waits.
   */
  async kept(): Promise<KeptKeys> {
    this.#check();
    const { kvHeads, keys: context } = this.#problem.sizes;
    const { table, counts } = this.#parts;
    const [places, kept] = await this.#gpu.read([table, counts]);
    const tokens = new Map(
      Array.from(
        { length: context },
        (_, i) => [placeOf(this.#recorded, i), i],
      ),
    );
    const keys = Array.from(
      { length: kvHeads },
      (_, head) =>
        (places as Uint32Array)
          .slice(head * context, head * context + Number(kept[head]))
          .map((row) => tokens.get(Math.floor(row / kvHeads))!),
    );
    const all = keys.reduce((sum, { length }) => sum + length, 0);
    return { keys, density: all / (kvHeads * context) };
  }

  /** Frees the plan's memory; further calls do nothing. */
  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    for (const one of this.#parts.owned) one.destroy();
  }

  /** The same as {@linkcode SqueezedPlan.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #checkTensors(
    { query, key, value, output, lse }: SqueezedTensors,
    clusters: SqueezedClusters,
  ): void {
    const gpu = this.#gpu;
    const { dtype: type, queries, queryHeads, headDim, room } = this.#problem;
    const { valueHeadDim, sizes } = this.#problem;
    const check = (
      name: string,
      tensor: GpuTensor | undefined,
      size: number,
      own: string = type,
    ) => checkTensor(gpu, name, tensor, { type: own, size });
    check("query", query, queries * queryHeads * headDim);
    check("key", key, room * sizes.kvHeads * headDim);
    check("value", value, room * sizes.kvHeads * valueHeadDim);
    check("output", output, queries * queryHeads * valueHeadDim);
    if (this.#problem.lse) check("lse", lse, queries * queryHeads, "f32");
    checkSameSizes(clusterSizes(gpu, clusters), sizes);
    const levels = [clusters, ...(clusters.coarse ? [clusters.coarse] : [])];
    checkWritten(
      [
        ...Object.entries({ query, key, value })
          .map(([name, { buffer }]) => [name, buffer] as const),
        ...levels.flatMap(({ centroids, counts, labels }) =>
          Object.entries({ centroids, counts, labels })
            .map(([name, { buffer }]) => [`clusters.${name}`, buffer] as const)
        ),
      ],
      [["output", output.buffer], ["lse", lse?.buffer]],
    );
  }

  #check(): void {
    this.#gpu.check();
    checkType(!this.#destroyed, "plan", "must not be destroyed", "destroyed");
  }
}

/**
 * Makes a plan for Squeezed Attention; tensors may be shapes only.
 *
 * @throws {TypeError} for wrong types, shapes and options, and clusters of other
 * heads or of another Gpu
 * @throws {RangeError} for values out of range
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`, and for
 * more clusters than the adapter's loops go through
 *
 * @example One query of four heads, whose tensors come later
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { planSqueezedAttention } from "@quire/attention/policies";
 *
 * using gpu = await openGpu();
 * using plan = await planSqueezedAttention(gpu, {
 *   query: { dtype: "f32", shape: [1, 1, 4, 64] },
 *   key: { dtype: "f32", shape: [1, 128, 2, 64] },
 *   value: { dtype: "f32", shape: [1, 128, 2, 64] },
 *   clusters: {
 *     centroids: gpu.empty("f32", [2, 8, 64]),
 *     counts: gpu.empty("u32", [2, 8]),
 *     labels: gpu.empty("u32", [2, 100]),
 *   },
 *   threshold: 0.01,
 * });
 * await plan.update({ keyLength: 101 }); // of 128 that there is room for
 * ```
 *
 * @category Policies
 */
export async function planSqueezedAttention(
  gpu: Gpu,
  options: SqueezedOptions,
): Promise<SqueezedPlan> {
  return await SqueezedPlan.create(gpu, options);
}

/** What a plan is made of. */
interface Parts {
  readonly lookup: SqueezedLookup;
  /** Attention over kept keys, of each kv head as a sequence. */
  readonly prefix: AttentionPlan;
  /** Attention over the keys behind the context. */
  readonly rest: AttentionPlan;
  readonly merge: Program;
  /** `[kvHeads, context]`: rows of kept keys. */
  readonly table: GpuTensor;
  readonly counts: GpuTensor;
  /** Which places of the table are in use. */
  readonly mask: DeviceBlockMask;
  /** What attention over kept keys gives: `[queries, queryHeads, valueHeadDim]`. */
  readonly gathered: GpuTensor;
  /** Its log-sum-exp: `[kvHeads, queries, group]`. */
  readonly gatheredLse: GpuTensor;
  /** The other's, where the caller has none. */
  readonly lse: GpuTensor | undefined;
  readonly owned: readonly { destroy(): void }[];
}

async function createParts(
  gpu: Gpu,
  problem: SqueezedProblem,
  choices: PlanChoices | undefined,
): Promise<Parts> {
  const { dtype, queries, queryHeads, valueHeadDim, sizes } = problem;
  const { kvHeads, keys } = sizes;
  const owned: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    owned.push(one);
    return one;
  };
  try {
    const rows = queries * queryHeads;
    const lookup = keep(
      await SqueezedLookup.create(gpu, gatherOf(problem)),
    );
    const table = keep(gpu.empty("u32", [kvHeads, keys], "squeezed.table"));
    const counts = keep(gpu.empty("u32", [kvHeads], "squeezed.counts"));
    const mask = keep(await keyMask(gpu, { batch: kvHeads, keys }));
    const prefix = keep(
      await planAttention(gpu, {
        ...prefixOptions(problem, table, mask),
        ...choices,
      }),
    );
    const rest = keep(
      await planAttention(gpu, { ...restOptions(problem), ...choices }),
    );
    const merge = keep(
      await Program.create(gpu, "squeezed.merge", mergeParts(gpu, problem)),
    );
    const gathered = keep(
      gpu.empty(dtype, [rows, valueHeadDim], "squeezed.gathered"),
    );
    const gatheredLse = keep(gpu.empty("f32", [rows], "squeezed.gathered_lse"));
    const lse = problem.lse
      ? undefined
      : keep(gpu.empty("f32", [rows], "squeezed.lse"));
    return {
      lookup,
      prefix,
      rest,
      merge,
      table,
      counts,
      mask,
      gathered,
      gatheredLse,
      lse,
      owned,
    };
  } catch (error) {
    for (const one of owned) one.destroy();
    throw error;
  }
}

/** The look-up, which lists kept keys. */
function gatherOf(problem: SqueezedProblem): LookupProblem {
  const { sizes: { keys }, blocks } = problem;
  return { ...problem, keys, gather: blocks ?? true };
}

/** Where a token lies in the key tensor. */
function placeOf({ blocks }: SqueezedProblem, token: number): number {
  if (blocks === undefined) return token;
  const { table, size } = blocks;
  return table[Math.floor(token / size)] * size + token % size;
}

/**
 * Attention over kept keys: each kv head is a sequence with the query heads of
 * its group, and its keys are blocks of one row, which its table lists.
 */
function prefixOptions(
  { dtype, queries, queryHeads, headDim, valueHeadDim, sizes, room, ...rest }:
    SqueezedProblem,
  blockTable: GpuTensor,
  blockMask: DeviceBlockMask,
): AttentionOptions<AnyTensor> {
  const { kvHeads, keys } = sizes;
  const group = queryHeads / kvHeads;
  const { scale, softcap } = rest;
  return {
    query: {
      dtype,
      shape: [kvHeads, queries, group, headDim],
      strides: [group * headDim, queryHeads * headDim, headDim],
    },
    key: { dtype, shape: [room * kvHeads, 1, 1, headDim] },
    value: { dtype, shape: [room * kvHeads, 1, 1, valueHeadDim] },
    outputStrides: [
      group * valueHeadDim,
      queryHeads * valueHeadDim,
      valueHeadDim,
    ],
    blockTable,
    keyLengths: new Uint32Array(kvHeads).fill(keys),
    blockMask,
    scale,
    ...(softcap !== undefined && { softcap }),
    returnLse: true,
  };
}

/** Causal attention over the keys behind the context. */
function restOptions(problem: SqueezedProblem): AttentionOptions<AnyTensor> {
  const { dtype, queries, queryHeads, headDim, valueHeadDim } = problem;
  const { sizes: { keys }, keyLength, scale, softcap } = problem;
  return {
    query: { dtype, shape: [1, queries, queryHeads, headDim] },
    key: behind(problem, headDim),
    value: behind(problem, valueHeadDim),
    // Blocks of one token, as the context may end within one.
    ...(problem.blocks && {
      blockTable: Uint32Array.from(
        { length: keyLength - keys },
        (_, i) => placeOf(problem, keys + i),
      ),
    }),
    keyLengths: [keyLength - keys],
    causal: true,
    scale,
    ...(softcap !== undefined && { softcap }),
    returnLse: true,
  };
}

/** Keys or values behind the context, or where they are found. */
function behind(
  { dtype, sizes, room, blocks }: SqueezedProblem,
  dim: number,
): AnyTensor {
  const { kvHeads, keys } = sizes;
  if (blocks) return { dtype, shape: [room, 1, kvHeads, dim] };
  return {
    dtype,
    shape: [1, room - keys, kvHeads, dim],
    strides: [room * kvHeads * dim, kvHeads * dim, dim],
    offset: keys * kvHeads * dim,
  };
}

/** Adds attention over kept keys to that over the rest. */
function mergeParts(
  { limits }: Gpu,
  { dtype, queries, queryHeads, valueHeadDim: dim, sizes }: SqueezedProblem,
) {
  const format = rowFormat(dtype, dim);
  const rows = queries * queryHeads;
  const [x, y, z] = foldGrid(Math.ceil(rows / MERGE_STATES_LANES), limits);
  return {
    dispatches: [{
      source: mergeStatesKernel(format, { byHead: true }),
      uniforms: {
        rows,
        heads: queryHeads,
        group: queryHeads / sizes.kvHeads,
        value_dim: dim,
        value_vecs: Math.ceil(dim / 4),
        value_stride: rowStride(format, dim),
        grid_width: x,
      },
      grid: [x, y * z, 1] as const,
    }],
  };
}
