/**
 * Options by name: what is not one is refused, with the one that was meant.
 *
 * @module
 */

import { show } from "./check.ts";

/** What names that others use, or that are not taken, mean here. */
export type OptionHints = Readonly<Record<string, string>>;

/** What {@linkcode checkOptions} holds options against. */
export interface KnownOptions {
  /** The names that are taken. */
  readonly known: readonly string[];
  /** For other names what to do instead, as an imperative. */
  readonly hints?: OptionHints;
}

/**
 * Throws unless every key of `given` is a known option. The message names the
 * key as it was written, and says what to write instead: what `hints` has for
 * it, or the known name that is nearest to it.
 *
 * @param owner Whose options they are, for the message; such as `"attention()"`.
 * @throws {TypeError} If `given` is not an object, or has another key.
 */
export function checkOptions(
  owner: string,
  given: unknown,
  { known, hints = {} }: KnownOptions,
): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(
      `options of ${owner} must be an object: current value is ${show(given)}`,
    );
  }
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const value = show((given as Record<string, unknown>)[name]);
    throw new TypeError(
      `${name} must not be given, as ${owner} has no such option; ${
        advice(name, known, hints)
      }: current value is ${value}`,
    );
  }
}

function advice(
  name: string,
  known: readonly string[],
  hints: OptionHints,
): string {
  const plain = plainOf(name);
  const hint = Object.keys(hints).find((key) => plainOf(key) === plain);
  if (hint !== undefined) return hints[hint];
  const near = nearest(plain, known);
  return near === undefined
    ? `its options are ${known.join(", ")}`
    : `write ${near}`;
}

/** A name without what naming styles differ in. */
function plainOf(name: string): string {
  return name.replaceAll(/[_-]/g, "").toLowerCase();
}

/** The known name that a third of its letters at most tell apart. */
function nearest(
  plain: string,
  known: readonly string[],
): string | undefined {
  const distances = known.map((name) => distance(plain, plainOf(name)));
  const least = Math.min(...distances);
  const name = known[distances.indexOf(least)];
  return least <= Math.floor(Math.max(plain.length, 3) / 3) ? name : undefined;
}

/** Letters to insert, delete or replace (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
