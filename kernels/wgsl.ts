/**
 * The notation in which kernels are written: WGSL, line by line, with words for
 * what is repeated and what is optional.
 *
 * ```text
 * @each r in rows       the lines up to @end once for r = 0, 1, ... rows - 1,
 * @end                  or for each item where rows is a list
 * @if lse               the lines up to @else or @end where lse is true;
 * @else                 `@if not lse` where it is not
 * @end
 * $name  s_$r_$j        a value, within a line too: names have no underscore
 * ```
 *
 * A line that is nothing but `$name` takes text of several lines, or none.
 * Integers in WGSL have the type that is needed, so `$r * $lanes + lane` is a
 * u32 like `lane`.
 *
 * @module
 */

import type { Binding } from "../src/core/kernel.ts";
import type { UniformFields } from "../src/core/uniforms.ts";

/** What a name in the notation may stand for. */
export type WgslValue =
  | number
  | string
  | boolean
  | readonly (number | string)[];

/** The names that a text uses. */
export type WgslScope = Readonly<Record<string, WgslValue>>;

/**
 * Expands a text in the notation to WGSL.
 *
 * @throws {TypeError} if a name is unknown or its value does not fit its place,
 * a number is no integer, or a block is not closed
 *
 * @example Two keys, side by side
 * ```ts
 * import { wgsl } from "./wgsl.ts";
 * import { assertEquals } from "@std/assert";
 *
 * const code = wgsl(
 *   `
 *   @each j in keys
 *   maximum = max(maximum, s_$j);
 *   @end
 *   `,
 *   { keys: 2 },
 * );
 * assertEquals(code, "maximum = max(maximum, s_0);\nmaximum = max(maximum, s_1);");
 * ```
 */
export function wgsl(text: string, scope: WgslScope = {}): string {
  const lines = text.split("\n").map((line) => line.trim());
  const out = expand(lines, scope);
  while (out[0] === "") out.shift();
  while (out.at(-1) === "") out.pop();
  return out.join("\n");
}

const DIRECTIVE = /^@(each|if|else|end)\b/;
const EACH = /^@each ([a-z]\w*) in ([a-z]\w*)$/;
const IF = /^@if (not )?([a-z]\w*)$/;
const ALONE = /^\$([a-z][a-zA-Z0-9]*)$/;
const NAME = /\$([a-z][a-zA-Z0-9]*)/g;

function expand(lines: readonly string[], scope: WgslScope): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    if (!DIRECTIVE.test(line)) {
      out.push(...substitute(line, scope));
      continue;
    }
    const each = line.match(EACH);
    const condition = line.match(IF);
    if (!each && !condition) fault(line, "it opens no block");
    const block = blockFrom(lines, at);
    at = block.end;
    if (each) {
      for (const item of itemsOf(valueOf(scope, each[2]), line)) {
        out.push(...expand(block.body, { ...scope, [each[1]]: item }));
      }
    } else if (condition) {
      const value = valueOf(scope, condition[2]);
      if (typeof value !== "boolean") fault(line, `${value} is no boolean`);
      const taken = value === (condition[1] === undefined);
      out.push(...expand(taken ? block.body : block.otherwise, scope));
    }
  }
  return out;
}

/** The lines of the block that opens at `start`, and where it ends. */
function blockFrom(lines: readonly string[], start: number): {
  body: readonly string[];
  otherwise: readonly string[];
  end: number;
} {
  let depth = 0;
  let middle: number | undefined;
  for (let at = start; at < lines.length; at++) {
    if (EACH.test(lines[at]) || IF.test(lines[at])) depth++;
    if (lines[at] === "@else" && depth === 1) middle = at;
    if (lines[at] === "@end" && --depth === 0) {
      return {
        body: lines.slice(start + 1, middle ?? at),
        otherwise: middle === undefined ? [] : lines.slice(middle + 1, at),
        end: at,
      };
    }
  }
  fault(lines[start], "it has no @end");
}

function itemsOf(
  value: WgslValue,
  line: string,
): readonly (number | string)[] {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) {
    return [...Array(value).keys()];
  }
  if (typeof value !== "object") {
    fault(line, `${value} is neither a count nor a list`);
  }
  return value;
}

function substitute(line: string, scope: WgslScope): string[] {
  const alone = line.match(ALONE);
  if (alone) {
    const text = textOf(valueOf(scope, alone[1]), line);
    return text === "" ? [] : text.split("\n");
  }
  return [
    line.replaceAll(
      NAME,
      (_, name: string) => textOf(valueOf(scope, name), line),
    ),
  ];
}

function valueOf(scope: WgslScope, name: string): WgslValue {
  const value = Object.hasOwn(scope, name) ? scope[name] : undefined;
  if (value === undefined) fault(name, "nothing has that name");
  return value;
}

function textOf(value: WgslValue, line: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number" && Number.isInteger(value)) return `${value}`;
  fault(line, `${value} is neither text nor an integer`);
}

function fault(where: string, what: string): never {
  throw new TypeError(
    `Cannot expand WGSL at ${JSON.stringify(where)}: ${what}`,
  );
}

/** Indents by braces, so that emitted WGSL reads as if written by hand. */
export function indent(code: string): string {
  let depth = 0;
  return code.split("\n").map((raw) => {
    const line = raw.trim();
    const leading = line.match(/^[})]*/)![0].length;
    const opened = (line.match(/[{(]/g) ?? []).length;
    const closed = (line.match(/[})]/g) ?? []).length;
    const at = Math.max(0, depth - leading);
    depth = Math.max(0, depth + opened - closed);
    return line === "" ? "" : "  ".repeat(at) + line;
  }).join("\n");
}

/** The WGSL declarations of a binding table (group 0, in order). */
export function declareBindings(bindings: readonly Binding[]): string {
  return bindings.map(({ name, type, access }, i) => {
    const space = access === "uniform" ? "uniform" : `storage, ${access}`;
    return `@group(0) @binding(${i}) var<${space}> ${name}: ${type};`;
  }).join("\n");
}

/** The WGSL struct of a field table, padded to 16 bytes as uniforms want. */
export function declareUniforms(name: string, fields: UniformFields): string {
  const lines = Object.entries(fields).map(([key, type]) =>
    `  ${key}: ${type},`
  );
  for (let pad = 0; lines.length % 4 !== 0; pad++) {
    lines.push(`  padding_${pad}: u32,`);
  }
  return `struct ${name} {\n${lines.join("\n")}\n}`;
}
