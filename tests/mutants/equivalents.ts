/**
 * Faults that change nothing a caller can see, each with the reason why. A run
 * that meets one counts it as passed.
 *
 * @module
 */

import { type Fault, placeOf } from "./fault.ts";
import { tokenize } from "./tokens.ts";

/** One such fault. */
export interface Equivalent {
  /** The symbol or the kernel. */
  readonly place: string;
  /** The words that change. */
  readonly find: string;
  /** What stands there instead. */
  readonly replace: string;
  /** Why nothing follows from it. */
  readonly why: string;
}

/** All that are known. */
export const EQUIVALENTS: readonly Equivalent[] = [
  {
    place: "attention.",
    find: "params.query_at + token",
    replace: "token",
    why:
      "queries are the first heads where a tensor has keys and values too, so query_at is 0 in every layout",
  },
];

function sameWords(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) =>
    tokenize(text).map((token) => token.text).join(" ")
  );
  return left === right;
}

/** What is known of a fault, if it is known to change nothing. */
export function equivalentOf(fault: Fault): Equivalent | undefined {
  return EQUIVALENTS.find((known) =>
    known.place === placeOf(fault) && sameWords(known.find, fault.find) &&
    sameWords(known.replace, fault.replace)
  );
}
