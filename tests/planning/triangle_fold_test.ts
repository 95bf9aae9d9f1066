import { assert, assertEquals, assertThrows } from "@std/assert";
import { TriangleFold } from "../../src/planning/mod.ts";

Deno.test("TriangleFold is a rectangle of all blocks, each once, for any number of rows", () => {
  for (let rows = 1; rows <= 33; rows++) {
    const fold = new TriangleFold(rows);
    const blocks = rows * (rows + 1) / 2;
    assertEquals(fold.pairs * fold.width, blocks);
    assertEquals(fold.pairs, Math.ceil(rows / 2));
    const seen = new Set<string>();
    for (let pair = 0; pair < fold.pairs; pair++) {
      const own = new Set<number>();
      for (let slot = 0; slot < fold.width; slot++) {
        const block = fold.block({ pair, slot });
        const { row, column } = block;
        assert(column >= 0 && column <= row && row < rows, `${row}, ${column}`);
        seen.add(`${row},${column}`);
        own.add(row);
        assertEquals(fold.place(block), { pair, slot });
      }
      // Rows stay whole: a pair is of two, or of the last alone.
      assertEquals(own.size, rows % 2 === 1 && pair === 0 ? 1 : 2);
    }
    assertEquals(seen.size, blocks);
  }
});

Deno.test("TriangleFold goes along a short row, then along its long one", () => {
  const rows = (count: number, pair: number) => {
    const fold = new TriangleFold(count);
    return Array.from({ length: fold.width }, (_, slot) => {
      const { row, column } = fold.block({ pair, slot });
      return `${row}${column}`;
    }).join(" ");
  };
  assertEquals(rows(4, 0), "00 30 31 32 33");
  assertEquals(rows(4, 1), "10 11 20 21 22");
  assertEquals(rows(3, 0), "20 21 22");
  assertEquals(rows(3, 1), "00 10 11");
});

Deno.test("TriangleFold refuses places that there are not", () => {
  assertThrows(() => new TriangleFold(0), RangeError, "rows must be");
  const fold = new TriangleFold(4);
  const cases: [() => unknown, string][] = [
    [() => fold.block({ pair: 2, slot: 0 }), "pair must be an integer in 0..1"],
    [() => fold.block({ pair: 0, slot: 5 }), "slot must be an integer in 0..4"],
    [() => fold.place({ row: 4, column: 0 }), "row must be an integer in 0..3"],
    [
      () => fold.place({ row: 1, column: 2 }),
      "column must be an integer in 0..1",
    ],
  ];
  for (const [run, message] of cases) assertThrows(run, RangeError, message);
});
