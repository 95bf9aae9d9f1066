/**
 * What the package exports, entry point by entry point: a name that comes or
 * goes is a decision. `QUIRE_UPDATE=1` writes the lists anew.
 */

import { assertEquals } from "@std/assert";
import configuration from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url);
const SNAPSHOTS = new URL("./snapshots/surface/", import.meta.url);

/** As much of `deno doc --json` as is used here. */
interface Documentation {
  readonly nodes: Readonly<
    Record<string, { readonly symbols: readonly { readonly name: string }[] }>
  >;
}

const ENTRIES = Object.entries(configuration.exports).map(([name, path]) => ({
  name,
  url: new URL(path, ROOT).href,
  snapshot: `${name === "." ? "mod" : name.slice("./".length)}.txt`,
}));

/** The exported names of each entry point, types among them, in order. */
async function exportedNames(): Promise<Map<string, string[]>> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...ENTRIES.map(({ url }) => url)],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, decoder.decode(stderr));
  const { nodes } = JSON.parse(decoder.decode(stdout)) as Documentation;
  return new Map(ENTRIES.map(({ url }) => [
    url,
    [...new Set(nodes[url].symbols.map(({ name }) => name))].sort(),
  ]));
}

const NAMES = exportedNames();

for (const { name, url, snapshot } of ENTRIES) {
  Deno.test(`the names that "${name}" exports are as they were decided`, async () => {
    const names = (await NAMES).get(url)!;
    const file = new URL(snapshot, SNAPSHOTS);
    if (Deno.env.get("QUIRE_UPDATE") === "1") {
      await Deno.mkdir(SNAPSHOTS, { recursive: true });
      await Deno.writeTextFile(file, names.join("\n") + "\n");
    }
    const decided = (await Deno.readTextFile(file)).trimEnd().split("\n");
    const without = (all: string[], some: string[]) =>
      all.filter((it) => !some.includes(it));
    assertEquals({
      added: without(names, decided),
      removed: without(decided, names),
    }, { added: [], removed: [] });
  });
}

Deno.test("every list of names has its entry point", () => {
  const files = Array.from(Deno.readDirSync(SNAPSHOTS), ({ name }) => name);
  const expected = ENTRIES.map(({ snapshot }) => snapshot);
  assertEquals(files.sort(), expected.sort());
});
