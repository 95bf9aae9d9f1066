import { assertEquals } from "@std/assert";
import { SNAPSHOTS } from "../snapshots/kernels.ts";
import { placeOf } from "./fault.ts";
import { FAULTS } from "./faults/mod.ts";
import { changeSource, FOLDERS } from "./place.ts";
import { SymbolIndex } from "./symbols.ts";
import { findAll, tokenize } from "./tokens.ts";

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

Deno.test("every fault in a kernel has its place in a snapshot", () => {
  const kernels = SNAPSHOTS.map(([, { label, code }]) => ({
    label,
    tokens: tokenize(code),
  }));
  const wrong: string[] = [];
  for (const fault of FAULTS) {
    if (!("kernel" in fault)) continue;
    const places = kernels
      .filter(({ label }) => label.startsWith(fault.kernel))
      .map(({ tokens }) => findAll(fault.find, tokens).length);
    const most = Math.max(0, ...places);
    if (most === 0) wrong.push(`${fault.name}: not in ${fault.kernel}`);
    if (most > 1 && !fault.all) wrong.push(`${fault.name}: ${most} places`);
  }
  assertEquals(wrong, []);
});

Deno.test("no two faults of a place have one name", () => {
  const names = FAULTS.map((fault) => `${placeOf(fault)}: ${fault.name}`);
  assertEquals(names.filter((name, i) => names.indexOf(name) !== i), []);
});
