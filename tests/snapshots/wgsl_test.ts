/**
 * The WGSL of a few specs, kept as files that are reviewed like code.
 * `QUIRE_UPDATE=1 deno test -A tests/snapshots` writes them anew.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { SNAPSHOTS } from "./kernels.ts";

for (const [name, kernel] of SNAPSHOTS) {
  Deno.test(`the WGSL of ${name} is as it was reviewed`, async () => {
    const url = new URL(`./${name}.wgsl`, import.meta.url);
    const text = kernel.code.trimEnd() + "\n";
    if (Deno.env.get("QUIRE_UPDATE") === "1") {
      await Deno.writeTextFile(url, text);
    }
    const reviewed = await Deno.readTextFile(url);
    assertEquals(text.split("\n"), reviewed.split("\n"));
  });
}
