/**
 * Text tools for WGSL: a checked template tag, unrolling, and one table each
 * for bindings and uniforms, from which the WGSL declarations, the bind group
 * layout and the bytes follow.
 *
 * @module
 */

import type { Binding } from "../src/core/kernel.ts";
import type { UniformFields } from "../src/core/uniforms.ts";

/** What a {@linkcode wgsl} template accepts: numbers, text, lines of text. */
export type WgslValue = number | string | readonly string[];

/**
 * Assembles WGSL. Integers print as they are; anything that would print as
 * `NaN`, `undefined` or a fraction is a mistake in the generator and throws.
 *
 * @example Integers and fragments
 * ```ts
 * import { wgsl } from "./wgsl.ts";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(wgsl`const LANES = ${8}u;`, "const LANES = 8u;");
 * ```
 */
export function wgsl(
  strings: TemplateStringsArray,
  ...values: WgslValue[]
): string {
  let out = strings[0];
  values.forEach((value, i) => {
    if (typeof value === "number" && !Number.isInteger(value)) {
      throw new TypeError(
        `WGSL template values must be integers: current value is ${value}`,
      );
    }
    if (
      typeof value !== "number" && typeof value !== "string" &&
      !Array.isArray(value)
    ) {
      throw new TypeError(
        `WGSL template values must be text or integers: current value is ${value}`,
      );
    }
    out += (Array.isArray(value) ? value.join("\n") : String(value)) +
      strings[i + 1];
  });
  return out;
}

/** `count` copies of a fragment, one a line: the register tile's unrolling. */
export function unroll(
  count: number,
  fragment: (index: number) => string,
): string {
  return Array.from({ length: count }, (_, i) => fragment(i)).join("\n");
}

/**
 * `sum += <x, y>` for vec4s. A fixed chain of `fma`, so that no compiler may
 * contract or reorder it and every kernel rounds a dot product alike.
 */
export function accumulateDot(sum: string, x: string, y: string): string {
  return `${sum} = fma(${x}.x, ${y}.x, fma(${x}.y, ${y}.y, fma(${x}.z, ${y}.z, fma(${x}.w, ${y}.w, ${sum}))));`;
}

/** Indents by braces, so that generated WGSL reads as if written by hand. */
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
  return bindings.map(({ name, type, access }, i) =>
    `@group(0) @binding(${i}) var<${
      access === "uniform" ? "uniform" : `storage, ${access}`
    }> ${name}: ${type};`
  ).join("\n");
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
