/**
 * `attnMask`: one mask of booleans or of floats, as mods.
 *
 * @module
 */

import { checkRange, checkType } from "../../../core/check.ts";
import { Gpu, GpuTensor, type ReadOptions } from "../../../gpu/mod.ts";
import {
  type MaskMod,
  maskMod,
  type ScoreMod,
  scoreMod,
} from "../../../mods/mod.ts";
import { queryKeyData } from "../../../mods/query_key_data.ts";

/**
 * A mask on the host, of any rank from 1 to 4.
 *
 * @category Attention
 */
export interface HostMask {
  /**
   * Booleans (bytes: nonzero) say that the query sees the key. Floats are added
   * to the score; -Infinity hides the key.
   */
  readonly data: Uint8Array | readonly boolean[] | Float32Array | Float16Array;
  /**
   * Lengths of the dimensions, outermost first; broadcast to
   * `[batch, queryHeads, queries, keys]` as NumPy has it.
   */
  readonly shape: readonly number[];
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
 * data is copied.
 *
 * @throws {TypeError} for another class of data, and a shape that does not fit
 * @throws {RangeError} for NaN and +Infinity
 */
export function attentionMask(mask: HostMask | GpuTensor): MaskParts {
  checkType(
    !(mask instanceof GpuTensor),
    "attnMask",
    "must be on the host, as tiles are chosen by it; read it with gpu.read() first, as attention() and planAttention() do by themselves",
    mask,
  );
  checkType(
    typeof mask === "object" && mask !== null && "data" in mask &&
      Array.isArray(mask.shape),
    "attnMask",
    "must be { data, shape }",
    mask,
  );
  const { data, shape } = mask;
  return data instanceof Float32Array || isFloat16(data)
    ? floatParts(data, shape)
    : { maskMods: [predicate(bitsOf(data), shape)], scoreMods: [] };
}

/**
 * Options with their mask read back from the device.
 *
 * @throws {TypeError} if the mask is destroyed or of another `Gpu`
 */
export async function withHostMask<O extends object>(
  gpu: Gpu,
  options: O,
  mask: GpuTensor,
  read: ReadOptions = {},
): Promise<O> {
  checkType(gpu instanceof Gpu, "gpu", "must be a Gpu", gpu);
  checkType(mask.gpu === gpu, "attnMask", "must be of the same Gpu", mask);
  const data = await gpu.readOne(mask, read);
  const { shape } = mask;
  return {
    ...options,
    attnMask: {
      // What WebGPU has instead of booleans.
      data: data instanceof Uint32Array
        ? Uint8Array.from(data, (seen) => Number(seen !== 0))
        : data,
      shape,
    },
  };
}

function isFloat16(data: unknown): data is Float16Array {
  return typeof Float16Array === "function" && data instanceof Float16Array;
}

function bitsOf(data: unknown): Uint8Array {
  if (data instanceof Uint8Array) return data.slice();
  checkType(
    Array.isArray(data),
    "attnMask.data",
    "must be a Uint8Array or booleans (true where a key is seen), or a Float32Array or Float16Array (added to scores, -Infinity hides)",
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
  data: Float32Array | Float16Array,
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
  const element = queryKeyData("attnMask", data, shape, {});
  return scoreMod(
    "attnMask",
    (variables) => variables.score.add(element(variables)),
  );
}
