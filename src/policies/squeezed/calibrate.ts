/**
 * The threshold at which a wanted part of all keys is dropped, over all layers
 * and heads of a model at once.
 *
 * @module
 */

import { bitWords } from "../../../kernels/fragments/selection.ts";
import { checkFinite, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { uploadHost } from "../../gpu/host_tensor.ts";
import {
  Gpu,
  type GpuTensor,
  type HostBits,
  type HostTensor,
  type ReadOptions,
} from "../../gpu/mod.ts";
import { describeTensor } from "../../ops/tensors.ts";
import {
  type ClusterLevel,
  type ClusterSizes,
  clusterSizes,
  type SqueezedClusters,
} from "./clusters.ts";
import { checkScale } from "./options.ts";
import { SqueezedLookup } from "./squeezed_lookup.ts";
import { quantileOf, type ScoredKeys } from "./quantile.ts";

/**
 * A layer's context, and queries by which it is looked up.
 *
 * @category Policies
 */
export interface CalibratedContext {
  /** The context's clusters. */
  readonly clusters: SqueezedClusters;
  /**
   * `[queries, queryHeads, headDim]` or `[1, queries, queryHeads, headDim]`, f32
   * or f16, rotated: those of the context's own last tokens, which stand in its
   * observation window (100 of them in the paper).
   */
  readonly query: GpuTensor | HostTensor | HostBits;
}

/**
 * What thresholds are calibrated to.
 *
 * @category Policies
 */
export interface CalibrationOptions extends ReadOptions {
  /** One of each layer that is to have the threshold. */
  readonly contexts: readonly CalibratedContext[];
  /** The part of the keys in clusters that is to be dropped, from 0 on, below 1. */
  readonly sparsity: number;
  /**
   * With two levels: the part that the level above is to drop by itself; half of
   * `sparsity` by default.
   */
  readonly coarseSparsity?: number | undefined;
  /** Factor of the dot products; `1 / sqrt(headDim)` by default. */
  readonly scale?: number | undefined;
}

/**
 * Thresholds, and what they drop.
 *
 * @category Policies
 */
export interface Calibration {
  /** A key is kept where its cluster's mean score is above it. */
  readonly threshold: number;
  /** The same of the level above; left out where there is one level. */
  readonly coarseThreshold?: number;
  /** The part of the keys in clusters that these queries drop by them. */
  readonly dropped: number;
}

/** What errors call it. */
const OWNER = "calibrateSqueezed()";

/**
 * Calibrates the thresholds of Squeezed Attention (Hooper et al. 2024): the
 * quantile, over the keys of all contexts and heads together, of the mean score
 * that the queries given here give to the cluster of a key. So heads whose
 * attention is spread keep more keys than those that look at few.
 *
 * It is the least threshold by which these queries drop at least the part that
 * is wanted. Keys of a cluster go together, so the part that they do drop may be
 * more: it is in the result. Of two levels the one above is calibrated by itself,
 * then the one below with that in place. This waits for the device.
 *
 * @throws {TypeError} for wrong types and shapes, clusters or queries of other
 * heads or sizes, or contexts of one level together with such of two
 * @throws {RangeError} if there is no context or query, or a number is out of
 * range
 * @throws {UnsupportedError} for f16 on a device without `shader-f16`, and
 * where an adapter would end the loops over so many clusters or queries early
 *
 * @example A threshold that drops half of the keys
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { calibrateSqueezed, SqueezedContext } from "@quire/attention/policies";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const key = {
 *   data: Float32Array.from({ length: 16 }, (_, i) => i % 4 === 0 ? 1 : i % 4 === 3 ? 2 : 0),
 *   shape: [8, 1, 2],
 * };
 * using clusters = await SqueezedContext.create(gpu, {
 *   key,
 *   clusters: 2,
 *   observationWindow: 0,
 * });
 * const query = { data: Float32Array.of(0, 3), shape: [1, 1, 2] };
 * const { dropped } = await calibrateSqueezed(gpu, {
 *   contexts: [{ clusters, query }],
 *   sparsity: 0.5,
 * });
 * assertEquals(dropped, 0.5);
 * ```
 *
 * @category Policies
 */
export async function calibrateSqueezed(
  gpu: Gpu,
  options: CalibrationOptions,
): Promise<Calibration> {
  checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
  gpu.check();
  const layers = checkedLayers(gpu, options);
  const { sparsity, signal } = options;
  const { coarseSparsity = sparsity / 2 } = options;
  const read = signal ? { signal } : {};
  if (layers[0].sizes.coarse === 0) {
    const found = quantileOf(
      await meansOf(gpu, layers, { level: "fine", read }),
      sparsity,
    );
    return { threshold: found.quantile, dropped: found.below };
  }
  const { quantile: coarseThreshold } = quantileOf(
    await meansOf(gpu, layers, { level: "coarse", read }),
    coarseSparsity,
  );
  const { quantile, below } = quantileOf(
    await meansOf(gpu, layers, { level: "fine", coarseThreshold, read }),
    sparsity,
  );
  return { threshold: quantile, coarseThreshold, dropped: below };
}

/** A context whose sizes are known. */
interface Layer extends CalibratedContext {
  readonly name: string;
  readonly sizes: ClusterSizes;
  readonly dtype: "f32" | "f16";
  readonly queries: number;
  readonly queryHeads: number;
  readonly scale: number;
}

/** The mean scores of a level's clusters, and how many keys have each. */
async function meansOf(
  gpu: Gpu,
  layers: readonly Layer[],
  { level, coarseThreshold = 0, read }: {
    readonly level: "fine" | "coarse";
    readonly coarseThreshold?: number;
    readonly read: ReadOptions;
  },
): Promise<ScoredKeys[]> {
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(one: T): T => {
    made.push(one);
    return one;
  };
  try {
    const wanted: GpuTensor[] = [];
    const recorded: ((encoder: GPUCommandEncoder) => void)[] = [];
    for (const layer of layers) {
      const { clusters, sizes, queries, queryHeads, dtype, scale } = layer;
      const lookup = keep(
        await SqueezedLookup.create(gpu, {
          dtype,
          queries,
          queryHeads,
          sizes,
          scale,
          threshold: 0,
          coarseThreshold,
          keys: sizes.keys,
          gather: false,
        }),
      );
      const words = bitWords(sizes.keys);
      const bits = keep(gpu.empty("u32", [sizes.kvHeads, words], "bits"));
      const query = uploadHost(gpu, layer.query, {
        name: layer.name,
        label: "squeezed.query",
      });
      if (query.made) keep(query.tensor);
      recorded.push((encoder) =>
        lookup.encode(encoder, { query: query.tensor, clusters, bits })
      );
      const { counts } = of(clusters, level);
      wanted.push(
        level === "fine" ? lookup.means : lookup.coarseMeans!,
        counts,
      );
    }
    gpu.submit("squeezed.calibrate", (encoder) => {
      for (const record of recorded) record(encoder);
    });
    const arrays = await gpu.read(wanted, read);
    return layers.map((_, i) => ({
      scores: arrays[2 * i] as Float32Array,
      counts: arrays[2 * i + 1] as Uint32Array,
    }));
  } finally {
    for (const one of made) one.destroy();
  }
}

function of(
  clusters: SqueezedClusters,
  level: "fine" | "coarse",
): ClusterLevel {
  return level === "fine" ? clusters : clusters.coarse!;
}

function checkedLayers(gpu: Gpu, options: CalibrationOptions): Layer[] {
  checkOptions(OWNER, options, {
    known: ["contexts", "sparsity", "coarseSparsity", "scale", "signal"],
    hints: {
      clusters: "write contexts: [{ clusters, query }]",
      context: "write contexts: [{ clusters, query }]",
      query: "write contexts: [{ clusters, query }]",
      percentile: "write sparsity",
      quantile: "write sparsity",
      threshold: "it is what comes out; write sparsity",
    },
  });
  const { contexts, sparsity, coarseSparsity, scale } = options;
  checkType(
    Array.isArray(contexts),
    "contexts",
    `of ${OWNER} must be an array`,
    contexts,
  );
  checkRange(
    contexts.length > 0,
    "contexts",
    `of ${OWNER} must have one at least`,
    contexts,
  );
  checkPart("sparsity", sparsity);
  if (scale !== undefined) checkScale(scale);
  const layers = contexts.map((context, i) => layerOf(gpu, context, i, scale));
  const levels = layers.map(({ sizes }) => sizes.coarse > 0 ? 2 : 1);
  const mixed = levels.findIndex((level) => level !== levels[0]);
  checkType(
    mixed < 0,
    `contexts[${mixed}].clusters`,
    `of ${OWNER} must have as many levels as those of contexts[0] (${
      levels[0]
    })`,
    levels[mixed],
  );
  if (coarseSparsity === undefined) return layers;
  checkType(
    levels[0] === 2,
    "coarseSparsity",
    `of ${OWNER} must be given with clusters of two levels only`,
    coarseSparsity,
  );
  checkPart("coarseSparsity", coarseSparsity);
  checkRange(
    coarseSparsity <= sparsity,
    "coarseSparsity",
    `of ${OWNER} must be <= sparsity (${sparsity}), as what it drops stays dropped`,
    coarseSparsity,
  );
  return layers;
}

function layerOf(
  gpu: Gpu,
  context: CalibratedContext,
  index: number,
  given: number | undefined,
): Layer {
  const at = `contexts[${index}]`;
  checkType(
    typeof context === "object" && context !== null,
    at,
    `of ${OWNER} must be { clusters, query }`,
    context,
  );
  const { clusters, query } = context;
  const sizes = clusterSizes(gpu, clusters, `${at}.clusters`);
  const name = `${at}.query`;
  const { dtype, shape } = describeTensor(name, query);
  checkType(
    shape.length === 3 || (shape.length === 4 && shape[0] === 1),
    `${name}.shape`,
    "must be [queries, queryHeads, headDim], or the same after a 1",
    shape,
  );
  const [queries, queryHeads, headDim] = shape.slice(-3);
  checkType(
    headDim === sizes.headDim && queryHeads > 0 &&
      queryHeads % sizes.kvHeads === 0,
    `${name}.shape`,
    `must be [queries, a multiple of ${sizes.kvHeads} heads, ${sizes.headDim}], as ${at}.clusters has it`,
    shape,
  );
  checkRange(queries > 0, `${name}.shape`, "must have a query", shape);
  const scale = given ?? 1 / Math.sqrt(headDim);
  return { clusters, query, name, sizes, dtype, queries, queryHeads, scale };
}

function checkPart(name: string, part: number): void {
  checkFinite(name, part);
  checkRange(
    part >= 0 && part < 1,
    name,
    `of ${OWNER} must be >= 0 and < 1`,
    part,
  );
}
