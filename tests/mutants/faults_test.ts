import { assertEquals } from "@std/assert";
import { placeOf } from "./fault.ts";
import { FAULTS } from "./faults/mod.ts";
import { changeSource, FOLDERS } from "./place.ts";
import { SymbolIndex } from "./symbols.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

Deno.test("every fault in the sources has its place, and its tests", async () => {
  const index = await SymbolIndex.read(ROOT, FOLDERS);
  const wrong: string[] = [];
  const tests = new Set(FAULTS.flatMap((fault) => fault.tests));
  for (const test of tests) {
    const there = await Deno.stat(`${ROOT}/${test}`).catch(() => undefined);
    if (there === undefined) wrong.push(`${test} is not there`);
  }
  for (const fault of FAULTS) {
    if ("kernel" in fault) continue;
    try {
      changeSource(index, fault);
    } catch (error) {
      wrong.push(`${fault.name}: ${(error as Error).message}`);
    }
  }
  assertEquals(wrong, []);
});

Deno.test("no two faults of a place have one name", () => {
  const names = FAULTS.map((fault) => `${placeOf(fault)}: ${fault.name}`);
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
});
