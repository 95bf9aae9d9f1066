/**
 * The reference pages of what one types: what the root has to call and to make
 * has a category and an example. `deno test --doc` runs those.
 */

import { assertEquals } from "@std/assert";

/** As much of `deno doc --json` as is used here. */
interface Documentation {
  readonly nodes: Readonly<Record<string, Page>>;
}

interface Page {
  readonly symbols: readonly {
    readonly name: string;
    readonly declarations: readonly Declaration[];
  }[];
}

interface Declaration {
  readonly kind: string;
  readonly jsDoc?: { readonly tags?: readonly { readonly kind: string }[] };
}

/** Classes that nobody makes. */
const HANDED_OUT = ["CacheSequence", "DeviceLostError"];

const ROOT = new URL("../mod.ts", import.meta.url);

async function root(): Promise<Page> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ROOT.href],
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  assertEquals(code, 0, decoder.decode(stderr));
  const { nodes } = JSON.parse(decoder.decode(stdout)) as Documentation;
  return nodes[ROOT.href];
}

const PAGE = root();

/** The root's functions and classes without a tag. */
async function without(tag: string): Promise<string[]> {
  const { symbols } = await PAGE;
  return symbols
    .filter(({ declarations }) =>
      ["function", "class"].includes(declarations[0].kind) &&
      !declarations.some(({ jsDoc }) =>
        jsDoc?.tags?.some(({ kind }) => kind === tag)
      )
    )
    .map(({ name }) => name);
}

Deno.test("every function and class of the root has a category", async () => {
  assertEquals(await without("category"), []);
});

Deno.test("every function and class of the root has an example", async () => {
  const lacking = await without("example");
  assertEquals(lacking.filter((name) => !HANDED_OUT.includes(name)), []);
});
