import { assert, assertEquals } from "@std/assert";
import { editFiles, pack } from "../../src/cli/pack.ts";

/** What tar makes of a folder. */
async function archive(files: Record<string, string>) {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    const { stdout } = await new Deno.Command("tar", {
      args: ["-cf", "-", "-C", folder, ...Object.keys(files)],
    }).output();
    return stdout;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** What tar reads in it; tar checks the sums of the headers. */
async function read(bytes: Uint8Array<ArrayBuffer>, name?: string) {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeFile(file, bytes);
    const args = name ? ["-xOf", file, name] : ["-tf", file];
    const { stdout, success } = await new Deno.Command("tar", { args })
      .output();
    assert(success);
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("editFiles() changes one file, drops one, keeps the others", async () => {
  const long = "x".repeat(3000);
  const before = await archive({ a: "one", b: "two", c: "three", d: "four" });
  const after = editFiles(before, (path, text) => {
    if (path === "b") return `${text()}${long}`;
    return path === "c" ? null : undefined;
  });
  assertEquals(await read(after), "a\nb\nd\n");
  assertEquals(await read(after, "a"), "one");
  assertEquals(await read(after, "b"), `two${long}`);
  assertEquals(await read(after, "d"), "four");
});

Deno.test("pack() says what Node and bundlers read", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const repository = "git+https://example.org/quire.git";
    const manifest = await pack({ out: `${folder}/quire.tgz`, repository });
    assertEquals(manifest.name, "@quire/attention");
    assertEquals(manifest.sideEffects, false);
    assertEquals(manifest.repository, { type: "git", url: repository });
    assertEquals(manifest.engines, { node: ">=20" });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
