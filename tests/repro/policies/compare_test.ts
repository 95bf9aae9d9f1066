import { assert, assertEquals } from "@std/assert";
import { attention } from "../../../reference/mod.ts";
import { CONTESTANTS } from "../../../repro/policies/compare/contestants.ts";
import { compare } from "../../../repro/policies/compare/measure.ts";
import {
  NEEDLE_KEYS,
  needleOf,
  plantedTask,
  recallOf,
  type TaskSizes,
} from "../../../repro/policies/compare/task.ts";
import { TILES } from "../../support/attention/runner.ts";
import { gpuTest } from "../../support/gpu.ts";

const SMALL: TaskSizes = {
  context: 256,
  queries: 16,
  heads: 2,
  headDim: 32,
  asked: 2,
  questions: 2,
  seed: 3,
};

Deno.test("plantedTask() has a needle in each part of the context, each asked for once", () => {
  const task = plantedTask(SMALL);
  const places = task.needles.map(({ at }) => at).sort((a, b) => a - b);
  assertEquals(places.map((at) => Math.floor(at / 64)), [0, 1, 2, 3]);
  for (const at of places) assert(at % 64 <= 64 - NEEDLE_KEYS);
  // Parts that needles fill: no other place is left, and questions mix them.
  const { needles } = plantedTask({ ...SMALL, context: 32, questions: 4 });
  const filled = needles.map(({ at }) => at / NEEDLE_KEYS);
  const order = [0, 1, 2, 3, 4, 5, 6, 7];
  assertEquals([...filled].sort((a, b) => a - b), order);
  assert(filled.some((place, i) => place !== i), `${filled}`);
  const asked = Array.from(
    { length: 2 },
    (_, question) =>
      Array.from({ length: 16 }, (_, row) => needleOf(task, question, row)),
  );
  assertEquals(
    asked.map((rows) => rows.map(String).join("")),
    ["0000000011111111", "2222222233333333"],
  );
  assertEquals(plantedTask(SMALL), task);
});

Deno.test("recallOf() finds what dense attention finds, and nothing in what hides needles", () => {
  const task = plantedTask(SMALL);
  const { heads, headDim, keys, queries } = task;
  const outputOf = (sees: (head: number, key: number) => boolean) =>
    attention({
      query: task.questionRows[0],
      key: task.key,
      value: task.value,
      batch: 1,
      queryLength: queries,
      keyLength: keys,
      queryHeads: heads,
      kvHeads: heads,
      headDim,
      mask: (_, head, query, key) => key <= query && sees(head, key),
    }).output;
  const own = task.needles.slice(0, 2);
  const isNeedle = (key: number) =>
    own.some(({ at }) => key >= at && key < at + NEEDLE_KEYS);
  const dense = recallOf(task, 0, outputOf(() => true));
  assert(dense.perHead >= 0.95, `${dense.perHead}`);
  assertEquals(dense.anyHead, 1);
  const hidden = recallOf(task, 0, outputOf((_, key) => !isNeedle(key)));
  // One of four is found by chance.
  assert(hidden.perHead < 0.6, `${hidden.perHead}`);
  assert(hidden.anyHead < 1 && hidden.anyHead >= hidden.perHead);
  const half = recallOf(
    task,
    0,
    outputOf((head, key) => head === 1 || !isNeedle(key)),
  );
  assert(half.anyHead === 1 && half.perHead < 0.8, `${half.perHead}`);
});

gpuTest(
  "compare() runs dense attention and windows, and says what they kept",
  async (_, gpu) => {
    const rows = await compare(gpu, plantedTask(SMALL), {
      budgets: [0.25, 0.5],
      repeats: 1,
      tiles: TILES.small,
      contestants: CONTESTANTS.slice(0, 2),
    });
    assertEquals(
      rows.map(({ name, budget }) => `${name} ${budget}`),
      ["dense 1", "sliding window 0.25", "sliding window 0.5"],
    );
    const [dense, quarter, half] = rows;
    assertEquals([dense.kept, dense.bytes, dense.mass], [1, 1, 1]);
    assert(dense.recall >= 0.95);
    // Keys of a window of 68, of 257 to 272 that are causal.
    const causal = Array.from({ length: 16 }, (_, row) => 257 + row)
      .reduce((a, b) => a + b);
    assertEquals(quarter.kept, 16 * 69 / causal);
    assertEquals(quarter.bytes, (68 + 16) / 272);
    assert(quarter.recall < half.recall && half.recall < dense.recall);
    assert(quarter.mass! < half.mass! && half.mass! < 1);
    assert(rows.every(({ milliseconds }) => milliseconds > 0));
  },
);
