/**
 * Algorithms that are loaded when they are asked for: the right one, and the
 * problem as it was when it was asked for.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { attention, planAttention, type PlanChoices } from "../../../../mod.ts";
import { checkChoices } from "../../../../src/ops/attention/options/choices.ts";
import { fusedAlgorithm } from "../../../../src/ops/attention/variants/fused.ts";
import { loadAlgorithm } from "../../../../src/ops/attention/variants/load.ts";
import { gpuTest } from "../../../support/gpu.ts";
import { random } from "../tensors.ts";

const loadFor = (choices: PlanChoices) =>
  loadAlgorithm(checkChoices(choices, { software: true }));

Deno.test("loadAlgorithm() has at once what most plans use", () => {
  for (const choices of [{}, { splits: "auto" }] as const) {
    assertEquals(loadFor(choices), fusedAlgorithm);
  }
  const rare = [{ algorithm: "standard" }, { invariant: false }] as const;
  for (const choices of rare) assert(loadFor(choices) instanceof Promise);
});

const CHOICES: Readonly<Record<string, PlanChoices>> = {
  "at once": {},
  "standard": { algorithm: "standard" },
  "shared": { sharedPrefix: "always" },
};

gpuTest(
  "attention() reads the block table that it was given",
  async (_, gpu) => {
    const TABLE = [0, 1, 2, 0, 1, 3];
    const options = {
      query: random([2, 1, 2, 8], 1),
      key: random([4, 64, 2, 8], 2),
      value: random([4, 64, 2, 8], 3),
      keyLengths: [192, 150],
    };
    for (const [name, choices] of Object.entries(CHOICES)) {
      const call = { ...options, ...choices };
      const blockTable = Uint32Array.from(TABLE);
      const asGiven = attention(gpu, { ...call, blockTable });
      blockTable.fill(3);
      const expected = await attention(gpu, {
        ...call,
        blockTable: Uint32Array.from(TABLE),
      });
      assertEquals((await asGiven).output, expected.output, name);
    }
  },
);

gpuTest("planAttention() loads what its choices name", async (_, gpu) => {
  const tensor = (shape: number[]) => ({ dtype: "f32", shape }) as const;
  const kernels: Record<string, string[]> = {};
  for (const [name, choices] of Object.entries(CHOICES)) {
    const plan = await planAttention(gpu, {
      query: tensor([2, 1, 2, 8]),
      key: tensor([4, 64, 2, 8]),
      value: tensor([4, 64, 2, 8]),
      blockTable: Uint32Array.of(0, 1, 2, 0, 1, 3),
      keyLengths: [192, 150],
      ...choices,
    });
    kernels[name] = Object.keys(plan.explain().kernels);
    plan.destroy();
  }
  assertEquals(kernels, {
    "at once": ["decode"],
    "standard": ["standard"],
    "shared": ["shared decode", "decode"],
  });
});
