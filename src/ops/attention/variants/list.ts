/**
 * The fused kernels, the fastest first. Each key range of a problem goes to the
 * first that fits; the last one takes everything.
 *
 * @module
 */

import { DECODE } from "./decode.ts";
import { FORWARD } from "./forward.ts";
import type { Variant } from "./variant.ts";

/** The list. */
export const FUSED_VARIANTS: readonly Variant[] = [DECODE, FORWARD];
