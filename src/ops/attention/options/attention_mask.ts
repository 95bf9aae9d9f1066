/**
 * `attnMask`: one mask of booleans or of floats, as mods.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import { GpuTensor } from "../../../gpu/mod.ts";
import {
  type Float,
  type MaskMod,
  maskMod,
  type ScoreMod,
  scoreMod,
} from "../../../mods/mod.ts";
import { floatsOf, isFloat16 } from "../../../mods/captures/floats.ts";
import {
  queryKeyData,
  type QueryKeyElement,
  queryKeyTensor,
} from "../../../mods/captures/query_key_data.ts";

/**
 * A mask on the host, of any rank from 1 to 4.
 *
 * @category Attention
 */
export interface HostMask {
  /**
   * Booleans (bytes: nonzero) say that the query sees the key. Floats are added
   * to the score; -Infinity hides the key. A `Uint16Array` holds floats of 16
   * bits, whose `dtype` is given.
   */
  readonly data:
    | Uint8Array
    | readonly boolean[]
    | Float32Array
    | Float16Array
    | Uint16Array;
  /**
   * Lengths of the dimensions, outermost first; broadcast to
   * `[batch, queryHeads, queries, keys]` as NumPy has it.
   */
  readonly shape: readonly number[];
  /** With a `Uint16Array`: what its bits mean. */
  readonly dtype?: "bf16" | "f16";
}

/** What a mask comes to. */
export interface MaskParts {
  /** What it hides. */
  readonly maskMods: readonly MaskMod[];
  /** What it adds. */
  readonly scoreMods: readonly ScoreMod[];
}

/**
 * The mods of a mask. -Infinity becomes a predicate, as WGSL may assume that
 * there is none, and so that tiles which are hidden whole are skipped. The
 * data is copied, but for a tensor's: it stays on the device, where kernels read
 * it at each run; no tile is skipped by it, and what is not finite hides.
 *
 * @throws {TypeError} for another class of data, and a shape that does not fit
 * @throws {RangeError} for NaN and +Infinity
 */
export function attentionMask(mask: HostMask | GpuTensor): MaskParts {
  if (mask instanceof GpuTensor) return tensorParts(mask);
  checkType(
    typeof mask === "object" && mask !== null && "data" in mask &&
      Array.isArray(mask.shape),
    "attnMask",
    "must be { data, shape } or a GpuTensor",
    mask,
  );
  const { data, shape } = mask;
  if (data instanceof Uint16Array) {
    return floatParts(floatsOf("attnMask", mask), shape);
  }
  return data instanceof Float32Array || isFloat16(data)
    ? floatParts(floatsOf("attnMask", data), shape)
    : { maskMods: [predicate(bitsOf(data), shape)], scoreMods: [] };
}

/** The mods of a mask on the device. */
function tensorParts(mask: GpuTensor): MaskParts {
  void mask.buffer; // Throws where it is destroyed.
  const floats = mask.dtype === "f32" || mask.dtype === "f16";
  const { shape } = mask;
  const seen = queryKeyTensor(
    "attnMask",
    { tensor: mask, as: floats ? "finite" : "bool" },
    shape,
    {},
  );
  const maskMods = [maskMod("attnMask", seen)];
  if (!floats) return { maskMods, scoreMods: [] };
  const element = queryKeyTensor(
    "attnMask",
    { tensor: mask, as: "float" },
    shape,
    {},
  );
  return { maskMods, scoreMods: [adding(element)] };
}

function bitsOf(data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return data.slice();
  checkType(
    Array.isArray(data),
    "attnMask.data",
    "must be a Uint8Array or booleans (true where a key is seen), or a Float32Array, a Float16Array, or a Uint16Array of bits with dtype (added to scores, -Infinity hides)",
    data,
  );
  return Uint8Array.from(data, (seen, i) => {
    checkType(
      typeof seen === "boolean",
      `attnMask.data[${i}]`,
      "must be a boolean; give numbers as a Float32Array",
      seen,
    );
    return Number(seen);
  });
}

function floatParts(
  data: Float32Array,
  shape: readonly number[],
): MaskParts {
  const bits = new Uint8Array(data.length);
  const added = new Float32Array(data.length);
  let [hides, adds] = [false, false];
  for (let i = 0; i < data.length; i++) {
    const value = data[i];
    if (value === -Infinity) {
      hides = true;
      continue;
    }
    checkRange(
      Number.isFinite(value),
      `attnMask.data[${i}]`,
      "must be finite, or -Infinity to hide a key",
      value,
    );
    bits[i] = 1;
    added[i] = value;
    adds ||= value !== 0;
  }
  // What does neither is held against the problem all the same.
  return {
    maskMods: hides || !adds ? [predicate(bits, shape)] : [],
    scoreMods: adds ? [bias(added, shape)] : [],
  };
}

function predicate(data: Uint8Array, shape: readonly number[]): MaskMod {
  return maskMod("attnMask", queryKeyData("attnMask", data, shape, {}));
}

function bias(data: Float32Array, shape: readonly number[]): ScoreMod {
  return adding(queryKeyData("attnMask", data, shape, {}));
}

function adding(element: QueryKeyElement<Float>): ScoreMod {
  return scoreMod(
    "attnMask",
    (variables) => variables.score.add(element(variables)),
  );
}
