/**
 * How large a cache of states is: its options, checked, and what follows from
 * them.
 *
 * @module
 */

import { DEFAULT_BLOCK_SIZE } from "../../cache/block/block_pool.ts";
import { checkInteger, checkRange, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import type { Gpu } from "../../gpu/mod.ts";
import type { BlockShape } from "../copier.ts";
import { arenaLimit } from "../sizes.ts";

/**
 * How large a `StateCache` is, and what it holds.
 *
 * @category Cache
 */
export interface StateCacheOptions {
  /** Slots a layer, the null state's included. */
  readonly numStates: number;
  /** Tokens of a block of the keys beside it; 16 by default. */
  readonly blockSize?: number;
  /** Layers, all with the same shape and slots; 1 by default. */
  readonly layers?: number;
  /** Heads of a state: `valueHeads` of a linear attention. */
  readonly stateHeads: number;
  /**
   * Rows of a head's state: elements of a key row, or of its features
   * (`featureDim()` of `/planning`).
   */
  readonly headDim: number;
  /**
   * Columns of a head's state: elements of a value row, and one more of a linear
   * attention that normalizes; `headDim` by default.
   */
  readonly valueHeadDim?: number;
  /**
   * What else a layer keeps of a sequence, each by its name with the shape of
   * one, in f32: the last rows that a short convolution sees, say.
   */
  readonly extras?: Readonly<Record<string, readonly number[]>>;
}

/** The sizes that follow from options and a device's limits. */
export interface StateSizes {
  readonly numStates: number;
  readonly blockSize: number;
  readonly layers: number;
  /** The shape of one state, and of each extra, by their names. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
}

/** The name of the states themselves among a layer's tensors. */
export const STATE = "state";

const KNOWN = [
  "numStates",
  "blockSize",
  "layers",
  "stateHeads",
  "headDim",
  "valueHeadDim",
  "extras",
];

const HINTS = {
  numBlocks: "write numStates",
  slots: "write numStates",
  numLayers: "write layers",
  heads: "write stateHeads",
  numHeads: "write stateHeads",
  valueHeads: "write stateHeads",
};

/** Elements of one tensor of a state. */
export function elementsOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

/** One tensor of a state as a block: of one token, with a key and no value. */
export function blockOf(shape: readonly number[]): BlockShape {
  return {
    blockSize: 1,
    kvHeads: 1,
    headDim: elementsOf(shape),
    valueHeadDim: 0,
    dtype: "f32",
  };
}

/**
 * Checks options and works out the sizes.
 *
 * @throws {TypeError} if an option has the wrong type
 * @throws {RangeError} if one is out of range, or all slots of a layer are more
 * than the device can bind
 */
export function stateSizes(gpu: Gpu, options: StateCacheOptions): StateSizes {
  checkOptions("a state cache", options, { known: KNOWN, hints: HINTS });
  const { numStates, blockSize = DEFAULT_BLOCK_SIZE, layers = 1 } = options;
  const { stateHeads, headDim, valueHeadDim = headDim, extras = {} } = options;
  checkInteger("numStates", numStates, 2, 2 ** 31 - 1);
  checkInteger("blockSize", blockSize, 1);
  checkInteger("layers", layers, 1);
  checkInteger("stateHeads", stateHeads, 1);
  checkInteger("headDim", headDim, 1);
  checkInteger("valueHeadDim", valueHeadDim, 1);
  checkType(
    typeof extras === "object" && extras !== null,
    "extras",
    "must be an object",
    extras,
  );
  const shapes = new Map<string, readonly number[]>([
    [STATE, [stateHeads, headDim, valueHeadDim]],
  ]);
  for (const [name, shape] of Object.entries(extras)) {
    checkType(
      name !== STATE,
      `extras.${name}`,
      "must not be called as the states themselves",
      shape,
    );
    checkType(
      Array.isArray(shape) && shape.length > 0,
      `extras.${name}`,
      "must be an array of lengths",
      shape,
    );
    shape.forEach((length, i) =>
      checkInteger(`extras.${name}[${i}]`, length, 1)
    );
    shapes.set(name, [...shape]);
  }
  const limit = arenaLimit(gpu);
  for (const [name, shape] of shapes) {
    const most = Math.floor(limit / (4 * elementsOf(shape)));
    checkRange(
      numStates <= most,
      "numStates",
      `must be <= ${most}, as a layer's "${name}" of all slots is one binding`,
      numStates,
    );
  }
  return { numStates, blockSize, layers, shapes };
}
