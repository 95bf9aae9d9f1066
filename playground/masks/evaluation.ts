/**
 * A mod as it is typed: code that is run with the library's mods in scope, and
 * whose last expression is what it is about.
 *
 * @module
 */

import { checkType } from "../../src/core/check.ts";
import * as library from "../../src/mods/mod.ts";
import type { MaskMod, ScoreMod } from "../../src/mods/mod.ts";
import type { Settings } from "./settings.ts";

/** The functions of the library that typed code may use: all of `/mods`. */
const FUNCTIONS: readonly (readonly [name: string, value: unknown])[] = Object
  .entries(library).filter(([name]) => /^[a-z]/.test(name));

/** The sizes that typed code may use. */
const SIZES = ["queries", "keys", "heads"] as const satisfies readonly (
  keyof Settings
)[];

/** Everything that is in scope. */
export const SCOPE: readonly string[] = [
  ...FUNCTIONS.map(([name]) => name),
  ...SIZES,
];

/** What the code's errors call it. */
const FILE = "mod.js";

/** The mods that code describes. */
export interface Mods {
  /** All must hold. */
  readonly maskMods: readonly MaskMod[];
  /** Applied in order. */
  readonly scoreMods: readonly ScoreMod[];
}

/** Why code describes none. */
export interface Mistake {
  /** The error's class. */
  readonly name: string;
  /** What it says. */
  readonly message: string;
  /** The line of the code, from 1, where that is known. */
  readonly line?: number;
}

/**
 * Runs code and takes its last expression: a mask mod, a score mod, or an array
 * of them. The code runs with all rights of the thread that it is run in.
 *
 * @throws {TypeError} If that is none; and whatever the code throws.
 */
export function evaluateMods(code: string, settings: Settings): Mods {
  const values = [
    ...FUNCTIONS.map(([, value]) => value),
    ...SIZES.map((name) => settings[name]),
  ];
  // Its last expression, as a console has it, is what eval() gives.
  const run = new Function(...SCOPE, "code", '"use strict"; return eval(code)');
  const value = run(...values, `${code}\n//# sourceURL=${FILE}`);
  const mods: (MaskMod | ScoreMod)[] = [value].flat(Infinity);
  checkType(
    mods.length > 0 &&
      mods.every((mod) => mod?.kind === "mask" || mod?.kind === "score"),
    "the last expression",
    "must be a mask mod, a score mod, or an array of them",
    value,
  );
  return {
    maskMods: mods.filter((mod) => mod.kind === "mask"),
    scoreMods: mods.filter((mod) => mod.kind === "score"),
  };
}

/** What went wrong, as plain data. */
export function mistakeOf(error: unknown): Mistake {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error) };
  }
  const { name, message, stack = "" } = error;
  // Runtimes write "mod.js:2:1" or "mod.js, <anonymous>:2:1".
  const line = stack.match(new RegExp(`${FILE}[^\\n:]*:(\\d+)`))?.[1];
  return { name, message, ...(line && { line: Number(line) }) };
}
