/**
 * A fixed context of Squeezed Attention: its keys in clusters, made once and
 * looked up by every query after it.
 *
 * @module
 */

import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { Prng } from "../../core/prng.ts";
import { Gpu, type GpuTensor, type ReadOptions } from "../../gpu/mod.ts";
import type { ClusterLevel, SqueezedClusters } from "./clusters.ts";
import type { Directions } from "./fit/kmeans.ts";
import { fitClusters, type FitSizes } from "./fit/levels.ts";
import { growClusters, keysAtOnce } from "./fit/grow.ts";
import {
  type ContextKeys,
  KEY_HINTS,
  KEY_OPTIONS,
  type KeyPlaces,
  keyPlaces,
} from "./fit/key_places.ts";

/** What errors call the policy. */
const POLICY = "squeezed attention";

/**
 * A context's keys, and how they become clusters.
 *
 * @category Policies
 */
export interface SqueezedContextOptions extends ContextKeys, ReadOptions {
  /**
   * Clusters of each head; a twentieth of its keys by default (5 %, as the paper
   * has it).
   */
  readonly clusters?: number | undefined;
  /** Levels of clusters, 1 by default; 2 for clusters of clusters. */
  readonly levels?: 1 | 2 | undefined;
  /**
   * With two levels: clusters of clusters of each head; a hundredth of its keys
   * by default (1 %).
   */
  readonly coarseClusters?: number | undefined;
  /**
   * How many keys at the end stay out of clusters, and are always kept: queries
   * of the context's own by which a threshold is calibrated stand there; 100 by
   * default.
   */
  readonly observationWindow?: number | undefined;
  /** The most iterations of k-means; 300 by default. */
  readonly iterations?: number | undefined;
  /** The seed by which the seeds of clusters are drawn; 0 by default. */
  readonly seed?: number | undefined;
}

/** What a context is made of. */
interface ContextParts {
  readonly gpu: Gpu;
  readonly places: KeyPlaces;
  readonly fine: Level;
  readonly coarse: ClusterLevel | undefined;
  readonly observationWindow: number;
  readonly layer: number | undefined;
  readonly converged: boolean;
}

/** Clusters, and by what new keys get theirs. */
interface Level extends ClusterLevel {
  readonly directions: Directions;
}

/**
 * The keys of a fixed context in clusters, for Squeezed Attention (Hooper et al.
 * 2024): k-means by direction, each head for itself; a centroid is the
 * mean of its keys as they are. It owns what it is made of, and goes where
 * `SqueezedClusters` are taken.
 *
 * Keys are grouped on the device; the same keys and seed give the same bits. Of
 * fewer directions than clusters some clusters stay empty: their count is 0.
 *
 * @example Keys of one head that point four ways
 * ```ts
 * import { openGpu } from "@quire/attention";
 * import { SqueezedContext } from "@quire/attention/policies";
 * import { assertEquals } from "@std/assert";
 *
 * using gpu = await openGpu();
 * const ways = [[1, 0], [0, 1], [-1, 0], [0, -1]];
 * const data = Float32Array.from({ length: 32 }, (_, i) =>
 *   (1 + i) * ways[(i >> 1) % 4][i % 2]);
 * using context = await SqueezedContext.create(gpu, {
 *   key: { data, shape: [16, 1, 2] },
 *   clusters: 4,
 *   observationWindow: 0,
 * });
 * assertEquals([...await gpu.readOne(context.counts)], [4, 4, 4, 4]);
 * ```
 *
 * @category Policies
 */
export class SqueezedContext implements SqueezedClusters, Disposable {
  /** Whose device it is on. */
  readonly gpu: Gpu;
  /** Key heads. */
  readonly kvHeads: number;
  /** Elements of a key. */
  readonly headDim: number;
  /** How many keys at the end are in no cluster. */
  readonly observationWindow: number;
  /** The layer of the cache that it was made of; none, of a tensor. */
  readonly layer: number | undefined;
  /** Whether k-means came to rest before its iterations were over. */
  readonly converged: boolean;
  readonly #fine: Level;
  readonly #coarse: ClusterLevel | undefined;
  #labels: GpuTensor;
  #updating: Promise<unknown> = Promise.resolve();
  #destroyed = false;

