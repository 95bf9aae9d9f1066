/** What a block mask must be the same as, bit by bit. */

import {
  attention,
  type AttentionOptions,
  AttentionPlan,
  attentionProblem,
} from "../../src/ops/mod.ts";
import { assertEquals } from "@std/assert";
import {
  blockMask,
  blockMaskFromPattern,
  causal,
  slidingWindow,
} from "../../src/mods/mod.ts";
import { inputs } from "../ops/attention/tensors.ts";
import { SOFTWARE_TILES } from "../../src/ops/attention/variants/tiles.ts";
import { gpuTest } from "../support/gpu.ts";
import type { Gpu, HostTensor } from "../../mod.ts";

/** Compiled fast. */
const SMALL = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};
const SIZES = { batch: 2, queries: 70, keys: 90 };
const GEOMETRY = { queries: 70, keys: 90, queryBlock: 32, keyBlock: 16 };

async function outputOf(
  gpu: Gpu,
  options: Partial<AttentionOptions<HostTensor>>,
): Promise<readonly [HostTensor["data"], HostTensor["data"] | undefined]> {
  const { output, lse } = await attention(gpu, {
    ...inputs(SIZES),
    returnLse: true,
    tiles: SMALL,
    ...options,
  });
  return [output.data, lse?.data];
}

gpuTest("a block mask of mods is the mods, bit by bit", async (_, gpu) => {
  const mods = [causal(), slidingWindow({ left: 40 })];
  assertEquals(
    await outputOf(gpu, { blockMask: blockMask(mods, GEOMETRY) }),
    await outputOf(gpu, { maskMod: mods }),
  );
});

gpuTest("a block mask of all blocks is none, bit by bit", async (_, gpu) => {
  const all = blockMaskFromPattern(() => true, GEOMETRY);
  for (const causal of [false, true]) {
    assertEquals(
      await outputOf(gpu, { blockMask: all, causal }),
      await outputOf(gpu, { causal }),
    );
  }
});

gpuTest("rows without blocks give 0 and -Infinity", async (_, gpu) => {
  const some = blockMaskFromPattern((_, q) => q !== 1, GEOMETRY);
  const [output, lse] = await outputOf(gpu, { blockMask: some });
  const row = 4 * 8;
  for (const b of [0, 1]) {
    for (let q = 32; q < 64; q++) {
      const at = (b * 70 + q) * row;
      assertEquals([...output.slice(at, at + row)], Array(row).fill(0));
      const [first] = lse!.slice(at / 8);
      assertEquals(first, -Infinity);
    }
  }
});

gpuTest("a plan takes another block mask without compiling", async (_, gpu) => {
  const { query, key, value } = inputs(SIZES);
  const problem = (bits: number) =>
    attentionProblem({
      query,
      key,
      value,
      blockMask: blockMaskFromPattern(
        (_, q, k) => ((bits >> ((q + k) % 8)) & 1) === 1,
        GEOMETRY,
      ),
    });
  using plan = await AttentionPlan.create(gpu, problem(0b1), {
    tiles: SMALL,
  });
  const { compilations } = countCompilations(gpu);
  await plan.update(problem(0b10110));
  assertEquals(compilations(), 0);
});

/** Counts pipelines that are made from now on. */
function countCompilations(gpu: Gpu): { compilations: () => number } {
  const device = gpu.device;
  const make = device.createComputePipelineAsync.bind(device);
  let count = 0;
  device.createComputePipelineAsync = (descriptor) => {
    count++;
    return make(descriptor);
  };
  return {
    compilations: () => {
      device.createComputePipelineAsync = make;
      return count;
    },
  };
}
