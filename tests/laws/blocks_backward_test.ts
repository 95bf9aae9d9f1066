/** Gradients under a block mask: what is visited, and what they are equal to. */

import { assertEquals, assertRejects } from "@std/assert";
import {
  attention,
  attentionBackward,
  type AttentionOptions,
  attentionProblem,
  DeviceBlockMask,
} from "../../src/ops/mod.ts";
import { backwardParts } from "../../src/ops/attention_backward/parts.ts";
import { SOFTWARE_BACKWARD_TILES } from "../../src/ops/attention_backward/tiles.ts";
import {
  bindRows,
  type BlockMask,
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  causal,
  maskFunction,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import type { PlanDevice } from "../../src/ops/attention/variants/variant.ts";
import { SOFTWARE_TILES } from "../../src/ops/attention/variants/tiles.ts";
import { inputs, random } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";
import { UnsupportedError } from "../../mod.ts";
import type { Gpu, HostTensor } from "../../mod.ts";

const DEVICE: PlanDevice = {
  software: true,
  maxLoopIterations: Infinity,
  features: new Set(),
  limits: {
    maxComputeWorkgroupStorageSize: 32768,
    maxComputeWorkgroupsPerDimension: 65535,
  },
};

/** 64 rows x 16 keys for dQ, 64 keys x 16 rows for dK and dV. */
const ALIGNED = {
  ...SOFTWARE_BACKWARD_TILES,
  lanes: 64,
  rowsPerLane: 1,
  keys: 16,
  keysPerLane: 1,
  rows: 16,
};

Deno.test("backward visits the blocks of a mask, and of its transpose", () => {
  const random = new Prng(5);
  const mask = blockMaskFromPattern(() => random.uniform() < 0.3, {
    queries: 512,
    keys: 768,
    queryBlock: 64,
    heads: 2,
  });
  const shape = (length: number) =>
    ({ dtype: "f32", shape: [1, length, 2, 16] }) as const;
  const { explanation } = backwardParts(
    {
      problem: attentionProblem({
        query: shape(512),
        key: shape(768),
        value: shape(768),
        blockMask: mask,
        returnLse: true,
      }),
      lseGradient: false,
    },
    DEVICE,
    { tiles: ALIGNED },
  );
  const visited = mask.transposed.full.indices.length;
  assertEquals(visited, mask.density().visited);
  const { query, keyValue } = explanation.kernels;
  assertEquals([query.tile, keyValue.tile], [
    { rows: 64, keys: 16 },
    { rows: 16, keys: 64 },
  ]);
  for (const { tileCounts } of [query, keyValue]) {
    assertEquals(tileCounts, {
      total: 2 * 8 * 12 * 4,
      visited: 4 * visited,
      full: 4 * visited,
    });
  }
});

const SIZES = { batch: 1, queries: 40, keys: 56 };
const GEOMETRY = { queries: 40, keys: 56, queryBlock: 16, keyBlock: 8 };
const TILES = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};
const BACKWARD = { rowsPerLane: 1, keysPerLane: 1, keys: 4, rows: 4 };

/** Gradients, with the output before them. */
async function gradientsOf(
  gpu: Gpu,
  options: Partial<AttentionOptions<HostTensor>>,
): Promise<readonly HostTensor["data"][]> {
  const host = inputs(SIZES);
  const { output, saved } = await attention(gpu, {
    ...host,
    ...options,
    tiles: TILES,
    forBackward: true,
  });
  try {
    const found = await attentionBackward(
      gpu,
      saved!,
      { outputGradient: random(host.query.shape, 9) },
      { tiles: BACKWARD },
    );
    const { query, key, value } = found as {
      query: HostTensor;
      key: HostTensor;
      value: HostTensor;
    };
    return [output.data, query.data, key.data, value.data];
  } finally {
    saved!.destroy();
  }
}

/** The same mask, pair by pair. */
function denseOf(mask: BlockMask) {
  const offset = 56 - 40;
  const sees = maskFunction(bindRows([mask.maskMod(4)], [offset]));
  const data = new Uint8Array(4 * 40 * 56);
  data.forEach((_, i) => {
    const [row, key] = [Math.floor(i / 56), i % 56];
    const [head, query] = [Math.floor(row / 40), row % 40];
    data[i] = Number(sees(0, head, query + offset, key));
  });
  return { data, shape: [4, 40, 56] };
}

gpuTest(
  "gradients under a block mask are those under the dense one, bit by bit",
  async (_, gpu) => {
    const random = new Prng(7);
    const some = blockMaskFromPattern(() => random.uniform() < 0.4, {
      ...GEOMETRY,
      heads: 2,
    });
    const lists = blockMaskFromLists({
      full: [[0, 4], [], [1, 2, 6]],
      partial: [[1, 2], [3, 5], [5]],
      maskMod: causal(),
    }, GEOMETRY);
    const both = some.and(blockMask(causal(), GEOMETRY));
    for (const mask of [some, lists, both, some.not()]) {
      assertEquals(
        await gradientsOf(gpu, { blockMask: mask }),
        await gradientsOf(gpu, { attnMask: denseOf(mask) }),
        mask.name,
      );
    }
  },
);

gpuTest("a mask on the device has no gradients yet", async (_, gpu) => {
  using mask = await DeviceBlockMask.create(gpu, GEOMETRY);
  await assertRejects(
    () => gradientsOf(gpu, { blockMask: mask }),
    UnsupportedError,
    "Cannot compute gradients with a blockMask on the device",
  );
});
