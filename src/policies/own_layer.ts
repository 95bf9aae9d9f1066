/**
 * What a policy learned or was fitted to is of one layer.
 *
 * @module
 */

import { checkRange } from "../core/check.ts";
import type { PolicyShape } from "../ops/mod.ts";

/**
 * Throws if a call's keys are those of another layer of a cache than a policy's;
 * keys in tensors do not say of which they are.
 *
 * @throws {RangeError} if they are
 */
export function checkOwnLayer(
  name: string,
  own: number | undefined,
  { layer }: PolicyShape,
): void {
  checkRange(
    own === undefined || layer === undefined || own === layer,
    `select (${name}) layer`,
    `must be that of the call's keys (${layer}): what it knows is of one layer`,
    own,
  );
}
