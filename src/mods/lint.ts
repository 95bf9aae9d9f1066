/**
 * A lint rule for mods, which runs in `deno lint` and in ESLint: a mod is
 * traced once, with expressions that are objects, so JavaScript's own `&&`,
 * `||`, `!`, `? :`, `if`, `===` and operators do not do in it what they say.
 * Most of them throw when the mod is made; `a || b` cannot.
 *
 * @example In `deno.json`
 * ```json
 * { "lint": { "plugins": ["jsr:@quire/attention/lint"] } }
 * ```
 *
 * @module
 */

/**
 * As much of a syntax tree's node as the rule looks at.
 *
 * @category Lint
 */
export interface LintNode {
  /** Its kind, named as in ESTree. */
  readonly type: string;
}

/**
 * What a linter gives to a rule.
 *
 * @category Lint
 */
export interface LintContext {
  /** Reports a place and what is wrong there. */
  // deno-lint-ignore no-explicit-any
  report(problem: { node: any; message: string }): void;
}

/**
 * A rule, as `deno lint` and ESLint take it.
 *
 * @category Lint
 */
export interface LintRule {
  /** The functions to call for each kind of node. */
  // deno-lint-ignore no-explicit-any
  create(context: LintContext): Record<string, (node: any) => void>;
}

/**
 * The plugin.
 *
 * @category Lint
 */
export interface LintPlugin {
  /** Its name, which rules are prefixed with. */
  readonly name: string;
  /** The same for ESLint. */
  readonly meta: { readonly name: string };
  /** Its rules. */
  readonly rules: Readonly<Record<string, LintRule>>;
}

interface Parts extends LintNode {
  readonly [part: string]: unknown;
}

const CONDITIONS = ["lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not"];

const OPERATIONS = [
  ...["add", "sub", "mul", "div", "rem", "neg", "abs", "min", "max"],
  ...["xor", "shr"],
  ...["exp", "log", "sqrt", "tanh", "floor", "toFloat", "select"],
];

const WRITE: Readonly<Record<string, string>> = {
  "&&": "a.and(b)",
  "||": "a.or(b)",
  "??": "a.or(b)",
  "+": "a.add(b)",
  "-": "a.sub(b)",
  "*": "a.mul(b)",
  "/": "a.div(b)",
  "%": "a.rem(b)",
  "^": "a.xor(b)",
  ">>>": "a.shr(b)",
  "<": "a.lt(b)",
  "<=": "a.le(b)",
  ">": "a.gt(b)",
  ">=": "a.ge(b)",
  "==": "a.eq(b)",
  "===": "a.eq(b)",
  "!=": "a.ne(b)",
  "!==": "a.ne(b)",
};

/** A mod: the names of its variables, and of what is made of them. */
interface Trace {
  readonly names: Set<string>;
}

function isMod({ callee }: Parts): boolean {
  const { type, name, property } = callee as Parts;
  const called = type === "MemberExpression" ? (property as Parts).name : name;
  return called === "maskMod" || called === "scoreMod";
}

/** The names that a mod's function takes its variables by. */
function namesOf({ arguments: given }: Parts): Set<string> {
  const names = new Set<string>();
  for (const { params = [] } of given as Parts[]) {
    const [variables] = params as Parts[];
    if (variables?.type !== "ObjectPattern") continue;
    for (const { value } of variables.properties as Parts[]) {
      const name = (value as Parts | undefined)?.name;
      if (typeof name === "string") names.add(name);
    }
  }
  return names;
}

const rule: LintRule = {
  create(context) {
    const traces: Trace[] = [];
    const methodOf = (node: Parts): unknown =>
      node.type === "CallExpression" &&
        (node.callee as Parts).type === "MemberExpression"
        ? ((node.callee as Parts).property as Parts).name
        : undefined;
    const isExpression = (node: Parts): boolean => {
      if (node.type === "Identifier") {
        return traces.some(({ names }) => names.has(node.name as string));
      }
      const method = methodOf(node) as string;
      return CONDITIONS.includes(method) || OPERATIONS.includes(method);
    };
    const report = (node: Parts, write: string) =>
      context.report({
        node,
        message:
          `A mod is traced once, with expressions: JavaScript's own operators and branches do not see their values. Write ${write}.`,
      });
    const checkTest = (node: Parts) => {
      if (traces.length === 0 || !isExpression(node.test as Parts)) return;
      report(node, "condition.select(a, b)");
    };
    const checkBinary = (node: Parts) => {
      if (traces.length === 0) return;
      const { left, right, operator } = node;
      const write = WRITE[operator as string];
      const found = isExpression(left as Parts) || isExpression(right as Parts);
      if (found && write !== undefined) report(node, write);
    };
    return {
      CallExpression(node: Parts) {
        if (isMod(node)) traces.push({ names: namesOf(node) });
      },
      "CallExpression:exit"(node: Parts) {
        if (isMod(node)) traces.pop();
      },
      VariableDeclarator(node: Parts) {
        const [trace] = traces.slice(-1);
        const { id, init } = node as Parts & { id: Parts; init?: Parts };
        if (!trace || !init || !isExpression(init)) return;
        if (typeof id.name === "string") trace.names.add(id.name);
      },
      LogicalExpression: checkBinary,
      BinaryExpression: checkBinary,
      ConditionalExpression: checkTest,
      IfStatement: checkTest,
      UnaryExpression(node: Parts) {
        if (traces.length === 0 || !isExpression(node.argument as Parts)) {
          return;
        }
        if (node.operator === "!") report(node, "a.not()");
        if (node.operator === "-") report(node, "a.neg()");
      },
    };
  },
};

/**
 * The plugin: `quire/no-host-operators-in-mods`.
 *
 * @category Lint
 */
const plugin: LintPlugin = {
  name: "quire",
  meta: { name: "quire" },
  rules: { "no-host-operators-in-mods": rule },
};

export default plugin;
