import { assert, assertEquals } from "@std/assert";
import { FAULTS } from "./faults/mod.ts";
import { changeSource, FOLDERS } from "./place.ts";
import { drawFaults, RANDOM_FOLDERS } from "./random.ts";
import { SymbolIndex } from "./symbols.ts";

const root = new URL("../..", import.meta.url).pathname;

Deno.test("drawFaults() draws faults that can be made, by the seed", async () => {
  const index = await SymbolIndex.read(root, FOLDERS);
  const draw = (seed: number) =>
    drawFaults({ root, index, listed: FAULTS }, 300, seed);
  const drawn = await draw(1);
  assertEquals(drawn.length, 300);
  assertEquals(await draw(1), drawn);
  const names = ({ name }: { name: string }) => name;
  assert((await draw(2)).map(names).join() !== drawn.map(names).join());
  for (const fault of drawn) {
    assert(fault.tests.length > 0, fault.name);
    if ("kernel" in fault) continue;
    const { file, before, after } = changeSource(index, fault);
    assert(RANDOM_FOLDERS.some((folder) => file.startsWith(folder)), file);
    assert(before !== after, fault.name);
  }
  assert(drawn.some((fault) => "kernel" in fault));
});
