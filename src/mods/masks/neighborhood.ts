/**
 * Neighbourhoods in one, two or three dimensions.
 *
 * @module
 */

import { checkBoolean, checkInteger, checkRange } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";
import { type Bool, type Int, int } from "../expression.ts";
import { type MaskMod, maskMod } from "../trace.ts";
import { checkCanvas, coordinates, sizesOf, tokensOf } from "./canvas.ts";

/**
 * A canvas, and the window of {@linkcode neighborhood}.
 *
 * @category Masks and scores
 */
export interface NeighborhoodOptions {
  /** The canvas's sizes, slowest first: `[length]`, `[height, width]`, ... */
  readonly canvas: readonly number[];
  /** Tokens of the window along each dimension, or one number for all. */
  readonly kernel: number | readonly number[];
  /** Queries that share a window along each dimension; 1 by default. */
  readonly stride?: number | readonly number[];
  /** Only each so-manieth token counts, along each dimension; 1 by default. */
  readonly dilation?: number | readonly number[];
  /** Dimensions along which nothing after the query is seen; none by default. */
  readonly causal?: boolean | readonly boolean[];
  /**
   * The row-major index of the token at each position, as `tileOrder()` and
   * `mortonOrder()` make it; row by row by default.
   */
  readonly order?: Int32Array | undefined;
}

/** One dimension of a window. */
interface Window {
  readonly extent: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  readonly causal: boolean;
}

const KNOWN = ["canvas", "kernel", "stride", "dilation", "causal", "order"];

/**
 * Neighbourhood attention (NATTEN; Hassani et al. 2023, and 2025 for strides):
 * every query sees a window of `kernel` tokens along each dimension of a
 * canvas, and the windows of all dimensions together.
 *
 * Along one dimension of `n` tokens, with `i` the query's and `j` the key's
 * coordinate: the window is `start <= j < start + kernel`. It is centred on the
 * query, one token longer before it where `kernel` is even, and at the edges it
 * is moved inwards, not cut: `start = clamp(i - floor(kernel / 2), 0, n -
 * kernel)`, so every query sees as many keys. Along a causal dimension it ends
 * at the query and is cut: `max(i - kernel + 1, 0) <= j <= i`.
 *
 * A `stride` gives the queries of each group of so many one window, that of the
 * group's middle token (causal: of its last; of the canvas's last where that
 * lies outside). A `dilation` splits the dimension into as many interleaved
 * canvases, by the remainder of the coordinate; each has windows of its own.
 *
 * Positions outside the canvas see nothing and are not seen, so that `or()` can
 * add what other tokens see.
 *
 * @throws {TypeError} If an option has another type or number of dimensions, or
 * `order` is not an `Int32Array` of all tokens.
 * @throws {RangeError} If a size is not an integer >= 1, `kernel * dilation`
 * exceeds the canvas, `stride` exceeds `kernel`, or `order` repeats a token.
 *
 * @example Three tokens of a row of six: windows move inwards at the edges
 * ```ts
 * import { drawMask, neighborhood } from "@quire/attention/mods";
 *
 * const mask = neighborhood({ canvas: [6], kernel: 3 });
 * const pairs = { keys: 6, tileQueries: 1, tileKeys: 1 };
 * console.log(drawMask(mask, pairs).text);
 * // ███···
 * // ███···
 * // ·███··
 * // ··███·
 * // ···███
 * // ···███
 * ```
 *
 * @example An image of 3 by 4, windows of 3 by 3
 * ```ts
 * import { drawMask, neighborhood } from "@quire/attention/mods";
 *
 * const mask = neighborhood({ canvas: [3, 4], kernel: 3 });
 * const pairs = { queries: 4, keys: 12, queryOffset: 0 };
 * const picture = drawMask(mask, { ...pairs, tileQueries: 1, tileKeys: 1 });
 * console.log(picture.text);
 * // ███·███·███·
 * // ███·███·███·
 * // ·███·███·███
 * // ·███·███·███
 * ```
 *
 * @category Masks and scores
 */
export function neighborhood(options: NeighborhoodOptions): MaskMod {
  checkOptions("neighborhood()", options, {
    known: KNOWN,
    hints: {
      kernelSize: "write kernel",
      isCausal: "write causal",
      window: "write kernel",
    },
  });
  const { canvas, order } = options;
  checkCanvas("canvas", canvas);
  const windows = windowsOf(options);
  const coordinatesOf = coordinates(canvas, order);
  const tokens = tokensOf(canvas);
  return maskMod("neighborhood", ({ query, key }) => {
    const keys = coordinatesOf(key);
    const seen = coordinatesOf(query).map((at, axis) =>
      inWindow(windows[axis], at, keys[axis])
    );
    const inside = query.ge(0).and(query.lt(tokens)).and(key.lt(tokens));
    return seen.reduce((all, one) => all.and(one), inside);
  });
}

function windowsOf(options: NeighborhoodOptions): readonly Window[] {
  const { canvas, stride = 1, dilation = 1, causal = false } = options;
  const kernels = sizesOf("kernel", canvas, options.kernel);
  const strides = sizesOf("stride", canvas, stride);
  const dilations = sizesOf("dilation", canvas, dilation);
  const causals = sizesOf<boolean>("causal", canvas, causal);
  return canvas.map((extent, i) => {
    checkBoolean(`causal[${i}]`, causals[i]);
    checkInteger(`dilation[${i}]`, dilations[i], 1, extent);
    checkInteger(`kernel[${i}]`, kernels[i], 1, extent);
    checkRange(
      kernels[i] * dilations[i] <= extent,
      `kernel[${i}]`,
      `times dilation[${i}] (${
        dilations[i]
      }) must be <= canvas[${i}] (${extent})`,
      kernels[i],
    );
    checkInteger(`stride[${i}]`, strides[i], 1, kernels[i]);
    return {
      extent,
      kernel: kernels[i],
      stride: strides[i],
      dilation: dilations[i],
      causal: causals[i],
    };
  });
}

/** Whether a key's coordinate is in the window of a query's. */
function inWindow(window: Window, query: Int, key: Int): Bool {
  const { extent, dilation } = window;
  if (dilation === 1) return inDense(window, query, key, int(extent));
  const step = int(dilation);
  const group = query.rem(step);
  // Tokens of the query's group.
  const size = int(extent - 1).sub(group).div(step).add(1);
  const dense = inDense(window, query.div(step), key.div(step), size);
  return group.eq(key.rem(step)).and(dense);
}

/** The same for neighbours that lie together, of `size` tokens. */
function inDense(
  { kernel, stride, causal }: Window,
  query: Int,
  key: Int,
  size: Int,
): Bool {
  const last = causal ? stride - 1 : Math.floor(stride / 2);
  const leader = stride === 1
    ? query
    : query.div(stride).mul(stride).add(last).min(size.sub(1));
  if (causal) {
    return key.ge(leader.sub(kernel - 1)).and(key.le(query));
  }
  const start = leader.sub(Math.floor(kernel / 2)).max(0).min(size.sub(kernel));
  return key.ge(start).and(key.lt(start.add(kernel)));
}
