/**
 * The reference pages of what one types, entry point by entry point: every
 * symbol has a category, and what is called or made has an example.
 * `deno test --doc` runs those.
 */

import { assert, assertEquals } from "@std/assert";
import configuration from "../deno.json" with { type: "json" };

/** As much of `deno doc --json` as is used here. */
interface Documentation {
  readonly nodes: Readonly<Record<string, Page>>;
}

interface Page {
  readonly symbols: readonly PageSymbol[];
}

interface PageSymbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: { readonly tags?: readonly { readonly kind: string }[] };
  }[];
}

/** Classes that nobody makes: they are thrown, handed out or built upon. */
const HANDED_OUT = ["CacheSequence", "DeviceLostError", "KvArenas"];

const ROOT = new URL("../", import.meta.url);
const ENTRIES = Object.entries(configuration.exports);

/** The symbols of an entry point; asked for alone, as others hide its own. */
async function symbolsOf(path: string): Promise<readonly PageSymbol[]> {
  const url = new URL(path, ROOT).href;
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", url],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, decoder.decode(stderr));
  const { nodes } = JSON.parse(decoder.decode(stdout)) as Documentation;
  return nodes[url].symbols;
}

const PAGES = Promise.all(
  ENTRIES.map(async ([name, path]) => [name, await symbolsOf(path)] as const),
);

function hasTag({ declarations }: PageSymbol, tag: string): boolean {
  return declarations.some(({ jsDoc }) =>
    jsDoc?.tags?.some(({ kind }) => kind === tag)
  );
}

function isTyped({ name, declarations: [{ kind }] }: PageSymbol): boolean {
  return ["function", "class"].includes(kind) && !HANDED_OUT.includes(name);
}

/** The names, by entry point, of those symbols that lack a tag. */
async function lacking(
  tag: string,
  counts: (symbol: PageSymbol) => boolean,
): Promise<{ all: number; lacking: string[] }> {
  const symbols = (await PAGES).flatMap(([entry, symbols]) =>
    symbols.filter(counts).map((symbol) => ({ entry, symbol }))
  );
  return {
    all: new Set(symbols.map(({ symbol }) => symbol.name)).size,
    lacking: symbols.filter(({ symbol }) => !hasTag(symbol, tag))
      .map(({ entry, symbol }) => `${entry}: ${symbol.name}`),
  };
}

Deno.test("every symbol of every entry point has a category", async () => {
  const { all, lacking: without } = await lacking("category", () => true);
  assert(all > 250, `${all} symbols`);
  assertEquals(without, [], `${without.length} of ${all} lack @category`);
});

Deno.test("every function and class that one types has an example", async () => {
  const { all, lacking: without } = await lacking("example", isTyped);
  assert(all > 80, `${all} functions and classes`);
  assertEquals(without, [], `${without.length} of ${all} lack @example`);
});

Deno.test("the front page begins with attention", async () => {
  const source = await Deno.readTextFile(new URL("mod.ts", ROOT));
  const [, called] = source.match(/\{@linkcode (\w+)\}/)!;
  assertEquals(called, "attention");
  const [, exported] = source.match(/^export \{\s*(\w+)/m)!;
  assertEquals(exported, "attention");
});

Deno.test("deno task doc writes the pages of every entry point", () => {
  const tasks = [configuration.tasks.doc, configuration.tasks["doc:lint"]];
  for (const { command } of tasks) {
    const words = command.split(" ");
    const missing = ENTRIES.filter(([, path]) =>
      !words.includes(path.slice("./".length))
    );
    assertEquals(missing, [], command);
  }
});
