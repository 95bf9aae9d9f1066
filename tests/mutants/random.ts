/**
 * A seeded sample of the faults that the operators can make, in the sources and
 * in emitted WGSL.
 *
 * @module
 */

import { Prng } from "../../src/core/prng.ts";
import { SNAPSHOTS } from "../snapshots/kernels.ts";
import type { Fault, KernelFault, SourceFault } from "./fault.ts";
import { changeSource } from "./place.ts";
import { type Change, changesOf, textOf } from "./operators.ts";
import type { Declaration, SymbolIndex } from "./symbols.ts";
import { findAll, type Token, tokenize } from "./tokens.ts";

/** Where the operators apply. */
export const RANDOM_FOLDERS: readonly string[] = [
  "src/cache",
  "src/kv",
  "src/engine",
  "src/ops",
];

/** What a sample is drawn from. */
export interface RandomSources {
  /** The repository's root. */
  readonly root: string;
  /** Its declarations. */
  readonly index: SymbolIndex;
  /** What is listed by hand: its tests judge what is near. */
  readonly listed: readonly Fault[];
}

/** The words around a change, as few as are in the declaration only once. */
function window(
  { source, first, end }: Declaration,
  change: Change,
): { readonly from: number; readonly to: number } | undefined {
  const tokens = source.tokens.slice(first, end);
  for (let around = 0; around < 40; around++) {
    const from = Math.max(first, change.first - around);
    const to = Math.min(end, change.end + around);
    const find = textOf(source.tokens.slice(from, to));
    if (findAll(find, tokens).length === 1) return { from, to };
  }
}

/** The text of tokens `from` to `to` before and after a change. */
function edit(
  tokens: readonly Token[],
  { from, to }: { readonly from: number; readonly to: number },
  { first, end, replace }: Change,
): Pick<Fault, "find" | "replace"> {
  return {
    find: textOf(tokens.slice(from, to)),
    replace: [
      textOf(tokens.slice(from, first)),
      replace,
      textOf(tokens.slice(end, to)),
    ].filter((text) => text !== "").join(" "),
  };
}

function unique(lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())];
}

/** The tests of what is listed, by the file that it is in. */
function testsByFile({ index, listed }: RandomSources): Map<string, string[]> {
  const byFile = Map.groupBy(
    listed.flatMap((fault) => "kernel" in fault ? [] : [fault]),
    (fault) => changeSource(index, fault).file,
  );
  return new Map([...byFile].map(([file, faults]) => [
    file,
    unique(faults.map(({ tests }) => tests)),
  ]));
}

/** The tests that lie as a file does, or in the nearest folder above. */
async function testsBeside(file: string, root: string): Promise<string[]> {
  for (let path = file; path.includes("/");) {
    path = path.replace(/\/[^/]*$/, "");
    const folder = path.replace(/^src/, "tests");
    const there = await Deno.stat(`${root}/${folder}`).catch(() => undefined);
    if (there) return [folder];
  }
  return ["tests"];
}

async function sourceFault(
  declaration: Declaration,
  change: Change,
  testsOf: (file: string) => Promise<string[]>,
): Promise<SourceFault | undefined> {
  const place = window(declaration, change);
  if (place === undefined) return undefined;
  const { source, symbol } = declaration;
  const text = edit(source.tokens, place, change);
  return {
    name: `${text.find} -> ${text.replace}`,
    symbol,
    file: source.file,
    ...text,
    tests: await testsOf(source.file),
  };
}

/**
 * The statement of emitted WGSL that a change is in, with variables instead of
 * the numbers that differ from tile to tile.
 */
function kernelFault(
  kernel: string,
  tokens: readonly Token[],
  change: Change,
  { listed }: RandomSources,
): KernelFault {
  const isEnd = (i: number) => /^[;{}]$/.test(tokens[i]?.text ?? ";");
  let from = change.first;
  let to = change.end;
  while (!isEnd(from - 1)) from--;
  while (!isEnd(to - 1)) to++;
  const names = new Map<string, string>();
  const variable = (number: string) => {
    const known = names.get(number) ?? String.fromCharCode(97 + names.size);
    names.set(number, known);
    return `$${known}`;
  };
  const kept = (i: number) =>
    change.replace !== "" && i >= change.first && i < change.end;
  const general = tokens.map((token, i) => {
    if (i < from || i >= to || kept(i)) return token;
    const text = token.text.replace(/^(?![01]u?$)\d+u?$|(?<=_)\d+/g, variable);
    return { ...token, text };
  });
  const text = edit(general, { from, to }, change);
  const near = listed.filter((fault) =>
    "kernel" in fault &&
    (kernel.startsWith(fault.kernel) || fault.kernel.startsWith(kernel))
  );
  return {
    name: `${text.find} -> ${text.replace}`,
    kernel,
    all: true,
    ...text,
    tests: unique(near.map(({ tests }) => tests)),
  };
}

/** Everything that may notice a fault, by where it is. */
const WIDE: readonly (readonly [from: string, tests: readonly string[]])[] = [
  ["src/cache/", ["tests/cache", "tests/engine", "tests/kv"]],
  ["src/kv/", ["tests/kv", "tests/laws"]],
  ["src/engine/", ["tests/engine"]],
  ["src/ops/", ["tests/ops", "tests/laws", "tests/kernels"]],
  ["attention.", ["tests/kernels", "tests/laws", "tests/ops"]],
  ["cache.", ["tests/kernels", "tests/kv"]],
];

/** The same faults, judged by all the tests that may notice them. */
export function widen(faults: readonly Fault[]): Fault[] {
  return faults.map((fault) => {
    const place = "kernel" in fault ? fault.kernel : fault.file!;
    const [, tests] = WIDE.find(([from]) => place.startsWith(from))!;
    return { ...fault, tests };
  });
}

type Place = () => Fault | undefined | Promise<Fault | undefined>;

function sourcePlaces(sources: RandomSources): Place[] {
  const near = testsByFile(sources);
  const testsOf = async (file: string) =>
    near.get(file) ?? await testsBeside(file, sources.root);
  return [...sources.index.declarations.values()].flat()
    .filter(({ symbol, source }) =>
      !symbol.includes(".") &&
      RANDOM_FOLDERS.some((folder) => source.file.startsWith(`${folder}/`))
    )
    .flatMap((declaration) => {
      const { source, first, end } = declaration;
      return changesOf(source.tokens, first, end)
        .map((change) => () => sourceFault(declaration, change, testsOf));
    });
}

function kernelPlaces(sources: RandomSources): Place[] {
  const faults = new Map<string, KernelFault>();
  for (const [, { label, code }] of SNAPSHOTS) {
    const [kernel] = label.match(/^[^/]*\//)!;
    const tokens = tokenize(code);
    for (const change of changesOf(tokens)) {
      const fault = kernelFault(kernel, tokens, change, sources);
      faults.set(`${kernel} ${fault.name}`, fault);
    }
  }
  return [...faults.values()].map((fault) => () => fault);
}

/** Draws `count` faults, the same ones for the same sources and seed. */
export async function drawFaults(
  sources: RandomSources,
  count: number,
  seed: number,
): Promise<Fault[]> {
  const places = [...sourcePlaces(sources), ...kernelPlaces(sources)];
  const drawn: Fault[] = [];
  for (const place of new Prng(seed).shuffle(places)) {
    if (drawn.length === count) break;
    const fault = await place();
    if (fault) drawn.push(fault);
  }
  return drawn;
}
