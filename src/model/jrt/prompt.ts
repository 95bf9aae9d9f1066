/**
 * JRT-Prompt: what is to be recalled stands twice, so that a state of fixed size
 * knows at the second reading what to keep.
 *
 * @module
 */

import { checkInteger, checkType } from "../../core/check.ts";
import { checkOptions } from "../../core/options.ts";

/**
 * The parts of a prompt, as text or as tokens.
 *
 * @category Prompts
 */
export interface RepeatedPromptOptions<T extends string | ArrayLike<number>> {
  /** What the question is about. */
  readonly context: T;
  /** What is asked; it stands once, at the end. */
  readonly question: T;
  /** Before each context but the one that begins; default nothing. */
  readonly separator?: T;
  /** How often the context stands; default 2. */
  readonly repeats?: number;
}

const OWNER = "repeatedPrompt()";
const KNOWN = ["context", "question", "separator", "repeats"];
const HINTS = {
  prompt: "write context and question",
  times: "write repeats",
  ctx: "write context",
};

/**
 * JRT-Prompt (Arora et al. 2024, "Just read twice", section 3): the context
 * twice, with a separator between, and then the question. Of text it makes text,
 * of tokens tokens.
 *
 * @throws {TypeError} for an unknown option, or parts of which some are text
 * and some are tokens
 * @throws {RangeError} if `repeats` is no integer >= 1
 *
 * @example The key is known only once the question has been read
 * ```ts
 * import { repeatedPrompt } from "@quire/attention/model";
 *
 * const prompt = repeatedPrompt({
 *   context: "Ada is 36. Alan is 41.",
 *   separator: "\n",
 *   question: " Ada:",
 * });
 * console.log(prompt); // both, a line each, and " Ada:" after the second
 * ```
 *
 * @category Prompts
 */
export function repeatedPrompt(options: RepeatedPromptOptions<string>): string;
/** The same of tokens. */
export function repeatedPrompt(
  options: RepeatedPromptOptions<ArrayLike<number>>,
): number[];
export function repeatedPrompt(
  options:
    | RepeatedPromptOptions<string>
    | RepeatedPromptOptions<ArrayLike<number>>,
): string | number[] {
  checkOptions(OWNER, options, { known: KNOWN, hints: HINTS });
  const { context, question, separator, repeats = 2 } = options;
  checkInteger("repeats", repeats, 1);
  const text = typeof context === "string";
  const parts = [
    ["context", context],
    ["question", question],
    ...(separator === undefined ? [] : [["separator", separator]]),
  ] as const;
  for (const [name, part] of parts) {
    checkType(
      text ? typeof part === "string" : isTokens(part),
      name as string,
      text ? "must be text, as context is" : "must be an array of tokens",
      part,
    );
  }
  const between = separator ?? (text ? "" : []);
  const all = [
    context,
    ...Array.from({ length: repeats - 1 }, () => [between, context]).flat(),
    question,
  ];
  return text
    ? all.join("")
    : (all as ArrayLike<number>[]).flatMap((part) => Array.from(part));
}

function isTokens(part: unknown): boolean {
  return typeof part === "object" && part !== null &&
    typeof (part as ArrayLike<number>).length === "number";
}
