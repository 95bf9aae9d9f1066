/**
 * How a row without keys is told apart in a log-sum-exp on the device.
 *
 * @module
 */

import { SENTINEL } from "../../core/sentinel.ts";

/**
 * The log-sum-exp of a row without keys, in device memory: the lowest finite
 * float32, since WGSL may assume that there is no Inf. On the host it is
 * -Infinity.
 *
 * @category Attention
 */
export const EMPTY_LSE: number = SENTINEL;
