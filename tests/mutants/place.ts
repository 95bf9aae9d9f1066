/**
 * Finds the place of a fault in the sources, and makes it there.
 *
 * @module
 */

import type { SourceFault } from "./fault.ts";
import type { SymbolIndex } from "./symbols.ts";
import { findAll, replaceAll } from "./tokens.ts";

/** Folders whose declarations faults may be in. */
export const FOLDERS: readonly string[] = [
  "src",
  "kernels",
  "reference",
  "repro",
  "playground/masks",
  "playground/blocks",
];

/** A file before and after a fault was made in it. */
export interface ChangedFile {
  /** The path, relative to the root. */
  readonly file: string;
  /** The text that it has. */
  readonly before: string;
  /** The text with the fault. */
  readonly after: string;
}

/**
 * Makes a fault.
 *
 * @throws {Error} If there is not exactly one place, in all declarations of the
 * symbol together.
 */
export function changeSource(
  index: SymbolIndex,
  { symbol, file, find, replace }: SourceFault,
): ChangedFile {
  const places = index.find(symbol, file).map(({ source, first, end }) => {
    const tokens = source.tokens.slice(first, end);
    return { source, tokens, matches: findAll(find, tokens) };
  }).filter(({ matches }) => matches.length > 0);
  const count = places.reduce((sum, { matches }) => sum + matches.length, 0);
  if (count !== 1) {
    throw new Error(`the text to replace occurs ${count} times in ${symbol}`);
  }
  const [{ source, tokens, matches }] = places;
  const after = replaceAll(source.text, tokens, matches, replace);
  return { file: source.file, before: source.text, after };
}
