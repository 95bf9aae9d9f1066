import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { FreeList } from "../../../src/cache/block/free_list.ts";
import { property } from "../../support/property.ts";

Deno.test("FreeList() holds 1..capacity in order", () => {
  const list = new FreeList(4);
  assertEquals([...list], [1, 2, 3, 4]);
  assertEquals(list.length, 4);
  list.verify();
});

Deno.test("FreeList.popFront() empties the list, then gives undefined", () => {
  const list = new FreeList(2);
  assertEquals(
    [list.popFront(), list.popFront(), list.popFront()],
    [1, 2, undefined],
  );
  assertEquals(list.length, 0);
  list.verify();
});

Deno.test("FreeList.remove() takes ids from front, middle and back", () => {
  const list = new FreeList(5);
  for (const id of [3, 1, 5]) list.remove(id);
  assertEquals([...list], [2, 4]);
  assertEquals([1, 2, 3, 4, 5].map((id) => list.has(id)), [
    false,
    true,
    false,
    true,
    false,
  ]);
  list.verify();
});

Deno.test("FreeList.pushBack() puts ids behind the others", () => {
  const list = new FreeList(3);
  list.remove(2);
  list.remove(1);
  list.pushBack(2);
  list.pushBack(1);
  assertEquals([...list], [3, 2, 1]);
  list.verify();
});

Deno.test("FreeList() of capacity 0 is empty", () => {
  const list = new FreeList(0);
  assertEquals([...list], []);
  assertEquals(list.popFront(), undefined);
  list.verify();
});

Deno.test("FreeList throws on bad ids and changes nothing", () => {
  const list = new FreeList(3);
  list.remove(2);
  const calls: (() => void)[] = [
    () => list.pushBack(1),
    () => list.pushBack(0),
    () => list.pushBack(4),
    () => list.pushBack(1.5),
    () => list.remove(2),
    () => list.remove(0),
    () => list.remove(4),
    () => list.remove(-1),
  ];
  for (const call of calls) assertThrows(call, RangeError, "id must");
  assertThrows(() => new FreeList(-1), RangeError, "capacity");
  assertEquals([...list], [1, 3]);
  list.verify();
});

property(
  "FreeList equals an array under any pushes, pops and removals",
  [
    fc.integer({ min: 0, max: 9 }),
    fc.array(fc.tuple(fc.constantFrom("push", "pop", "remove"), fc.nat()), {
      size: "+1",
    }),
  ],
  (capacity, steps) => {
    const list = new FreeList(capacity);
    const all = Array.from({ length: capacity }, (_, i) => i + 1);
    const model = [...all];
    for (const [step, pick] of steps) {
      const absent = all.filter((id) => !model.includes(id));
      if (step === "push" && absent.length > 0) {
        const id = absent[pick % absent.length];
        list.pushBack(id);
        model.push(id);
      } else if (step === "pop") {
        assertEquals(list.popFront(), model.shift());
      } else if (step === "remove" && model.length > 0) {
        const index = pick % model.length;
        list.remove(model[index]);
        model.splice(index, 1);
      }
      assertEquals([...list], model);
      assertEquals(list.length, model.length);
      for (const id of all) assertEquals(list.has(id), model.includes(id));
      list.verify();
    }
  },
);
