/**
 * BASED's hybrid of layers.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

/**
 * A layer that mixes tokens: linear attention with the Taylor feature map and
 * its normaliser, softmax attention of a causal window, or a short convolution.
 *
 * @category Models
 */
export type BasedLayer =
  | {
    readonly kind: "linear";
    readonly featureMap: "taylor";
    /** f: elements of a query or key row. */
    readonly headDim: number;
  }
  | {
    readonly kind: "window";
    /** Keys that a query sees, itself among them. */
    readonly window: number;
  }
  | {
    readonly kind: "convolution";
    /** Taps. */
    readonly kernelSize: number;
  };

/**
 * What {@linkcode basedLayers} takes.
 *
 * @category Models
 */
export interface BasedLayersOptions {
  /** Layers; default 27. */
  readonly layers?: number;
  /** Which are linear attention; default 1, 6, 11, 16 and 21. */
  readonly linear?: readonly number[];
  /** Which are windows; default 2, 7, 12, 17 and 22. */
  readonly windows?: readonly number[];
  /** f of the linear layers; default 16. */
  readonly headDim?: number;
  /** Keys of a window; default 64. */
  readonly window?: number;
  /** Taps of the other layers' convolutions; default 3. */
  readonly kernelSize?: number;
}

const LINEAR: readonly number[] = [1, 6, 11, 16, 21];
const WINDOWS: readonly number[] = [2, 7, 12, 17, 22];

/**
 * The layers of BASED's 360M and 1.3B models (Arora et al. 2024): 27, of which
 * five are linear attention, each with a window after it, and the others short
 * convolutions. The text has windows of 64 keys, the authors' configurations
 * 256: say which.
 *
 * @throws {TypeError} for an unknown option, or one of another type
 * @throws {RangeError} for a layer that there is not, or is both, or a size
 * that is no integer >= 1
 *
 * @example How many of each
 * ```ts
 * import { basedLayers } from "@quire/attention/model";
 *
 * const layers = basedLayers({ window: 256 });
 * console.log(layers.filter(({ kind }) => kind === "linear").length); // 5
 * console.log(layers[2]); // { kind: "window", window: 256 }
 * ```
 *
 * @category Models
 */
export function basedLayers(
  options: BasedLayersOptions = {},
): BasedLayer[] {
  checkOptions("basedLayers()", options, {
    known: [
      "layers",
      "linear",
      "windows",
      "headDim",
      "window",
      "kernelSize",
    ],
    hints: { featureDim: "write headDim", slidingWindow: "write window" },
  });
  const { layers = 27, linear = LINEAR, windows = WINDOWS } = options;
  const { headDim = 16, window = 64, kernelSize = 3 } = options;
  checkInteger("layers", layers, 1);
  checkInteger("headDim", headDim, 1);
  checkInteger("window", window, 1);
  checkInteger("kernelSize", kernelSize, 1);
  checkLayers("linear", linear, layers);
  checkLayers("windows", windows, layers);
  for (const at of linear) {
    if (windows.includes(at)) {
      throw new RangeError(
        `windows must not have a layer that linear has: current value is ${at}`,
      );
    }
  }
  return Array.from({ length: layers }, (_, at): BasedLayer => {
    if (linear.includes(at)) {
      return { kind: "linear", featureMap: "taylor", headDim };
    }
    if (windows.includes(at)) return { kind: "window", window };
    return { kind: "convolution", kernelSize };
  });
}

function checkLayers(
  name: string,
  list: readonly number[],
  layers: number,
): void {
  checkType(Array.isArray(list), name, "must be an array of layers", list);
  list.forEach((at, i) => checkInteger(`${name}[${i}]`, at, 0, layers - 1));
}
