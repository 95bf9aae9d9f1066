// deno-lint-ignore-file no-console -- this is what a person runs
/**
 * The arguments of a command: `--help` prints how it is used, what it does not
 * know is refused with the same text, and a `--` in front, as npm's users type
 * it (`deno task demo -- FILE`), is skipped.
 *
 * @module
 */

import { parseArgs, type ParseArgsConfig } from "node:util";

/** Arguments that a command does not take; the message says which, and why. */
export class UsageError extends Error {
  /** The name of the class. */
  override readonly name = "UsageError";
}

/** The flags of a command, as `node:util` describes them. */
export type Flags = NonNullable<ParseArgsConfig["options"]>;

/** A command as its user sees it. */
export interface Command<F extends Flags> {
  /** How it is used: begins with `Usage: deno task ...`. */
  readonly usage: string;
  /** Its flags, beside `--help`. */
  readonly flags: F;
  /** Words that it takes beside flags at most; none by default. */
  readonly words?: number;
}

const HELP = { type: "boolean", short: "h", default: false } as const;

/** Flags' values and words, typed by the command. */
export type Parsed<F extends Flags> = ReturnType<
  typeof parseArgs<{
    args: string[];
    allowPositionals: true;
    options: F & { help: typeof HELP };
  }>
>;

/**
 * Reads arguments; a help flag is among the values.
 *
 * @throws {UsageError} if one is none of the command's.
 */
export function parseCommand<const F extends Flags>(
  { flags, words = 0 }: Command<F>,
  args: readonly string[],
): Parsed<F> {
  let parsed;
  try {
    parsed = parseArgs({
      args: args.slice(args[0] === "--" ? 1 : 0),
      allowPositionals: true,
      options: { ...flags, help: HELP },
    });
  } catch (error) {
    // What it says of positional arguments is no cure for a mistyped flag.
    const { message } = error as Error;
    throw new UsageError(message.replace(/\. To specify a positional .*/s, ""));
  }
  const { positionals } = parsed;
  if (positionals.length > words) {
    throw new UsageError(
      `Unexpected argument ${JSON.stringify(positionals[words])}`,
    );
  }
  return parsed as Parsed<F>;
}

/**
 * What a command was asked to do. Prints the usage and exits, with 0 where
 * help was asked for, with 2 where the arguments are none of the command's.
 *
 * @param read Makes of the parsed arguments what the command works with; it
 *     throws a `UsageError` where they are wrong.
 */
export function readCommand<const F extends Flags, T>(
  command: Command<F>,
  read: (parsed: Parsed<F>) => T,
): T {
  try {
    const parsed = parseCommand(command, Deno.args);
    if ((parsed.values as { help: boolean }).help) {
      console.log(command.usage);
      Deno.exit(0);
    }
    return read(parsed);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\n${command.usage}`);
    Deno.exit(2);
  }
}

/**
 * The whole number that a flag was given.
 *
 * @throws {UsageError} if it is none, or not from `least` to `most`.
 */
export function wholeNumber(
  flag: string,
  text: string,
  { least, most }: { least: number; most: number },
): number {
  const value = Number(text);
  const whole = text.trim() !== "" && Number.isSafeInteger(value);
  if (whole && value >= least && value <= most) return value;
  throw new UsageError(
    `${flag} must be an integer in ${least}..${most}: current value is ${text}`,
  );
}

/** Whether `--help` is among some arguments, before any `--` but a first. */
export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf("--", 1);
  return args.slice(0, end < 0 ? undefined : end)
    .some((arg) => arg === "--help" || arg === "-h");
}
