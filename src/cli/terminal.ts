/**
 * What is known of where a command prints to.
 *
 * @module
 */

import { stripVTControlCharacters, styleText } from "node:util";

/** Columns that are written to a file or pipe, unless `COLUMNS` says more. */
const DEFAULT_COLUMNS = 80;

/** Where a command prints to. */
export interface Terminal {
  /** Whether lines can be written over. */
  readonly interactive: boolean;
  /** Whether text may be coloured. */
  readonly colour: boolean;
  /** Characters of a line. */
  readonly columns: number;
}

/** What standard output is. */
export function standardOutput(): Terminal {
  const interactive = Deno.stdout.isTerminal();
  return {
    interactive,
    // `Deno.noColor` is the variable NO_COLOR.
    colour: interactive && !Deno.noColor,
    columns: columnsOf(Deno.env.get("COLUMNS"), interactive),
  };
}

function columnsOf(given: string | undefined, interactive: boolean): number {
  const wanted = Number(given);
  if (Number.isInteger(wanted) && wanted > 0) return wanted;
  const size = interactive ? Deno.consoleSize().columns : 0;
  return size > 0 ? size : DEFAULT_COLUMNS;
}

/** A style of text. */
export type Style = "bold" | "green" | "red" | "yellow" | "dim";

/** `text` in a style, where the terminal shows styles. */
export function styled(
  { colour }: Pick<Terminal, "colour">,
  style: Style,
  text: string,
): string {
  return colour ? styleText(style, text, { validateStream: false }) : text;
}

/** Whether a terminal gives a character two columns (roughly: no Latin). */
function isWide(character: string): boolean {
  return character.codePointAt(0)! >= 0x1100;
}

/** Columns that a text takes, styled or not; more rather than fewer. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of stripVTControlCharacters(text)) {
    width += isWide(character) ? 2 : 1;
  }
  return width;
}

/** `text` in lines of at most `columns`, broken at any character. */
export function chopped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  let width = 0;
  for (const character of text) {
    const own = isWide(character) ? 2 : 1;
    if (line !== "" && width + own > columns) {
      lines.push(line);
      line = "";
      width = 0;
    }
    line += character;
    width += own;
  }
  return [...lines, line];
}

/** `text` in lines of at most `columns`, broken between words. */
export function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && widthOf(`${last} ${word}`) <= columns) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}
