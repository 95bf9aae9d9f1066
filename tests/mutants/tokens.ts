/**
 * The words of a TypeScript or WGSL text, and patterns of them: so that a fault
 * is found again however a formatter breaks the lines.
 *
 * @module
 */

/** One word of a text: a name, a number, a whole string, or punctuation. */
export interface Token {
  /** As it stands in the text. */
  readonly text: string;
  /** Its first character's place in the text. */
  readonly start: number;
  /** The place after its last character. */
  readonly end: number;
}

const SPACE = /(?:\s+|\/\/.*|\/\*[^]*?\*\/)*/y;
const WORD = /#?[\p{ID_Start}$_][\p{ID_Continue}$]*/uy;
const NUMBER =
  /0[xX][\da-fA-F.]+(?:[pP][+-]?\d+)?\w*|(?:\d[\d_]*\.?|\.\d)\d*(?:[eE][+-]?\d+)?\w*/y;
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/y;
const REGEXP = /\/(?:[^/\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/\w*/y;
const PUNCTUATION =
  />>>=|\.\.\.|===|!==|\*\*=|&&=|\|\|=|\?\?=|<<=|>>=|>>>|=>|==|!=|<=|>=|&&|\|\||\?\?|\?\.|\+\+|--|\+=|-=|\*=|\/=|%=|&=|\|=|\^=|<<|>>|\*\*|->|[^]/y;

/** Words after which a slash begins a regular expression, not a division. */
const BEFORE_VALUE =
  /^(?:return|typeof|case|in|of|[^\w\p{ID_Continue}#$)\]}"'`].*)$/u;

function matchAt(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

/** Where the template literal that begins at `at` ends. */
function endOfTemplate(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "`") return i + 1;
    else if (text.startsWith("${", i)) {
      let depth = 0;
      let end = i + 1;
      for (const token of scan(text, i + 1)) {
        if (token.text === "{") depth++;
        else if (token.text === "}") depth--;
        end = token.end;
        if (depth === 0) break;
      }
      i = end - 1;
    }
  }
  return text.length;
}

function* scan(text: string, from: number): Generator<Token> {
  let before = "";
  for (let at = from;;) {
    const start = matchAt(SPACE, text, at);
    if (start === text.length) return;
    let end = -1;
    if (text[start] === "`") end = endOfTemplate(text, start);
    if (end < 0) end = matchAt(WORD, text, start);
    if (end < 0) end = matchAt(NUMBER, text, start);
    if (end < 0) end = matchAt(STRING, text, start);
    if (end < 0 && BEFORE_VALUE.test(before || ";")) {
      end = matchAt(REGEXP, text, start);
    }
    if (end < 0) end = matchAt(PUNCTUATION, text, start);
    before = text.slice(start, end);
    yield { text: before, start, end };
    at = end;
  }
}

/**
 * The words of `text`, without comments, and without the commas that a
 * formatter puts before a bracket that closes.
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  for (const token of scan(text, 0)) {
    const closes = ")]}".includes(token.text);
    if (closes && tokens.at(-1)?.text === ",") tokens.pop();
    tokens.push(token);
  }
  return tokens;
}

/** Where a pattern was found, and what its variables stand for there. */
export interface Match {
  /** Index of its first token. */
  readonly first: number;
  /** Index after its last token. */
  readonly end: number;
  /** Text for each variable. */
  readonly variables: ReadonlyMap<string, string>;
}

const VARIABLE = /\$([a-z]+)/g;

/** Part of a pattern: text, a name with variables in it, or a variable alone. */
type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "run"; readonly name: string };

function partOf({ text }: Token): Part {
  if (/^\$[a-z]+$/.test(text)) return { kind: "run", name: text.slice(1) };
  const named = /^[\w$]+$/.test(text) && text.search(VARIABLE) >= 0;
  return { kind: named ? "name" : "text", text };
}

type Variables = ReadonlyMap<string, string>;

/** The variables where `word` is an instance of `pattern`, else `undefined`. */
function matchName(
  pattern: string,
  word: string,
  variables: Variables,
): Variables | undefined {
  const names: string[] = [];
  const source = pattern.replace(VARIABLE, (_, name) => {
    names.push(name);
    return "(\\w+?)";
  });
  const groups = word.match(new RegExp(`^${source}$`))?.slice(1);
  return groups?.reduce<Variables | undefined>(
    (all, text, i) => all && bind(all, names[i], text),
    variables,
  );
}

function bind(
  variables: Variables,
  name: string,
  text: string,
): Variables | undefined {
  const known = variables.get(name);
  if (known !== undefined) return known === text ? variables : undefined;
  return new Map([...variables, [name, text]]);
}

function matchFrom(
  parts: readonly Part[],
  index: number,
  tokens: readonly Token[],
  at: number,
  variables: Variables,
): { readonly end: number; readonly variables: Variables } | undefined {
  if (index === parts.length) return { end: at, variables };
  const part = parts[index];
  if (part.kind === "run") {
    // The shortest run with its brackets closed and within one statement.
    let depth = 0;
    let text = "";
    for (let i = at; i < tokens.length; i++) {
      const word = tokens[i].text;
      if (word === ";") return undefined;
      if ("([{".includes(word)) depth++;
      if (")]}".includes(word)) depth--;
      if (depth < 0) return undefined;
      text += (text && " ") + word;
      if (depth > 0) continue;
      const bound = bind(variables, part.name, text);
      const rest = bound && matchFrom(parts, index + 1, tokens, i + 1, bound);
      if (rest) return rest;
    }
    return undefined;
  }
  const word = tokens[at]?.text;
  if (word === undefined) return undefined;
  const bound = part.kind === "name"
    ? matchName(part.text, word, variables)
    : part.text === word
    ? variables
    : undefined;
  return bound && matchFrom(parts, index + 1, tokens, at + 1, bound);
}

/**
 * All places of a pattern, from left to right, none within another.
 *
 * A pattern is a text whose words must stand there in that order. In it, `$x`
 * alone stands for any run of words of one statement whose brackets are closed,
 * and within a name for a part of that name: `l_$r` is found at `l_0`. The same
 * variable is the same text everywhere in a match.
 *
 * @throws {TypeError} If the pattern is empty.
 */
export function findAll(
  pattern: string,
  tokens: readonly Token[],
): Match[] {
  const parts = tokenize(pattern).map(partOf);
  if (parts.length === 0) {
    throw new TypeError(
      `pattern must have words: current value is "${pattern}"`,
    );
  }
  const matches: Match[] = [];
  for (let first = 0; first < tokens.length;) {
    const match = matchFrom(parts, 0, tokens, first, new Map());
    if (match) matches.push({ first, ...match });
    first = match && match.end > first ? match.end : first + 1;
  }
  return matches;
}

/**
 * `text` with `replacement` instead of each match, whose variables it may name.
 */
export function replaceAll(
  text: string,
  tokens: readonly Token[],
  matches: readonly Match[],
  replacement: string,
): string {
  let out = "";
  let at = 0;
  for (const { first, end, variables } of matches) {
    out += text.slice(at, tokens[first].start) +
      replacement.replace(
        VARIABLE,
        (name) => variables.get(name.slice(1)) ?? name,
      );
    at = tokens[end - 1].end;
  }
  return out + text.slice(at);
}
