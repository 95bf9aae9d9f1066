/**
 * The blocks' contents that are cached behind one prefix, in the order of their
 * tokens: those that begin alike lie side by side.
 *
 * @module
 */

/** Something with the tokens of one full block. */
interface Content {
  /** The tokens. */
  readonly tokens: readonly number[];
}

/** How many tokens `content` has in common with those from `start` on. */
function commonRows(
  content: readonly number[],
  tokens: readonly number[],
  start: number,
): number {
  let rows = 0;
  while (rows < content.length && content[rows] === tokens[start + rows]) {
    rows++;
  }
  return rows;
}

/** How many of the siblings come before the tokens from `start` on. */
function placeOf(
  siblings: readonly Content[],
  tokens: readonly number[],
  start: number,
): number {
  let low = 0;
  let high = siblings.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const content = siblings[middle].tokens;
    const rows = commonRows(content, tokens, start);
    // Where the tokens end first, they come first.
    if (content[rows] < tokens[start + rows]) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Puts a content, which is not among its siblings, at its place. */
export function addSibling<T extends Content>(siblings: T[], content: T): void {
  siblings.splice(placeOf(siblings, content.tokens, 0), 0, content);
}

/** Takes a content out, which is among its siblings. */
export function removeSibling<T extends Content>(
  siblings: T[],
  content: T,
): void {
  siblings.splice(placeOf(siblings, content.tokens, 0), 1);
}

/**
 * The sibling with the most tokens in common with those from `start` on, and
 * how many these are; none if they are 0.
 */
export function closestSibling<T extends Content>(
  siblings: readonly T[],
  tokens: readonly number[],
  start: number,
): { readonly content: T; readonly rows: number } | undefined {
  // What begins alike stands together, and the tokens' place is among it.
  const place = placeOf(siblings, tokens, start);
  let best: { content: T; rows: number } | undefined;
  for (const content of siblings.slice(Math.max(0, place - 1), place + 1)) {
    const rows = commonRows(content.tokens, tokens, start);
    if (rows > (best?.rows ?? 0)) best = { content, rows };
  }
  return best;
}
