/**
 * Bytes for a reader, and completions as they come.
 *
 * @module
 */

/** A text sink, for instance standard output. */
export interface Sink {
  /** Writes as it is. */
  write(text: string): void;
  /** Whether lines can be written over. */
  readonly terminal: boolean;
  /** Characters of a line. */
  readonly columns: number;
}

/** Bytes as one line: what cannot be printed is escaped. */
export function printable(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    // deno-lint-ignore no-control-regex -- those are what is replaced
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "·");
}

/** Bytes between lines of a sink that is no terminal. */
const LINE_BYTES = 16;

/**
 * Shows one line a completion. A terminal's lines grow in place; elsewhere
 * every few bytes make a line, headed by the prompt's number.
 */
export class CompletionView {
  readonly #sink: Sink;
  readonly #prompts: readonly string[];
  readonly #bytes: number[][];
  #drawn = false;

  /** A view of completions that have no bytes yet. */
  constructor(sink: Sink, prompts: readonly Uint8Array[]) {
    this.#sink = sink;
    this.#prompts = prompts.map(printable);
    this.#bytes = prompts.map(() => []);
    if (sink.terminal) this.#draw();
    else {
      this.#prompts.forEach((prompt, p) => {
        sink.write(`  ${p + 1} ${prompt}\n`);
      });
    }
  }

  /** Takes one byte a prompt. */
  push(bytes: readonly number[]): void {
    bytes.forEach((byte, p) => this.#bytes[p].push(byte));
    if (this.#sink.terminal) this.#draw();
    else if (this.#bytes[0].length % LINE_BYTES === 0) this.#flush();
  }

  /** Shows what is left. */
  end(): void {
    if (!this.#sink.terminal) this.#flush();
  }

  #flush(): void {
    this.#bytes.forEach((bytes, p) => {
      const line = bytes.splice(0);
      if (line.length === 0) return;
      this.#sink.write(`  ${p + 1} > ${printable(Uint8Array.from(line))}\n`);
    });
  }

  #draw(): void {
    const up = this.#drawn ? `\x1b[${this.#prompts.length}A` : "";
    const lines = this.#prompts.map((prompt, p) => {
      const done = printable(Uint8Array.from(this.#bytes[p]));
      const room = this.#sink.columns - 8 - prompt.length;
      return `\r\x1b[2K  ${p + 1} ${prompt}\x1b[1m${
        done.slice(-Math.max(8, room))
      }\x1b[0m\n`;
    });
    this.#sink.write(up + lines.join(""));
    this.#drawn = true;
  }
}

/** Columns of text, the first to the left and the others to the right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) =>
    Math.max(...rows.map((row) => row[column].length))
  );
  return rows.map((row) =>
    "  " +
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    ).join("  ").trimEnd()
  ).join("\n");
}

/** Bytes with a unit. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}
