/** Block masks that the device selects: what is selected, and what is refused. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Prng } from "../../../src/core/prng.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  attention,
  type AttentionOptions,
  type AttentionPlan,
  attentionProblem,
  blockMaskFromScores,
  DeviceBlockMask,
  planAttention,
} from "../../../src/ops/mod.ts";
import { blockMaskFromPattern } from "../../../src/mods/mod.ts";
import { SOFTWARE_TILES } from "../../../src/ops/attention/variants/tiles.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { inputs } from "../attention/tensors.ts";

const SIZES = { batch: 2, queries: 70, keys: 90 };
const GEOMETRY = {
  queries: 70,
  keys: 90,
  queryBlock: 16,
  keyBlock: 2,
  batch: 2,
  heads: 2,
};
const SHAPE = [2, 2, 5, 45];
const tiles = {
  forward: { ...SOFTWARE_TILES.forward, rowsPerLane: 1, keys: 4, modKeys: 4 },
};

function scoresOf(seed: number): Float32Array {
  const random = new Prng(seed);
  return Float32Array.from({ length: 2 * 2 * 5 * 45 }, () => random.uniform());
}

function hostMask(scores: Float32Array, threshold: number) {
  return blockMaskFromPattern(
    Array.from(scores, (score) => score >= threshold),
    GEOMETRY,
  );
}

gpuTest("scores at or above the threshold are selected", async (_, gpu) => {
  const data = scoresOf(1);
  data.set([0.5, 0.49999997, NaN, -1, 1e30, 0]);
  for (
    const [name, scores] of [["f32", data], [
      "f16",
      Float16Array.from(data),
    ]] as const
  ) {
    if (name === "f16" && !gpu.features.has("shader-f16")) continue;
    using tensor = gpu.tensor(scores, SHAPE);
    using mask = await blockMaskFromScores(gpu, tensor, GEOMETRY, {
      threshold: 0.5,
    });
    const found = await mask.read();
    const expected = hostMask(Float32Array.from(scores), 0.5);
    assertEquals([...found.levels], [...expected.levels], name);
    assertEquals(found.grid, expected.grid);
  }
});

/** The highest so many of a row; of equal ones the first; NaN never. */
function highest(row: readonly number[], count: number): boolean[] {
  const order = row.map((_, i) => i).filter((i) => !Number.isNaN(row[i]))
    .sort((a, b) => row[b] - row[a] || a - b);
  const taken = new Set(order.slice(0, count));
  return row.map((_, i) => taken.has(i));
}

gpuTest("topK selects the highest scores of each row", async (_, gpu) => {
  const random = new Prng(4);
  for (const blocks of [1, 31, 45, 64, 4200]) {
    const geometry = {
      queries: 6,
      keys: blocks,
      queryBlock: 1,
      keyBlock: 1,
      heads: 2,
    };
    const kinds = [
      () => random.normal(),
      // Many are equal.
      () => random.below(3) - 1,
      () => 0.5,
      () => [NaN, -0, 0, 1e30, -1e30, -2][random.below(6)],
      () => -random.uniform(),
      () => random.below(40) === 0 ? random.uniform() : NaN,
    ];
    const data = Float32Array.from(
      { length: 2 * 6 * blocks },
      (_, i) => kinds[Math.floor(i / blocks) % 6](),
    );
    for (const topK of [1, 7, blocks - 1, blocks, blocks + 5]) {
      if (topK < 1) continue;
      using scores = gpu.tensor(data, [data.length]);
      using mask = await blockMaskFromScores(gpu, scores, geometry, { topK });
      const { levels } = await mask.read();
      const expected = Array.from(
        { length: 12 },
        (_, row) =>
          highest([...data.subarray(row * blocks, (row + 1) * blocks)], topK),
      )
        .flat();
      assertEquals(
        [...levels].map((level) => level === 2),
        expected,
        `${topK} of ${blocks}`,
      );
    }
  }
});

