import { assertEquals } from "@std/assert";
import {
  paysFrom,
  policyCells,
  type PolicyRow,
} from "../../bench/support/policy_times.ts";

const row = (tokens: number, denseMs: number, ms: number): PolicyRow => ({
  policy: "test",
  tokens,
  denseMs,
  ms,
  selectMs: 0.5,
});

Deno.test("paysFrom() is the shortest length from which on all pay", () => {
  const lengths = [256, 512, 1024, 2048];
  const from = (...times: readonly number[]) =>
    paysFrom(times.map((ms, i) => row(lengths[i], 4, ms)));
  assertEquals(from(5, 5, 3, 2), 1024);
  // One that pays by chance below one that does not.
  assertEquals(from(3, 5, 3, 2), 1024);
  assertEquals(from(3, 3, 3, 3), 256);
  assertEquals(from(3, 3, 3, 4), undefined);
  assertEquals(paysFrom([row(1024, 4, 3), row(256, 4, 4)]), 1024);
  assertEquals(paysFrom([]), undefined);
});

Deno.test("policyCells() says what was saved", () => {
  assertEquals(policyCells(row(512, 8, 2)), [
    ...["test", "512", "8.00", "2.00", "0.50", "75 %"],
  ]);
  assertEquals(policyCells(row(512, 4, 6)).at(-1), "-50 %");
});
