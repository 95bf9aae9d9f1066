/** Gradients under a block mask: what is visited, and what they are equal to. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  attention,
  attentionBackward,
  AttentionBackwardPlan,
  type AttentionOptions,
  AttentionPlan,
  attentionProblem,
  DeviceBlockMask,
} from "../../src/ops/mod.ts";
import { backwardParts } from "../../src/ops/attention_backward/parts.ts";
import { SOFTWARE_BACKWARD_TILES } from "../../src/ops/attention_backward/tiles.ts";
import {
  alibi,
  bindRows,
  type BlockMask,
  blockMask,
  blockMaskFromLists,
  blockMaskFromPattern,
  causal,
  maskFunction,
} from "../../src/mods/mod.ts";
import { Prng } from "../../src/core/prng.ts";
import { SOFTWARE_TILES } from "../../src/ops/attention/variants/tiles.ts";
import { inputs, random } from "../ops/attention/tensors.ts";
import { gpuTest } from "../support/gpu.ts";
import type { Gpu, GpuTensor, HostTensor } from "../../mod.ts";
import { planDevice } from "../support/plan_device.ts";

const DEVICE = planDevice({ workgroupBytes: 32768 });

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
  sizes: Partial<typeof SIZES> = {},
): Promise<readonly HostTensor["data"][]> {
  const host = inputs({ ...SIZES, ...sizes });
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

/** Zeros of one sign, as a sum of one part has them. */
const signless = (arrays: readonly HostTensor["data"][]) =>
  arrays.map((array) => Float32Array.from(array, (x) => x + 0));

gpuTest(
  "gradients under a selection are those under the mask that it selects",
  async (_, gpu) => {
    const random = new Prng(11);
    for (
      const [more, options] of [
        [{}, {}],
        [{ heads: 4, batch: 2 }, { causal: true }],
        [{ heads: 2, queryBlock: 3, keyBlock: 5 }, { causal: true }],
        [
          { queries: 64, keys: 56, queryBlock: 7, queryOffset: 0 },
          { causal: true },
        ],
        [{ queryBlock: 40, keyBlock: 1 }, {}],
      ] as const
    ) {
      const geometry = { ...GEOMETRY, ...more };
      const batch = { batch: 2 };
      using selected = await DeviceBlockMask.create(gpu, geometry);
      const { levels } = blockMaskFromPattern(() => false, geometry);
      const bits = levels.map(() => random.uniform() < 0.4 ? 1 : 0);
      using scores = gpu.tensor(Uint32Array.from(bits), [bits.length]);
      gpu.submit("select", (encoder) => selected.encode(encoder, scores));
      const onHost = blockMaskFromPattern(bits, geometry);
      assertEquals(
        signless(
          await gradientsOf(gpu, { ...options, blockMask: selected }, batch),
        ),
        signless(
          await gradientsOf(gpu, { ...options, blockMask: onHost }, batch),
        ),
        JSON.stringify(more),
      );
    }
  },
);

gpuTest(
  "where nothing is selected, gradients are 0, in as many buffers as any device binds",
  async (_, gpu) => {
    using none = await DeviceBlockMask.create(gpu, GEOMETRY);
    const { parts } = backwardParts(
      {
        problem: attentionProblem({
          ...inputs(SIZES),
          blockMask: none,
          returnLse: true,
        }),
        lseGradient: false,
      },
      gpu,
    );
    for (const { source: { label, bindings } } of parts.dispatches) {
      const storage = bindings.filter(({ access }) => access !== "uniform");
      assert(storage.length <= 8, label);
    }
    const [output, ...gradients] = await gradientsOf(gpu, { blockMask: none });
    for (const array of [output, ...gradients]) {
      assertEquals(array, new Float32Array(array.length));
    }
  },
);

gpuTest(
  "one submit selects, attends and goes back, each layer by its own mask",
  async (_, gpu) => {
    const prng = new Prng(13);
    const host = inputs(SIZES);
    const patterns = [0, 1].map(() =>
      Uint32Array.from({ length: 3 * 7 }, () => prng.below(2))
    );
    using mask = await DeviceBlockMask.create(gpu, GEOMETRY);
    using other = await DeviceBlockMask.create(gpu, GEOMETRY);
    const slopes = Float32Array.of(0.5, 0.25, 0.125, 0.0625);
    const options = { ...host, scoreMod: alibi(slopes), returnLse: true };
    const problem = attentionProblem({ ...options, blockMask: mask });
    const choices = { captureGradients: [slopes], tiles: BACKWARD };
    using forward = await AttentionPlan.create(gpu, problem, { tiles: TILES });
    using backward = await AttentionBackwardPlan.create(gpu, problem, choices);
    const made: GpuTensor[] = [];
    const keep = (one: GpuTensor) => (made.push(one), one);
    const tensor = ({ data, shape }: HostTensor) =>
      keep(gpu.tensor(data as Float32Array, shape));
    try {
      const inputTensors = {
        query: tensor(host.query),
        key: tensor(host.key),
        value: tensor(host.value),
      };
      const outputGradient = tensor(random(host.query.shape, 9));
      const layers = [mask, other].map((blockMask) => ({
        ...inputTensors,
        outputGradient,
        blockMask,
        output: keep(gpu.empty("f32", host.query.shape)),
        lse: keep(gpu.empty("f32", host.query.shape.slice(0, -1))),
        queryGradient: keep(gpu.empty("f32", host.query.shape)),
        keyGradient: keep(gpu.empty("f32", host.key.shape)),
        valueGradient: keep(gpu.empty("f32", host.value.shape)),
        captureGradients: [keep(gpu.empty("f32", [4]))],
      }));
      const scores = patterns.map((data) => keep(gpu.tensor(data, [21])));
      gpu.submit("step", (encoder) => {
        mask.encode(encoder, scores[0]);
        other.encode(encoder, scores[1]);
        for (const tensors of layers) {
          const { query, key, value, output, lse, blockMask } = tensors;
          const own = { query, key, value, output, lse, blockMask };
          forward.encode(encoder, own);
          backward.encode(encoder, tensors);
        }
      });
      const found = await gpu.read(layers.flatMap((tensors) => [
        tensors.output,
        tensors.queryGradient,
        tensors.keyGradient,
        tensors.valueGradient,
        tensors.captureGradients[0],
      ])) as Float32Array[];
      for (const [i, pattern] of patterns.entries()) {
        const { output, saved } = await attention(gpu, {
          ...options,
          blockMask: blockMaskFromPattern(Uint8Array.from(pattern), GEOMETRY),
          tiles: TILES,
          forBackward: true,
        });
        using state = saved!;
        const { query, key, value, captures } = await attentionBackward(
          gpu,
          state,
          { outputGradient: random(host.query.shape, 9) },
          choices,
        );
        assertEquals(
          signless(found.slice(5 * i, 5 * i + 5)),
          signless(
            [output, query, key, value, captures![0]].map(({ data }) => data),
          ),
          `layer ${i}`,
        );
      }
      using finer = await DeviceBlockMask.create(gpu, {
        ...GEOMETRY,
        keyBlock: 4,
      });
      assertThrows(
        () =>
          backward.encode(gpu.device.createCommandEncoder(), {
            ...layers[0],
            blockMask: finer,
          }),
        TypeError,
        "blockMask keyBlock must be that of the plan's (8)",
      );
    } finally {
      for (const one of made) one.destroy();
    }
  },
);
