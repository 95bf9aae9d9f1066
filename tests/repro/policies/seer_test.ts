import { assert, assertEquals } from "@std/assert";
import { countSeer, plantedHead } from "../../../repro/policies/seer_counts.ts";

Deno.test("a gate finds the planted blocks, within its density and its bound", () => {
  const rows = countSeer(4096, [0.3, 0.5, 1]);
  assertEquals(rows.map(({ topK }) => topK), [10, 18, 64]);
  for (const { asked, chosen, kept, recall, mass, ...row } of rows) {
    assert(Math.abs(chosen - asked) <= 0.02, `${chosen} of ${asked}`);
    assert(kept >= chosen && Math.abs(row.visited - kept) < 1e-12);
    assert(recall > 0.98, `${recall}`);
    assert(mass > 0.99 && row.byChance <= mass && row.error <= 1);
    assert(row.speedup * kept > 0.9 && row.speedup * kept <= 1);
  }
  const [, , whole] = rows;
  assertEquals([whole.kept, whole.mass, whole.error], [1, 1, 0]);
});

Deno.test("each block of queries looks at as many blocks before it as there are, up to four", () => {
  const { planted } = plantedHead(640, 1);
  assertEquals(planted.map((own) => own.length), [
    0,
    1,
    2,
    3,
    4,
    4,
    4,
    4,
    4,
    4,
  ]);
  planted.forEach((own, row) => assert(own.every((block) => block < row)));
});
