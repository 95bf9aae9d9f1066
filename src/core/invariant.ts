/**
 * What must hold at any time, and the error that says that it does not.
 *
 * @module
 */

/** Throws an error that names the invariant unless it holds. */
export function invariant(
  holds: boolean,
  name: string,
  detail: string,
): asserts holds {
  if (!holds) throw new Error(`Invariant violated: ${name} (${detail})`);
}