gpuTest("words that are not 0 are selected", async (_, gpu) => {
  const data = Uint32Array.from({ length: 900 }, (_, i) => (i * i) % 3);
  data[7] = 0xffffffff;
  using tensor = gpu.tensor(data, SHAPE);
  using mask = await blockMaskFromScores(gpu, tensor, GEOMETRY);
  const found = await mask.read();
  assertEquals([...found.levels], [...data].map((x) => x === 0 ? 0 : 2));
});

gpuTest(
  "one submit selects and attends, and each layer may have its own mask",
  async (_, gpu) => {
    const layers = [scoresOf(2), scoresOf(3)];
    const host = inputs(SIZES);
    using mask = await DeviceBlockMask.create(gpu, GEOMETRY, {
      threshold: 0.7,
    });
    using other = await DeviceBlockMask.create(gpu, GEOMETRY, {
      threshold: 0.7,
    });
    const tensor = ({ data, shape }: typeof host.query) =>
      gpu.tensor(data as Float32Array, shape);
    using query = tensor(host.query);
    using key = tensor(host.key);
    using value = tensor(host.value);
    using plan = await planAttention(gpu, {
      ...host,
      causal: true,
      blockMask: mask,
      tiles,
    });
    const { selection, tileCounts, dispatches, traffic } = plan.explain();
    assertEquals(traffic.exact, false);
    assert(selection!.lists > 0 && selection!.bytes > 0);
    assertEquals(dispatches[0].kernel, "selection.block_runs/u32.key");
    assert(tileCounts.visited <= tileCounts.total);
    const outputs: GpuTensor[] = [];
    const scores: GpuTensor[] = [];
    try {
      for (const data of layers) {
        outputs.push(gpu.empty("f32", host.query.shape));
        scores.push(gpu.tensor(data, SHAPE));
      }
      gpu.submit("layers", (encoder) => {
        mask.encode(encoder, scores[0]);
        other.encode(encoder, scores[1]);
        const tensors = { query, key, value };
        plan.encode(encoder, { ...tensors, output: outputs[0] });
        plan.encode(encoder, {
          ...tensors,
          output: outputs[1],
          blockMask: other,
        });
      });
      const found = await gpu.read(outputs);
      for (const [i, data] of layers.entries()) {
        const { output } = await attention(gpu, {
          ...host,
          causal: true,
          blockMask: hostMask(data, 0.7),
          tiles,
        });
        // What is visited, and in which steps, is the same.
        assertEquals(found[i], output.data, `layer ${i}`);
      }
    } finally {
      for (const it of [...outputs, ...scores]) it.destroy();
    }
  },
);

gpuTest(
  "a plan with a selection makes nothing anew in its next step",
  async (_, gpu) => {
    const host = inputs(SIZES);
    using mask = await DeviceBlockMask.create(gpu, GEOMETRY);
    const options = (length: number) => ({
      ...host,
      keyLengths: [length, 90],
      blockMask: mask,
    });
    using plan = await planAttention(gpu, { ...options(80), tiles });
    const before = gpu.stats;
    await plan.update(attentionProblem(options(79)));
    assertEquals(gpu.stats, before);
  },
);

gpuTest(
  "rows of which nothing is selected give 0 and -Infinity",
  async (_, gpu) => {
    using zeros = gpu.tensor(new Uint32Array(900), SHAPE);
    using mask = await blockMaskFromScores(gpu, zeros, GEOMETRY);
    for (const splits of [1, 3] as const) {
      const { output, lse } = await attention(gpu, {
        ...inputs(SIZES),
        blockMask: mask,
        returnLse: true,
        splits,
        tiles,
      });
      assert(output.data.every((x) => x === 0));
      assert(lse!.data.every((x) => x === -Infinity));
    }
  },
);

type Options = Partial<AttentionOptions> & { sharedPrefix?: "always" };

