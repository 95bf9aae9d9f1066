/**
 * Tables for a terminal.
 *
 * @module
 */

/** A heading, and whether its column is of numbers, which align right. */
export interface Column {
  /** What stands above the column. */
  readonly title: string;
  /** Which side its cells keep to; left by default. */
  readonly align?: "left" | "right";
}

/** Lines of cells under headings, padded to common widths. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const widths = columns.map(({ title }, c) =>
    Math.max(title.length, ...rows.map((row) => row[c].length))
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, c) =>
      columns[c].align === "right"
        ? cell.padStart(widths[c])
        : cell.padEnd(widths[c])
    ).join("  ").trimEnd();
  return [
    line(columns.map(({ title }) => title)),
    line(widths.map((width) => "-".repeat(width))),
    ...rows.map(line),
  ].join("\n");
}
