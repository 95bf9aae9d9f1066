/**
 * Tables for a terminal, drawn by `cli-table3`.
 *
 * @module
 */

import Table from "cli-table3";
import { widthOf } from "./terminal.ts";

/** A heading, and whether its column is of numbers, which align right. */
export interface Column {
  /** What stands above the column. */
  readonly title: string;
  /** Which side its cells keep to; left by default. */
  readonly align?: "left" | "right";
}

/** How a table is drawn. */
export interface TableOptions {
  /** Columns of the terminal; 80 by default. */
  readonly width?: number;
  /** What stands in front of each line; nothing by default. */
  readonly indent?: string;
}

/** Spaces between columns. */
const GAP = 2;

/**
 * Cells under headings, without borders. Where they are too wide together,
 * headings and texts are broken between words: numbers stay whole.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  { width = 80, indent = "" }: TableOptions = {},
): string {
  const titles = columns.map(({ title }) => title);
  const headed = titles.some((title) => title !== "");
  const widths = fit(columns, rows, width - indent.length);
  const table = new Table({
    colWidths: widths,
    colAligns: columns.map(({ align = "left" }) => align),
    wordWrap: true,
    chars: BORDERS,
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  if (headed) table.push(titles, widths.map((each) => "-".repeat(each)));
  for (const row of rows) table.push([...row]);
  return table.toString().split("\n")
    .map((line) => (indent + line).trimEnd()).join("\n");
}

/** Spaces are all that is drawn. */
const BORDERS = {
  ...Object.fromEntries(
    [
      ...["top", "top-mid", "top-left", "top-right"],
      ...["bottom", "bottom-mid", "bottom-left", "bottom-right"],
      ...["left", "left-mid", "mid", "mid-mid", "right", "right-mid"],
    ].map((name) => [name, ""]),
  ),
  middle: " ".repeat(GAP),
};

const longest = (texts: readonly string[]) => Math.max(...texts.map(widthOf));

/** Widths that fit into `room` together, where words let them. */
function fit(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  room: number,
): number[] {
  const cells = columns.map((_, c) => rows.map((row) => row[c]));
  const words = (text: string) => text.split(" ");
  const widths = columns.map(({ title }, c) => longest([title, ...cells[c]]));
  const least = columns.map(({ title, align }, c) =>
    longest([
      ...words(title),
      ...(align === "right" ? cells[c] : cells[c].flatMap(words)),
    ])
  );
  // Headings over numbers are broken first, then the widest of the texts.
  const slack = (c: number) =>
    widths[c] === least[c]
      ? 0
      : widths[c] + (columns[c].align === "right" ? room : 0);
  const indices = widths.map((_, c) => c);
  let excess = widths.reduce((sum, each) => sum + each + GAP, -GAP) - room;
  for (; excess > 0; excess--) {
    const giver = indices.reduce((a, b) => slack(b) > slack(a) ? b : a);
    if (slack(giver) === 0) break;
    widths[giver]--;
  }
  return widths;
}
