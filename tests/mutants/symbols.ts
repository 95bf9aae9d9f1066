/**
 * Where the declarations of TypeScript files are: a light scan that goes by
 * words, brackets and the column in which a line begins.
 *
 * @module
 */

import { type Token, tokenize } from "./tokens.ts";

/** A file's words. */
export interface SourceFile {
  /** The path, relative to the root. */
  readonly file: string;
  /** Its text. */
  readonly text: string;
  /** The words of the text. */
  readonly tokens: readonly Token[];
}

/** One declaration: a class, one of its members, a function or a constant. */
export interface Declaration {
  /** The file that it is in. */
  readonly source: SourceFile;
  /** `BlockTable`, or `BlockTable.reserve`. */
  readonly symbol: string;
  /** Index of its first token. */
  readonly first: number;
  /** Index after its last token. */
  readonly end: number;
}

const MODIFIERS = new Set([
  ...["export", "default", "abstract", "async", "declare", "static", "get"],
  ...["override", "readonly", "private", "protected", "public", "set", "*"],
]);
const KINDS = new Set(["class", "function", "const", "let"]);

function columnOf(text: string, { start }: Token): number {
  return start - (text.lastIndexOf("\n", start - 1) + 1);
}

/**
 * Where statements begin (or members of a class): tokens outside all brackets,
 * in the column of the first one, that are words.
 */
function startsWithin(
  text: string,
  tokens: readonly Token[],
  first: number,
  end: number,
): number[] {
  const starts: number[] = [];
  let depth = 0;
  for (let i = first; i < end; i++) {
    const word = tokens[i].text;
    if (
      depth === 0 && /^[#\w$[*@]/.test(word) &&
      columnOf(text, tokens[i]) === columnOf(text, tokens[first])
    ) starts.push(i);
    if ("([{".includes(word)) depth++;
    if (")]}".includes(word)) depth--;
  }
  return starts;
}

/** The name of the member that begins at `at`. */
function memberName(tokens: readonly Token[], at: number): string {
  let i = at;
  while (MODIFIERS.has(tokens[i].text) && !/^[(:=;]/.test(tokens[i + 1].text)) {
    i++;
  }
  let name = tokens[i].text;
  while (name.startsWith("[") && !name.endsWith("]")) name += tokens[++i].text;
  return name;
}

function membersOf(whole: Declaration): Declaration[] {
  const { source, symbol, first, end } = whole;
  const { text, tokens } = source;
  // The body is the last pair of brackets; others may stand in type parameters.
  let body = end - 1;
  for (let depth = 1; depth > 0 && body > first;) {
    const word = tokens[--body].text;
    if (")]}".includes(word)) depth++;
    if ("([{".includes(word)) depth--;
  }
  const starts = startsWithin(text, tokens, body + 1, end - 1);
  return starts.map((start, i) => ({
    source,
    symbol: `${symbol}.${memberName(tokens, start)}`,
    first: start,
    end: starts[i + 1] ?? end - 1,
  }));
}

/** The declarations of a file, each class before its members. */
export function declarationsOf(file: string, text: string): Declaration[] {
  const tokens = tokenize(text);
  const source = { file, text, tokens };
  const starts = startsWithin(text, tokens, 0, tokens.length);
  return starts.flatMap((start, i) => {
    let at = start;
    while (MODIFIERS.has(tokens[at].text)) at++;
    const kind = tokens[at].text;
    if (!KINDS.has(kind)) return [];
    const name = tokens[at + 1].text === "*" ? at + 2 : at + 1;
    const whole: Declaration = {
      source,
      symbol: tokens[name].text,
      first: start,
      end: starts[i + 1] ?? tokens.length,
    };
    return kind === "class" ? [whole, ...membersOf(whole)] : [whole];
  });
}

async function* filesIn(root: string, path: string): AsyncGenerator<string> {
  const info = await Deno.stat(`${root}/${path}`).catch(() => undefined);
  if (info === undefined) return;
  for await (const entry of Deno.readDir(`${root}/${path}`)) {
    const inner = `${path}/${entry.name}`;
    if (entry.isDirectory) yield* filesIn(root, inner);
    else if (entry.name.endsWith(".ts")) yield inner;
  }
}

/** All declarations of a tree, by their symbols. */
export class SymbolIndex {
  /** The declarations of each symbol, in whichever files. */
  readonly declarations: ReadonlyMap<string, readonly Declaration[]>;

  /** An index of these declarations. */
  constructor(declarations: readonly Declaration[]) {
    this.declarations = Map.groupBy(declarations, ({ symbol }) => symbol);
  }

  /** Scans the folders of a root. */
  static async read(
    root: string,
    folders: readonly string[],
  ): Promise<SymbolIndex> {
    const found: Declaration[] = [];
    for (const folder of folders) {
      for await (const file of filesIn(root, folder)) {
        const text = await Deno.readTextFile(`${root}/${file}`);
        found.push(...declarationsOf(file, text));
      }
    }
    return new SymbolIndex(found);
  }

  /**
   * The declarations of a symbol, one for each file, with all of its overloads.
   *
   * @param file Of this file alone.
   * @throws {Error} If no file declares it.
   */
  find(symbol: string, file?: string): Declaration[] {
    const all = this.declarations.get(symbol) ?? [];
    const found = file ? all.filter((one) => one.source.file === file) : all;
    if (found.length === 0) {
      throw new Error(
        `nothing declares ${symbol}${file ? ` in ${file}` : ""}`,
      );
    }
    return [...Map.groupBy(found, ({ source }) => source).values()]
      .map((own) => ({ ...own[0], end: own.at(-1)!.end }));
  }
}
