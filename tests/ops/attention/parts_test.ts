/**
 * What a problem's program is made of, on devices that are only described.
 *
 * @module
 */

import { assertEquals, assertThrows } from "@std/assert";
import { attentionProblem, UnsupportedError } from "../../../mod.ts";
import { partsFor } from "../../support/attention/parts.ts";
import { planDevice } from "../../support/plan_device.ts";

const DEVICE = planDevice({ maxLoopIterations: 65535, workgroupBytes: 32768 });

/** One query of 256 columns over keys in `splits` splits of a step. */
function partsOf(splits: number, maxLoopIterations: number, heads = 1) {
  const keys = { dtype: "f32", shape: [1, 128 * splits, 1, 256] } as const;
  const problem = attentionProblem({
    query: { dtype: "f32", shape: [1, 1, heads, 256] },
    key: keys,
    value: keys,
  });
  return partsFor(problem, { ...DEVICE, maxLoopIterations }, {
    splits: 65535,
  });
}

Deno.test("attentionParts() refuses more states of a row than can be merged", () => {
  // 64 vec4s over 8 lanes: each lane goes along the states twice, 8 times.
  const { dispatches } = partsOf(4000, 65535).parts;
  assertEquals(dispatches.map(({ grid }) => grid[0]), [4000, 1]);
  assertThrows(
    () => partsOf(4200, 65535),
    UnsupportedError,
    "Cannot merge 4200 states of a row",
  );
  assertEquals(partsOf(4200, Infinity).parts.dispatches.length, 2);
});

Deno.test("attentionParts() divides a merge of many states by rows", () => {
  // 1000 states of 256 columns are more than a workgroup reads for one row.
  const [, merge] = partsOf(1000, Infinity, 4).parts.dispatches;
  assertEquals(merge.grid, [4, 1, 1]);
  const [, small] = partsOf(100, Infinity, 4).parts.dispatches;
  assertEquals(small.grid, [1, 1, 1]);
});
