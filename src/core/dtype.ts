/**
 * Element types of tensors, and the host arrays that carry them.
 *
 * @module
 */

import { fromFloat16 } from "./half.ts";

/**
 * The storage types of queries, keys, values and outputs.
 *
 * @category Device
 */
export type DType = "f32" | "f16";

/**
 * Element types of any tensor: rows, and also indices, integers and bytes.
 *
 * @category Device
 */
export type ElementType = DType | "u32" | "i32" | "u8";

/**
 * Host arrays that can be uploaded; the class decides the element type.
 *
 * @category Device
 */
export type HostArray =
  | Float32Array
  | Float16Array
  | Uint32Array
  | Int32Array
  | Uint8Array;

/** Bytes of one element. */
export function bytesPerElement(type: ElementType): number {
  return type === "f16" ? 2 : type === "u8" ? 1 : 4;
}

/** The element type that a host array carries, or `undefined` for others. */
export function elementTypeOf(array: unknown): ElementType | undefined {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Uint32Array) return "u32";
  if (array instanceof Int32Array) return "i32";
  if (array instanceof Uint8Array) return "u8";
  if (typeof Float16Array !== "undefined" && array instanceof Float16Array) {
    return "f16";
  }
  return undefined;
}

/**
 * The elements of type `type` in `bytes`. Where the runtime has no
 * `Float16Array` (Node before 24), f16 is widened to f32, which is exact.
 */
export function hostArrayOf(type: ElementType, bytes: ArrayBuffer): HostArray {
  if (type === "f32") return new Float32Array(bytes);
  if (type === "u32") return new Uint32Array(bytes);
  if (type === "i32") return new Int32Array(bytes);
  if (type === "u8") return new Uint8Array(bytes);
  return typeof Float16Array === "undefined"
    ? Float32Array.from(new Uint16Array(bytes), fromFloat16)
    : new Float16Array(bytes);
}