gpuTest("what does not fit a selection is refused", async (_, gpu) => {
  const host = inputs(SIZES);
  const of = (more: object) =>
    DeviceBlockMask.create(gpu, { ...GEOMETRY, ...more });
  using mask = await of({});
  const refused = async (
    options: Options,
    error: typeof TypeError | typeof RangeError,
    message: string,
  ) => {
    await assertRejects(
      () => attention(gpu, { ...host, ...options } as AttentionOptions),
      error,
      message,
    );
  };
  for (
    const [more, message] of [
      [{ keys: 91 }, "blockMask keys must be those of attention() (90)"],
      [{ queries: 69 }, "blockMask queries must be those of attention() (70)"],
      [{ heads: 3 }, "blockMask heads must be 1, or a divisor"],
      [{ batch: 3 }, "blockMask batch must be 1, or the number of sequences"],
    ] as const
  ) {
    using wrong = await of(more);
    await refused({ blockMask: wrong }, TypeError, message);
  }
  await refused(
    { blockMask: mask, sharedPrefix: "always" },
    TypeError,
    'sharedPrefix must not be "always" with a blockMask on the device',
  );
  await refused(
    { blockMask: mask.bits as never },
    TypeError,
    "blockMask must be a BlockMask",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { dtype: "f32" }),
    TypeError,
    "threshold must be given for f32 scores, or topK",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { threshold: 1, dtype: "u32" }),
    TypeError,
    "threshold must be left out for u32 scores",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { threshold: NaN }),
    RangeError,
    "threshold must be finite",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { topK: 0 }),
    RangeError,
    "topK must be an integer in 1..",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { topK: 2, threshold: 1 }),
    TypeError,
    "topK must be left out where there is a threshold",
  );
  await assertRejects(
    () => DeviceBlockMask.create(gpu, GEOMETRY, { topK: 2, dtype: "u32" }),
    TypeError,
    "topK must be left out for u32 scores",
  );
  using few = gpu.tensor(new Uint32Array(899), [899]);
  await assertRejects(
    () => blockMaskFromScores(gpu, few, GEOMETRY),
    TypeError,
    "scores must have a score for each block: 2 x 2 x 5 x 45",
  );
  const encoder = gpu.device.createCommandEncoder();
  using floats = gpu.tensor(new Float32Array(900), SHAPE);
  assertThrows(
    () => mask.encode(encoder, floats),
    TypeError,
    "scores.dtype must be u32: current value is",
  );
});

gpuTest("a plan refuses another mask than it is for", async (_, gpu) => {
  const host = inputs(SIZES);
  using mask = await DeviceBlockMask.create(gpu, GEOMETRY);
  using finer = await DeviceBlockMask.create(gpu, { ...GEOMETRY, keyBlock: 1 });
  using query = gpu.empty("f32", host.query.shape);
  using key = gpu.empty("f32", host.key.shape);
  using value = gpu.empty("f32", host.value.shape);
  using output = gpu.empty("f32", host.query.shape);
  const encode = (plan: AttentionPlan, blockMask?: DeviceBlockMask) => () =>
    plan.encode(gpu.device.createCommandEncoder(), {
      query,
      key,
      value,
      output,
      blockMask,
    });
  using selecting = await planAttention(gpu, {
    ...host,
    blockMask: mask,
    tiles,
  });
  using plain = await planAttention(gpu, { ...host, tiles });
  assertThrows(
    encode(selecting, finer),
    TypeError,
    "blockMask keyBlock must be that of the plan's (2): current value is 1",
  );
  assertThrows(
    encode(plain, mask),
    TypeError,
    "blockMask must not be given to a plan whose options have none on the device",
  );
  mask.destroy();
  assertThrows(encode(selecting), TypeError, "destroyed");
});

async function otherGpu(run: (gpu: Gpu) => Promise<void>): Promise<void> {
  const gpu = await ownGpu();
  try {
    await run(gpu);
  } finally {
    gpu.destroy();
  }
}

gpuTest("a block mask of another device is refused", async (_, gpu) => {
  await otherGpu(async (other) => {
    const foreign = await DeviceBlockMask.create(other, GEOMETRY);
    await assertRejects(
      () => attention(gpu, { ...inputs(SIZES), blockMask: foreign }),
      TypeError,
      "blockMask must be of the plan's Gpu",
    );
    using scores = gpu.tensor(new Uint32Array(900), SHAPE);
    await assertRejects(
      () => blockMaskFromScores(other, scores, GEOMETRY),
      TypeError,
      "scores must be a GpuTensor of the block mask's Gpu",
    );
  });
});
