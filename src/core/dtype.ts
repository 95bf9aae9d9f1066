/**
 * Element types of tensors, and the host arrays that carry them.
 *
 * @module
 */

/** The storage types of queries, keys, values and outputs. */
export type DType = "f32" | "f16";

/** Element types of any tensor, indices included. */
export type ElementType = DType | "u32";

/** Host arrays that can be uploaded; the class decides the element type. */
export type HostArray = Float32Array | Float16Array | Uint32Array;

/** Bytes of one element. */
export function bytesPerElement(type: ElementType): number {
  return type === "f16" ? 2 : 4;
}

/** The element type that a host array carries, or `undefined` for others. */
export function elementTypeOf(array: unknown): ElementType | undefined {
  if (array instanceof Float32Array) return "f32";
  if (array instanceof Uint32Array) return "u32";
  if (typeof Float16Array !== "undefined" && array instanceof Float16Array) {
    return "f16";
  }
  return undefined;
}

/** A zeroed host array of `length` elements of type `type`. */
export function hostArray(type: "f32", length: number): Float32Array;
/** A zeroed host array of `length` elements of type `type`. */
export function hostArray(type: "u32", length: number): Uint32Array;
/** A zeroed host array of `length` elements of type `type`. */
export function hostArray(type: ElementType, length: number): HostArray;
export function hostArray(type: ElementType, length: number): HostArray {
  if (type === "f32") return new Float32Array(length);
  if (type === "u32") return new Uint32Array(length);
  return new Float16Array(length);
}
