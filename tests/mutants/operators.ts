/**
 * Faults that no one thought of: a few operators, each a small change of words
 * that may stand anywhere in TypeScript or WGSL.
 *
 * @module
 */

import type { Token } from "./tokens.ts";

/** One place where an operator applies. */
export interface Change {
  /** Index of the first token that goes. */
  readonly first: number;
  /** Index after the last one. */
  readonly end: number;
  /** What stands there instead. */
  readonly replace: string;
}

const PAIRS = [
  ...[["<", "<="], [">", ">="], ["===", "!=="], ["==", "!="], ["+", "-"]],
  ...[["&&", "||"], ["+=", "-="], ["true", "false"], ["0", "1"]],
  ...[["0u", "1u"], ["0.0", "1.0"], ["min", "max"], ["floor", "ceil"]],
] as const;

const OTHER: ReadonlyMap<string, string> = new Map(
  PAIRS.flatMap(([one, other]) => [[one, other], [other, one]]),
);

/** Words that stand before a call in brackets, but are no statement's start. */
const KEYWORDS =
  /^(?:if|for|while|switch|return|throw|const|let|var|else|super|new|yield|fn)$/;

/** Between two words of a text: whether there is space. */
function spaced(left: Token | undefined, right: Token | undefined): boolean {
  return left !== undefined && right !== undefined && left.end < right.start;
}

/** The call that is a whole statement and begins at `first`, if there is one. */
function callAt(tokens: readonly Token[], first: number): Change | undefined {
  if (!/^[\p{ID_Start}_]/u.test(tokens[first].text)) return;
  if (KEYWORDS.test(tokens[first].text)) return;
  let depth = 0;
  for (let i = first + 1; i < tokens.length; i++) {
    const { text } = tokens[i];
    if (depth === 0 && !/^(?:[#\w]+|[.!;()[\]]|\?\.)$/.test(text)) return;
    if ("([{".includes(text)) depth++;
    if (")]}".includes(text)) depth--;
    if (depth < 0) return;
    if (depth === 0 && text === ";") {
      const whole = tokens[i - 1].text === ")";
      return whole ? { first, end: i + 1, replace: "" } : undefined;
    }
  }
}

/** All changes of a text's words `first` to `end`, in their order. */
export function changesOf(
  tokens: readonly Token[],
  first = 0,
  end: number = tokens.length,
): Change[] {
  const changes: Change[] = [];
  for (let i = first; i < end; i++) {
    const { text } = tokens[i];
    const replace = OTHER.get(text);
    // Brackets of types and signs of numbers have no space on both sides.
    const binary = /^\w/.test(text) ||
      spaced(tokens[i - 1], tokens[i]) && spaced(tokens[i], tokens[i + 1]);
    // In WGSL, the number of a group or of a binding.
    const attribute = tokens[i - 3]?.text === "@";
    if (replace !== undefined && binary && !attribute) {
      changes.push({ first: i, end: i + 1, replace });
    }
    if (i > first && /^[;{}]$/.test(tokens[i - 1].text)) {
      const call = callAt(tokens, i);
      if (call && call.end <= end) changes.push(call);
    }
  }
  return changes;
}

/** Words as a text again, with space where there was some. */
export function textOf(tokens: readonly Token[]): string {
  return tokens.map((token, i) =>
    (i > 0 && spaced(tokens[i - 1], token) ? " " : "") + token.text
  ).join("");
}
