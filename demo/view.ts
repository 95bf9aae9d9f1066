/**
 * Bytes for a reader, how far the work has come, and completions.
 *
 * @module
 */

import {
  chopped,
  styled,
  type Terminal,
  widthOf,
  wrapped,
} from "../src/cli/terminal.ts";

/** A text sink, for instance standard output. */
export interface Sink extends Terminal {
  /** Writes as it is. */
  write(text: string): void;
}

/** Columns of a label and the space behind it. */
const LABEL = 10;

/** A label, and a text beside it that is broken between words. */
export function writeEntry(sink: Sink, label: string, text: string): void {
  const lines = wrapped(text, sink.columns - LABEL);
  sink.write(
    lines.map((line, i) => `${(i === 0 ? label : "").padEnd(LABEL)}${line}\n`)
      .join(""),
  );
}

/** Bytes as one line: what cannot be printed is escaped. */
export function printable(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
    .replaceAll("\n", "\\n")
    .replaceAll("\t", "\\t")
    // deno-lint-ignore no-control-regex -- those are what is replaced
    .replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "·");
}

/** Lines at most that tell how far the work has come, where none grow. */
const STAGES = 4;

/**
 * How far the work has come: a line that is written over on a terminal, and a
 * few lines elsewhere.
 */
export class Progress {
  readonly #sink: Sink;
  readonly #label: string;
  readonly #unit: string;
  #stage = 0;

  /** Progress that is headed by a label, and counted in a unit. */
  constructor(sink: Sink, label: string, unit: string) {
    this.#sink = sink;
    this.#label = label;
    this.#unit = unit;
  }

  /** Says that `done` of `total` are done. */
  tell(done: number, total: number): void {
    const { interactive } = this.#sink;
    const stage = Math.floor(STAGES * done / total);
    if (!interactive && stage === this.#stage) return;
    this.#stage = stage;
    const text = `${
      this.#label.padEnd(LABEL)
    }${done} of ${total} ${this.#unit}`;
    this.#sink.write(interactive ? `\r\x1b[2K${text}` : `${text}\n`);
  }

  /** Takes the line from the terminal again. */
  end(): void {
    if (this.#sink.interactive) this.#sink.write("\r\x1b[2K");
  }
}

/** The end of a text, in so many columns. */
function tail(text: string, columns: number): string {
  const characters = [...text];
  let width = 0;
  let start = characters.length;
  while (start > 0) {
    width += widthOf(characters[start - 1]);
    if (width > columns) break;
    start--;
  }
  return characters.slice(start).join("");
}

/**
 * Completions as they come. On a terminal a line each grows in place, and
 * elsewhere lines say how far they are; at the end each prompt stands with its
 * whole completion.
 */
export class CompletionView {
  readonly #sink: Sink;
  readonly #prompts: readonly string[];
  readonly #bytes: number[][];
  readonly #count: number;
  readonly #progress: Progress;
  #drawn = false;

  /** A view of completions of `count` bytes, none of which are there yet. */
  constructor(sink: Sink, prompts: readonly Uint8Array[], count: number) {
    this.#sink = sink;
    this.#prompts = prompts.map(printable);
    this.#bytes = prompts.map(() => []);
    this.#count = count;
    this.#progress = new Progress(sink, "", "bytes each");
    if (sink.interactive) this.#draw();
  }

  /** Takes one byte a prompt. */
  push(bytes: readonly number[]): void {
    bytes.forEach((byte, p) => this.#bytes[p].push(byte));
    if (this.#sink.interactive) this.#draw();
    else this.#progress.tell(this.#bytes[0].length, this.#count);
  }

  /** Shows each prompt with its completion. */
  end(): void {
    const { columns } = this.#sink;
    const digits = `${this.#prompts.length}`.length;
    const entry = (number: string, label: string, text: string) => {
      const head = `  ${number.padStart(digits)}  ${label.padEnd(12)}`;
      return chopped(text, columns - head.length)
        .map((line, i) =>
          `${i === 0 ? head : " ".repeat(head.length)}${line}\n`
        )
        .join("");
    };
    const all = this.#prompts.map((prompt, p) =>
      entry(`${p + 1}`, "prompt", prompt) +
      entry("", "completion", this.#done(p))
    );
    this.#sink.write(this.#up("\x1b[J") + all.join(""));
  }

  #done(p: number): string {
    return printable(Uint8Array.from(this.#bytes[p]));
  }

  /** To the first of the lines that were drawn, and `then` more. */
  #up(then: string): string {
    return this.#drawn ? `\x1b[${this.#prompts.length}A${then}` : "";
  }

  #draw(): void {
    const room = this.#sink.columns - 8;
    const lines = this.#prompts.map((prompt, p) => {
      const done = tail(this.#done(p), room);
      const before = tail(prompt, room - widthOf(done));
      const grown = styled(this.#sink, "bold", done);
      return `\r\x1b[2K  ${p + 1}  ${before}${grown}\n`;
    });
    this.#sink.write(this.#up("") + lines.join(""));
    this.#drawn = true;
  }
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
