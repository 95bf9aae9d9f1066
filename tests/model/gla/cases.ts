/**
 * Layers of Gated Linear Attention with random weights, for tests.
 *
 * @module
 */

import type { GlaLayerProblem } from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import type { HostTensor } from "../../../src/gpu/mod.ts";
import {
  type GlaConfig,
  type GlaWeights,
  glaWeightShapes,
} from "../../../src/model/mod.ts";
import { glaSizes } from "../../../src/model/gla/sizes.ts";
import { stored } from "../../support/layer_runner.ts";

/** A layer that tests share, so that few kernels are compiled. */
export const SMALL: GlaConfig = {
  hidden: 16,
  heads: 2,
  gateRank: 4,
  normalizer: 4,
};

/** A layer's inputs on the host. */
export interface GlaCase {
  readonly config: GlaConfig;
  readonly input: HostTensor;
  readonly weights: GlaWeights<HostTensor>;
  readonly initialState: HostTensor;
  /** Of the output. */
  readonly outputGradient: HostTensor;
  /** Of the last states. */
  readonly stateGradient: HostTensor;
  readonly cuSeqlens?: readonly number[];
}

/** A random layer over sequences of some lengths; dense where all are alike. */
export function glaCase(
  lengths: readonly number[],
  { dtype = "f32", seed = 1, ragged = false }: {
    readonly dtype?: DType;
    readonly seed?: number;
    readonly ragged?: boolean;
  } = {},
): GlaCase {
  const random = new Prng(seed);
  const config = SMALL;
  const { hidden, heads, headDim, valueHeadDim } = glaSizes(config);
  const of = (shape: readonly number[], type: DType, scale = 1) =>
    stored(shape, { dtype: type, random, scale });
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const shape = ragged
    ? [tokens, hidden]
    : [lengths.length, lengths[0], hidden];
  const states = [lengths.length, heads, headDim, valueHeadDim];
  const shapes = Object.entries(glaWeightShapes(config));
  return {
    config,
    input: of(shape, dtype),
    weights: Object.fromEntries(
      shapes.map(([name, shape]) => {
        const scale = shape.length === 1 ? 1 : 1.5 / Math.sqrt(shape[1]);
        return [name, of(shape, "f32", scale)];
      }),
    ) as unknown as GlaWeights<HostTensor>,
    initialState: of(states, "f32"),
    outputGradient: of(shape, dtype),
    stateGradient: of(states, "f32"),
    ...(ragged && {
      cuSeqlens: lengths.reduce(
        (all, length) => [...all, all.at(-1)! + length],
        [0],
      ),
    }),
  };
}

/** The same as the reference has it. */
export function problemOf(
  { config, input, weights, initialState, cuSeqlens }: GlaCase,
): GlaLayerProblem {
  const { hidden, heads, headDim, valueHeadDim, gateRank, normalizer } =
    glaSizes(config);
  const own = Object.entries(weights).map(([name, { data }]) => [name, data]);
  return {
    input: input.data,
    weights: Object.fromEntries(own),
    hidden,
    heads,
    headDim,
    valueHeadDim,
    rank: gateRank,
    normalizer,
    initialState: initialState.data,
    ...(cuSeqlens
      ? { cuSeqlens }
      : { batch: input.shape[0], sequence: input.shape[1] }),
  };
}
