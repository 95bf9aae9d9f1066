/**
 * Where the running maximum of a softmax starts: one number for the kernels and
 * for the float32 reference that repeats their loop.
 *
 * @module
 */

/**
 * The score of a masked key, and the maximum of a row without keys: the lowest
 * finite float32. WGSL may assume that there is no infinity, so it is finite,
 * and no score lies below it.
 */
export const SENTINEL: number = -(2 - 2 ** -23) * 2 ** 127;

/** The same number as WGSL. */
export const SENTINEL_WGSL: string = "-0x1.fffffep+127f";