  private constructor(
    parts: ContextParts,
  ) {
    const { gpu, places, fine, coarse } = parts;
    this.gpu = gpu;
    this.kvHeads = places.kvHeads;
    this.headDim = places.headDim;
    this.observationWindow = parts.observationWindow;
    this.layer = parts.layer;
    this.converged = parts.converged;
    this.#fine = fine;
    this.#coarse = coarse;
    this.#labels = fine.labels;
  }

  /**
   * Groups the keys of a context. This waits for the device.
   *
   * @throws {TypeError} for wrong types, shapes and combinations, or a tensor
   * that is destroyed or of another `Gpu`
   * @throws {RangeError} if a number is out of range, there are fewer keys than
   * clusters, or nothing but the observation window, or one head's keys exceed
   * what the device can bind
   * @throws {UnsupportedError} for f16 on a device without `shader-f16`, and
   * where an adapter would end the loops over so many keys early
   */
  static async create(
    gpu: Gpu,
    options: SqueezedContextOptions,
  ): Promise<SqueezedContext> {
    checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
    gpu.check();
    checkOptions("SqueezedContext.create()", options, {
      known: [
        ...KEY_OPTIONS,
        "clusters",
        "levels",
        "coarseClusters",
        "observationWindow",
        "iterations",
        "seed",
        "signal",
      ],
      hints: {
        ...KEY_HINTS,
        numClusters: "write clusters",
        k: "write clusters",
        centroids: "write clusters",
        hierarchical: "write levels: 2",
        window: "write observationWindow",
        maxIter: "write iterations",
      },
    });
    const places = keyPlaces(gpu, options, POLICY);
    try {
      const sizes = fitSizes(options, places);
      const { observationWindow = 100 } = options;
      const fitted = await fitClusters(gpu, places, sizes);
      const layer = layerOf(options);
      return new SqueezedContext({
        gpu,
        places,
        observationWindow,
        layer,
        ...fitted,
      });
    } finally {
      places.destroy();
    }
  }

  /** `[kvHeads, clusters, headDim]`, f32: the mean of each cluster's keys. */
  get centroids(): GpuTensor {
    return this.#fine.centroids;
  }

  /** `[kvHeads, clusters]`, u32: keys of each cluster. */
  get counts(): GpuTensor {
    return this.#fine.counts;
  }

  /**
   * `[kvHeads, keys]`, u32: the cluster of each key. Another tensor after each
   * {@linkcode SqueezedContext.update} that took keys; the old one is destroyed.
   */
  get labels(): GpuTensor {
    return this.#labels;
  }

  /** The level above, where there are two. */
  get coarse(): ClusterLevel | undefined {
    return this.#coarse;
  }

  /** Keys that are in clusters: the context's first. */
  get keys(): number {
    return this.#labels.shape[1];
  }

  /** Keys of the context, with those of the observation window. */
  get length(): number {
    return this.keys + this.observationWindow;
  }

  /** Bytes that it holds on the device. */
  get byteLength(): number {
    return this.#tensors().reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /**
   * Takes the keys that a context has more than before, all but its last
   * `observationWindow`: each goes to the cluster whose direction is nearest, of
   * those that k-means has found, and is part of that cluster's mean from then
   * on. Directions stay, so it is the same however many calls the keys come in:
   * labels bit for bit, means but for their rounding. Where keys are far from
   * what was clustered, a context made anew looks up better.
   *
   * Give all keys of the context, or its sequence; those that are in clusters are
   * not read again. Commands that were submitted before see what was before;
   * plans and policies that were made of the context are to be made anew, and
   * refuse to go on.
   *
   * @throws {TypeError} as {@linkcode SqueezedContext.create} does, for keys of
   * other heads or sizes, or if it is destroyed
   * @throws {RangeError} if there are fewer keys than before, or they are of
   * another layer of a cache
   */
  async update(keys: ContextKeys): Promise<void> {
    // One after the other: each begins where the one before has ended.
    const turn = this.#updating.then(() => this.#grow(keys));
    this.#updating = turn.catch(() => {});
    await turn;
  }

  async #grow(keys: ContextKeys): Promise<void> {
    this.#check();
    checkOptions("SqueezedContext.update()", keys, {
      known: KEY_OPTIONS,
      hints: KEY_HINTS,
    });
    const places = keyPlaces(this.gpu, keys, POLICY);
    try {
      const { kvHeads, headDim, length, observationWindow } = this;
      checkType(
        places.kvHeads === kvHeads && places.headDim === headDim,
        "key",
        `of ${POLICY} must have the context's ${kvHeads} heads of ${headDim}`,
        `${places.kvHeads} of ${places.headDim}`,
      );
      const layer = layerOf(keys);
      checkRange(
        layer === undefined || this.layer === undefined || layer === this.layer,
        "layer",
        `of ${POLICY} must be the context's (${this.layer})`,
        layer,
      );
      checkRange(
        places.keys >= length,
        "key",
        `of ${POLICY} must be of all ${length} keys of the context, and more`,
        places.keys,
      );
      const end = places.keys - observationWindow;
      const most = keysAtOnce(this.gpu, kvHeads, headDim);
      while (this.keys < end) {
        const labels = await growClusters(this.gpu, places, {
          first: this.keys,
          end: Math.min(this.keys + most, end),
          labels: this.#labels,
          fine: this.#fine,
          coarse: this.#coarse,
          // It may be destroyed by the time that all is compiled.
          check: () => this.#check(),
        });
        this.#labels.destroy();
        this.#labels = labels;
      }
    } finally {
      places.destroy();
    }
  }

