/**
 * Which objects are block masks, for those who take one and make none: they
 * need not have all that a block mask can do.
 *
 * @module
 */

const MADE = new WeakSet<object>();

/** Notes that an object is a block mask. */
export function noteBlockMask(mask: object): void {
  MADE.add(mask);
}

/** Whether something is a block mask. */
export function isBlockMask(value: unknown): boolean {
  return typeof value === "object" && value !== null && MADE.has(value);
}
