/**
 * What the demo is given: a file's bytes, and the arguments.
 *
 * @module
 */

import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Parsed, UsageError, wholeNumber } from "../src/cli/arguments.ts";
import { MAX_POSITIONS } from "./encoding.ts";

/** A sentence for the user, instead of a stack trace. */
export class DemoError extends Error {
  /** The name of the class. */
  override readonly name = "DemoError";
}

/** Bytes of a prompt at most, and bytes of a completion at most. */
export const MAX_PROMPT = 500;
/** Bytes of a file that the cache holds beside a prompt and a completion. */
export const MAX_TEXT: number = MAX_POSITIONS - 2 * MAX_PROMPT;

/** The arguments. */
export interface DemoArguments {
  /** The file. */
  readonly file: string;
  /** Prompts beside those taken from the file. */
  readonly prompts: readonly string[];
  /** Bytes to complete. */
  readonly count: number;
}

/** The demo as its user sees it. */
export const COMMAND = {
  usage: `Usage: deno task demo [FILE] [--prompt TEXT]... [--bytes N]
  Completes prompts from a text by paged attention, and proves it
  FILE      read as bytes; README.md by default
  --prompt  a prompt of yours, beside those taken from FILE; 1 to ${MAX_PROMPT} bytes
  --bytes   how many bytes to complete; 64 by default, ${MAX_PROMPT} at most`,
  flags: {
    prompt: { type: "string", multiple: true, default: [] as string[] },
    bytes: { type: "string", default: "64" },
  },
  words: 1,
} as const;

/**
 * What the arguments ask for.
 *
 * @throws {UsageError} where one is out of its range.
 */
export function demoArguments(
  { values, positionals }: Parsed<typeof COMMAND["flags"]>,
): DemoArguments {
  const range = { least: 1, most: MAX_PROMPT };
  const count = wholeNumber("--bytes", values.bytes, range);
  for (const prompt of values.prompt) {
    const length = new TextEncoder().encode(prompt).length;
    if (length === 0 || length > MAX_PROMPT) {
      throw new UsageError(
        `--prompt must have 1 to ${MAX_PROMPT} bytes: current length is ${length}`,
      );
    }
  }
  return {
    file: positionals.length > 0
      // A task runs in the repository, wherever it was called from.
      ? resolve(Deno.env.get("INIT_CWD") ?? Deno.cwd(), positionals[0])
      : fileURLToPath(new URL("../README.md", import.meta.url)),
    prompts: values.prompt,
    count,
  };
}

/** A file's first bytes. */
export interface Input {
  /** At most {@linkcode MAX_TEXT} of them. */
  readonly text: Uint8Array;
  /** Whether there are more. */
  readonly truncated: boolean;
}

/**
 * Reads what the cache can hold of a file, however large it is.
 *
 * @throws {DemoError} where there is nothing to read.
 */
export async function readInput(path: string): Promise<Input> {
  const name = JSON.stringify(shortPath(path));
  let bytes: Uint8Array;
  try {
    if ((await Deno.stat(path)).isDirectory) {
      throw new DemoError(`Cannot read ${name}: it is a directory`);
    }
    using file = await Deno.open(path);
    bytes = await readUpTo(file, MAX_TEXT + 1);
  } catch (error) {
    throw error instanceof DemoError
      ? error
      : new DemoError(`Cannot read ${name}: ${reasonOf(error)}`);
  }
  if (bytes.length === 0) {
    throw new DemoError(`Cannot complete anything from ${name}: it is empty`);
  }
  return {
    text: bytes.subarray(0, MAX_TEXT),
    truncated: bytes.length > MAX_TEXT,
  };
}

/** A path as it is shown: from the working directory, where it is below. */
export function shortPath(path: string): string {
  const short = relative(Deno.cwd(), path);
  return short === "" || short.startsWith("..") ? path : short;
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) {
    return "permission is denied";
  }
  return (error as Error).message;
}

async function readUpTo(file: Deno.FsFile, most: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(most);
  let length = 0;
  while (length < most) {
    const read = await file.read(bytes.subarray(length));
    if (read === null) break;
    length += read;
  }
  return bytes.subarray(0, length);
}

/**
 * Prompts from a text: some bytes from `places` places spread over it, each
 * from the start of a word where one is near.
 */
export function promptsOf(text: Uint8Array, places: number): Uint8Array[] {
  const size = Math.min(20, text.length);
  const starts = Array.from({ length: places }, (_, i) => {
    const start = Math.floor((text.length - size) * (2 * i + 1) / (2 * places));
    const space = text.subarray(start, start + size).indexOf(0x20);
    return Math.min(start + space + 1, text.length - size);
  });
  return [...new Set(starts)].map((at) => text.slice(at, at + size));
}
