/** What is done to the sequences of a cache, as text in an address. @module */

/** What is done to a sequence, by its name. */
export const DEEDS = [
  "fork",
  "free",
  "preempt",
  "resume",
  "pin",
  "unpin",
] as const;

/** One step. */
export type Command =
  | {
    /** A sequence that begins with the words of a text. */
    readonly kind: "new";
    readonly text: string;
  }
  | {
    /** Words are generated. */
    readonly kind: "append";
    readonly name: string;
    readonly count: number;
  }
  | {
    /** Something is done to a sequence. */
    readonly kind: typeof DEEDS[number];
    readonly name: string;
  }
  | {
    /** The index forgets a block. */
    readonly kind: "evict";
    readonly block: number;
  };

/** The most tokens that are appended at once. */
export const MOST_TOKENS = 64;

/** The name of a sequence by the order of making: A, B, ..., Z, A1, ... */
export function sequenceName(index: number): string {
  const letter = String.fromCharCode(65 + index % 26);
  const round = Math.floor(index / 26);
  return round === 0 ? letter : `${letter}${round}`;
}

/** Writes commands: `new:once+upon;append:A:3;fork:A`. */
export function writeCommands(commands: readonly Command[]): string {
  return commands.map((command) => {
    if (command.kind === "new") {
      const words = wordsOf(command.text).map(encodeURIComponent);
      return `new:${words.join("+")}`;
    }
    if (command.kind === "evict") return `evict:${command.block}`;
    const { kind, name } = command;
    return command.kind === "append"
      ? `append:${name}:${command.count}`
      : `${kind}:${name}`;
  }).join(";");
}

/** Reads commands; what is none is left out. */
export function readCommands(text: string): Command[] {
  return text.split(";").flatMap((part) => readCommand(part.split(":")) ?? []);
}

function readCommand(
  [kind, first = "", second = ""]: readonly string[],
): Command | undefined {
  if (kind === "new") {
    const words = first.split("+").map(decoded).filter((word) => word !== "");
    return words.length === 0 ? undefined : { kind, text: words.join(" ") };
  }
  if (kind === "evict") {
    const block = Number(first);
    return Number.isInteger(block) ? { kind, block } : undefined;
  }
  if (!/^[A-Z]\d*$/.test(first)) return undefined;
  if (kind === "append") {
    const count = Number(second);
    const whole = Number.isInteger(count) && count >= 1 && count <= MOST_TOKENS;
    return whole ? { kind, name: first, count } : undefined;
  }
  const deed = DEEDS.find((deed) => deed === kind);
  return deed && { kind: deed, name: first };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}

/** The words of a text: the tokens of this page. */
export function wordsOf(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
