/** What all plans have in common: making, updating and freeing a program. */

import {
  assertEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { selectBlocksKernel } from "../../../kernels/selection/select_blocks.ts";
import type { Gpu } from "../../../src/gpu/mod.ts";
import { PlanProgram } from "../../../src/ops/plan/plan_program.ts";
import { gpuTest } from "../../support/gpu.ts";

/** A plan for the bits of so many words, each 0 or not. */
function planOf(gpu: Gpu, words: number) {
  return PlanProgram.create(gpu, {
    label: "test",
    problem: words,
    work: (problem: number) => {
      if (problem > 32) throw new RangeError("words must be <= 32");
      return {
        twice: 2 * problem,
        parts: {
          dispatches: [{
            source: selectBlocksKernel({ dtype: "u32" }),
            uniforms: {
              words: 1,
              row_words: 1,
              row_blocks: problem,
              grid_width: 1,
            },
            grid: [1, 1, 1] as const,
          }],
        },
      };
    },
  });
}

gpuTest("PlanProgram is for the last problem that it took", async (_, gpu) => {
  const plan = await planOf(gpu, 4);
  using scores = gpu.tensor(new Uint32Array(32).fill(1), [32]);
  using blocks = gpu.empty("u32", [4]);
  const run = async () => {
    gpu.submit("test", (encoder) => plan.encode(encoder, { scores, blocks }));
    return (await gpu.readOne(blocks))[0];
  };
  try {
    assertEquals([plan.problem, plan.parts.twice], [4, 8]);
    assertEquals(await run(), 0xf);
    const updated = plan.update(8);
    assertEquals(plan.problem, 4, "not before what it needs is compiled");
    await updated;
    assertEquals([plan.problem, plan.parts.twice], [8, 16]);
    assertEquals(await run(), 0xff);
    const { parts } = plan;
    await assertRejects(() => plan.update(33), RangeError, "words must be");
    assertEquals(plan.problem, 8);
    assertStrictEquals(plan.parts, parts);
    assertEquals(await run(), 0xff);
  } finally {
    plan.destroy();
  }
});

gpuTest("PlanProgram is refused once it is destroyed", async (_, gpu) => {
  const plan = await planOf(gpu, 4);
  const meanwhile = plan.update(8);
  plan.destroy();
  plan.destroy();
  await assertRejects(
    () => meanwhile,
    TypeError,
    "plan must not be destroyed",
  );
  await assertRejects(
    () => plan.update(8),
    TypeError,
    "plan must not be destroyed",
  );
  assertEquals(plan.problem, 4);
  assertThrows(
    () => plan.encode(gpu.device.createCommandEncoder(), {}),
    TypeError,
    "plan must not be destroyed",
  );
  await assertRejects(
    () => planOf({} as Gpu, 4),
    TypeError,
    "gpu must be a Gpu",
  );
});