  /** Whether {@linkcode SqueezedContext.destroy} has been called. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** Frees its memory; further calls do nothing. */
  destroy(): void {
    this.#destroyed = true;
    for (const tensor of this.#tensors()) tensor.destroy();
  }

  /** The same as {@linkcode SqueezedContext.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  #tensors(): GpuTensor[] {
    const { centroids, counts, directions } = this.#fine;
    const above = this.#coarse;
    return [
      centroids,
      counts,
      this.#labels,
      directions.centroids,
      directions.halves,
      ...(above ? [above.centroids, above.counts, above.labels] : []),
    ];
  }

  #check(): void {
    this.gpu.check();
    checkType(
      !this.#destroyed,
      "context",
      `of ${POLICY} must not be destroyed`,
      "destroyed",
    );
  }
}

/** The layer that keys are of, where they say so. */
function layerOf({ cache, layer = 0 }: ContextKeys): number | undefined {
  return cache === undefined ? undefined : layer;
}

function fitSizes(
  options: SqueezedContextOptions,
  { keys, kvHeads }: KeyPlaces,
): FitSizes {
  const { observationWindow = 100, levels = 1, iterations = 300, seed = 0 } =
    options;
  checkInteger("observationWindow", observationWindow, 0);
  checkRange(
    keys > observationWindow,
    "observationWindow",
    `of ${POLICY} must be less than the context's ${keys} keys, so that some are left to be in clusters`,
    observationWindow,
  );
  const members = keys - observationWindow;
  const share = (part: number) => Math.max(1, Math.round(part * members));
  const { clusters = share(0.05) } = options;
  checkInteger("clusters", clusters, 1);
  checkRange(
    clusters <= members,
    "clusters",
    `of ${POLICY} must be <= ${members}, the keys before the observation window`,
    clusters,
  );
  checkType(
    levels === 1 || levels === 2,
    "levels",
    `of ${POLICY} must be 1 or 2`,
    levels,
  );
  checkType(
    levels === 2 || options.coarseClusters === undefined,
    "coarseClusters",
    `of ${POLICY} must be given with levels: 2 only`,
    options.coarseClusters,
  );
  const coarse = levels === 1
    ? 0
    : options.coarseClusters ?? Math.min(share(0.01), clusters);
  checkInteger("coarseClusters", coarse, levels === 1 ? 0 : 1);
  checkRange(
    coarse <= clusters,
    "coarseClusters",
    `of ${POLICY} must be <= clusters (${clusters}), which they are made of`,
    coarse,
  );
  checkInteger("iterations", iterations, 1);
  checkInteger("seed", seed, 0, 2 ** 32 - 1);
  const { signal } = options;
  const random = new Prng(seed);
  // Head by head, whichever are grouped together: of 24 bits, which f32 has.
  const draws = (count: number) =>
    Float32Array.from(
      { length: kvHeads * count },
      () => (random.u32() >>> 8) / 2 ** 24,
    );
  return {
    members,
    clusters,
    coarse,
    iterations,
    draws: { fine: draws(clusters), coarse: draws(coarse) },
    ...(signal && { signal }),
  };
}
