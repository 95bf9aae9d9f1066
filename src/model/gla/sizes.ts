/**
 * The sizes of a layer of Gated Linear Attention, and of its weights.
 *
 * @module
 */

import { checkFinite, checkInteger, checkRange } from "../../core/check.ts";

/**
 * What a layer of Gated Linear Attention is like.
 *
 * @category Layers
 */
export interface GlaConfig {
  /** Elements of a token. */
  readonly hidden: number;
  /** Heads; each has a state. */
  readonly heads: number;
  /** Query and key elements of all heads, by `hidden`; 0.5 by default. */
  readonly expandKey?: number | undefined;
  /** Value elements of all heads, by `hidden`; 1 by default. */
  readonly expandValue?: number | undefined;
  /** The rank of the projection that gives gates; 16 by default. */
  readonly gateRank?: number | undefined;
  /** What log gates are divided by; 16 by default. */
  readonly normalizer?: number | undefined;
  /** Of the norm; 1e-5 by default. */
  readonly eps?: number | undefined;
}

/** A config with all that follows from it. */
export interface GlaSizes {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly valueHeadDim: number;
  readonly gateRank: number;
  readonly normalizer: number;
  readonly eps: number;
}

/**
 * The weights of a layer, or their gradients; a projection has a row for each
 * of its outputs. With `keys = heads * headDim` and `values = heads *
 * valueHeadDim`:
 *
 * @category Layers
 */
export interface GlaWeights<T> {
  /** `[keys, hidden]`. */
  readonly query: T;
  /** `[keys, hidden]`. */
  readonly key: T;
  /** `[values, hidden]`. */
  readonly value: T;
  /** `[gateRank, hidden]`. */
  readonly gateDown: T;
  /** `[keys, gateRank]`. */
  readonly gateUp: T;
  /** `[keys]`. */
  readonly gateBias: T;
  /** `[values, hidden]`. */
  readonly outputGate: T;
  /** `[valueHeadDim]`, one for all heads. */
  readonly norm: T;
  /** `[hidden, values]`. */
  readonly output: T;
}

/** The sizes of a config, checked. */
export function glaSizes(config: GlaConfig): GlaSizes {
  const { hidden, heads, expandKey = 0.5, expandValue = 1 } = config;
  const { gateRank = 16, normalizer = 16, eps = 1e-5 } = config;
  checkInteger("hidden", hidden, 1, 2 ** 20);
  checkInteger("heads", heads, 1, 2 ** 16);
  checkInteger("gateRank", gateRank, 1, 2 ** 16);
  const dimOf = (name: string, expand: number) => {
    checkFinite(name, expand);
    const dim = expand * hidden / heads;
    checkRange(
      Number.isInteger(dim) && dim >= 1 && dim <= 256,
      name,
      `must make a head dim, ${name} * hidden (${hidden}) / heads (${heads}), that is an integer in 1..256`,
      expand,
    );
    return dim;
  };
  return {
    hidden,
    heads,
    headDim: dimOf("expandKey", expandKey),
    valueHeadDim: dimOf("expandValue", expandValue),
    gateRank,
    normalizer,
    eps,
  };
}

/**
 * The shape of each weight of a layer.
 *
 * @throws {TypeError} if a size is not a number
 * @throws {RangeError} if head dims are not integers in 1..256
 *
 * @example A layer of 4 heads
 * ```ts
 * import { glaWeightShapes } from "@quire/attention/model";
 *
 * const shapes = glaWeightShapes({ hidden: 64, heads: 4 });
 * console.log(shapes.query, shapes.norm); // [32, 64] [16]
 * ```
 *
 * @category Layers
 */
export function glaWeightShapes(
  config: GlaConfig,
): GlaWeights<readonly number[]> {
  const { hidden, heads, headDim, valueHeadDim, gateRank } = glaSizes(config);
  const [keys, values] = [heads * headDim, heads * valueHeadDim];
  return {
    query: [keys, hidden],
    key: [keys, hidden],
    value: [values, hidden],
    gateDown: [gateRank, hidden],
    gateUp: [keys, gateRank],
    gateBias: [keys],
    outputGate: [values, hidden],
    norm: [valueHeadDim],
    output: [hidden, values],
  };
}
