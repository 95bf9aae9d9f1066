/** The room that a plan reserves for the lists that the device writes. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { UnsupportedError } from "../../../../mod.ts";
import { blockGrid } from "../../../../src/mods/block_mask/geometry.ts";
import type { BlockGeometry } from "../../../../src/mods/mod.ts";
import { attentionProblem } from "../../../../src/ops/mod.ts";
import {
  SelectedLists,
  type SelectedWork,
} from "../../../../src/ops/attention/work/selection.ts";

const HEADS = { queryHeads: 6, kvHeads: 2 };
const GEOMETRY = { queries: 256, keys: 4096, queryBlock: 64, keyBlock: 128 };

function listsOf(
  more: Partial<BlockGeometry> = {},
  {
    along = "key" as "key" | "row",
    runsPerHead = false,
    maxLoopIterations = Infinity,
  } = {},
): SelectedLists {
  const shape = (length: number, heads: number) =>
    ({ dtype: "f32", shape: [1, length, heads, 8] }) as const;
  const problem = attentionProblem({
    query: shape(256, HEADS.queryHeads),
    key: shape(4096, HEADS.kvHeads),
    value: shape(4096, HEADS.kvHeads),
  });
  return new SelectedLists(blockGrid({ ...GEOMETRY, ...more }), problem, {
    along,
    runsPerHead,
    maxLoopIterations,
  });
}

const WORK: SelectedWork = {
  record: {
    queryStart: 0,
    queryCount: 256,
    keyStart: 0,
    keyCount: 4096,
    queryOffset: 3840,
    batch: 0,
  },
  row: 0,
  rows: 64,
  runs: [[{ first: 0, end: 4096, full: true }]],
  kvHead: undefined,
  step: 16,
};

Deno.test("a list has room for a run a block", () => {
  const lists = listsOf();
  const stride = 2 + 3 * 32;
  assertEquals(lists.reserve(WORK), { at: 0, stride });
  assertEquals(lists.reserve(WORK), { at: stride, stride });
  assertEquals(lists.selection, {
    along: "key",
    words: 2 * stride,
    lists: 2,
    perHead: false,
  });
});

Deno.test("along rows, a list has room for a run a row of blocks", () => {
  // 768 packed rows of 3 heads, 64 queries a block.
  const work = { ...WORK, runs: [[{ first: 0, end: 768, full: true }]] };
  const along = "row";
  assertEquals(listsOf({}, { along }).reserve(work).stride, 2 + 3 * 4);
  // Blocks of 50 queries are 150 rows, which steps of 16 reach across.
  const odd = listsOf({ queryBlock: 50 }, { along });
  assertEquals(odd.reserve(work).stride, 2 + 3 * 2 * 6);
  // By positions, row 0 is 10 queries into a block.
  const shifted = listsOf({ queryOffset: 3830, queries: 300 }, { along });
  assertEquals(shifted.reserve(work).stride, 2 + 3 * 2 * 5);
  // There are never more runs than steps.
  const fine = listsOf({ queryBlock: 1 }, { along });
  assertEquals(fine.reserve(work).stride, 2 + 3 * 48);
});

Deno.test("masks by head have a list a kv head", () => {
  const byHead = listsOf({ heads: 6 });
  const stride = 2 + 3 * 32;
  assertEquals(byHead.reserve(WORK), { at: 0, stride });
  assertEquals(byHead.selection, {
    along: "key",
    words: 2 * stride,
    lists: 2,
    perHead: true,
  });
  // A worker of stream-K has one kv head at a time.
  assertEquals(byHead.reserve({ ...WORK, kvHead: 1 }).at, 2 * stride);
  assertEquals(byHead.selection.lists, 3);
  assert(listsOf({}, { runsPerHead: true }).selection.perHead);
});

Deno.test("there are never more runs than steps", () => {
  const { stride } = listsOf({ keyBlock: 1 }).reserve(WORK);
  assertEquals(stride, 2 + 3 * 256);
  // Steps that reach into two blocks may be a run of their own.
  const reaching = listsOf({ keyBlock: 100 }).reserve(WORK);
  assertEquals(reaching.stride, 2 + 3 * 82);
});

Deno.test("loops that an adapter would end are refused", () => {
  for (const along of ["key", "row"] as const) {
    listsOf({ queryBlock: 1 }, { along, maxLoopIterations: 65535 })
      .reserve(WORK);
  }
  assertThrows(
    () => listsOf({ queryBlock: 1 }, { maxLoopIterations: 200 }).reserve(WORK),
    UnsupportedError,
    "Cannot select among blocks of 128 keys and 1 queries",
  );
});
