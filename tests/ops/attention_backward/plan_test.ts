import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  attention,
  attentionBackward,
  attentionProblem,
  type Gpu,
  type GpuTensor,
  planAttentionBackward,
} from "../../../mod.ts";
import {
  AttentionBackwardPlan,
  type BackwardTensors,
} from "../../../src/ops/mod.ts";
import { TILES } from "../../support/attention/runner.ts";
import { SMALL_BACKWARD_TILES } from "../../support/backward/runner.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";
import { normals } from "../../support/gradients.ts";

const SHAPE = [1, 24, 2, 16];
const f32 = { dtype: "f32", shape: SHAPE } as const;
const OPTIONS = { query: f32, key: f32, value: f32, causal: true };
const CHOICES = { tiles: SMALL_BACKWARD_TILES };

type Tensors =
  & BackwardTensors
  & Disposable
  & { readonly key: GpuTensor; readonly value: GpuTensor };

function tensorsOf(gpu: Gpu): Tensors {
  const filled = (seed: number) => gpu.tensor(normals(SHAPE, seed).data, SHAPE);
  const tensors = {
    query: filled(1),
    key: filled(2),
    value: filled(3),
    output: filled(4),
    lse: gpu.tensor(new Float32Array(48).fill(3), SHAPE.slice(0, -1)),
    outputGradient: filled(5),
    queryGradient: filled(6),
    keyGradient: filled(7),
    valueGradient: filled(8),
  };
  return {
    ...tensors,
    [Symbol.dispose]: () =>
      Object.values(tensors).forEach((tensor) => tensor.destroy()),
  };
}

gpuTest("a backward step that fits makes no GPU object", async (_, gpu) => {
  using plan = await planAttentionBackward(gpu, OPTIONS, CHOICES);
  using one = tensorsOf(gpu);
  using other = tensorsOf(gpu);
  const step = async (keys: number) => {
    await plan.update(attentionProblem({ ...OPTIONS, keyLengths: [keys] }));
    gpu.submit("step", (encoder) => {
      for (const layer of [one, other]) plan.encode(encoder, layer);
    });
  };
  await step(24);
  await step(9);
  const made = await objectsMadeBy(gpu, () => step(17));
  assertEquals(made, { buffers: 0, destroyed: 0, bindGroups: 0 });
  assertEquals(plan.problem.sequences[0].keyCount, 17);
});

gpuTest("a plan's gradients are attentionBackward()'s", async (_, gpu) => {
  using tensors = tensorsOf(gpu);
  const { query, key, value, outputGradient } = tensors;
  const { output, lse, saved } = await attention(gpu, {
    query,
    key,
    value,
    causal: true,
    returnLse: true,
    forBackward: true,
    tiles: TILES.small!,
  });
  using state = saved!;
  const direct = await attentionBackward(
    gpu,
    state,
    { outputGradient },
    CHOICES,
  );
  const again = await attentionBackward(
    gpu,
    { query, key, value, causal: true, output, lse: lse! },
    { outputGradient },
    CHOICES,
  );
  using plan = await planAttentionBackward(gpu, OPTIONS, CHOICES);
  gpu.submit(
    "step",
    (encoder) => plan.encode(encoder, { ...tensors, output, lse: lse! }),
  );
  const read = await gpu.read([
    direct.query,
    again.query,
    tensors.queryGradient,
    direct.key,
    again.key,
    tensors.keyGradient,
    direct.value,
    again.value,
    tensors.valueGradient,
  ]);
  for (let i = 0; i < 9; i += 3) {
    assert(read[i].some((x) => x !== 0));
    assertEquals([...read[i + 1]], [...read[i]]);
    assertEquals([...read[i + 2]], [...read[i]]);
  }
  const made = [direct, again].flatMap(({ query, key, value }) => [
    query,
    key,
    value,
  ]);
  for (const tensor of [output, lse!, ...made]) tensor.destroy();
});

gpuTest(
  "backward's memory grows with tokens, not with pairs",
  async (_, gpu) => {
    // Statistics, gradients of the scores of 256 keys, rows between rounds.
    const perRow = { recomputed: 8, stored: 8 + 4 * 256 + 16 };
    for (const [scoreGradients, row] of Object.entries(perRow)) {
      const bytes: number[] = [];
      for (const tokens of [1024, 2048, 4096]) {
        const shape = [1, tokens, 1, 4];
        const of = { dtype: "f32", shape } as const;
        const before = gpu.stats.bytes;
        using plan = await planAttentionBackward(gpu, {
          query: of,
          key: of,
          value: of,
          causal: true,
        }, {
          tiles: { ...SMALL_BACKWARD_TILES, storedKeys: 256 },
          scoreGradients: scoreGradients as "stored",
        });
        bytes.push(gpu.stats.bytes - before);
        assertEquals(plan.explain().scratchBytes, row * tokens);
        gpu.trim();
      }
      // Scratch of rows, schedules of tiles: both linear, and a power of two's
      // room in buffers.
      assert(bytes[2] <= 5 * bytes[0], `${scoreGradients}: ${bytes}`);
    }
  },
);

gpuTest(
  "AttentionBackwardPlan is refused what does not fit",
  async (_, gpu) => {
    using tensors = tensorsOf(gpu);
    using small = gpu.empty("f32", [2]);
    using plan = await planAttentionBackward(gpu, OPTIONS, CHOICES);
    const encode = (change: object) => () =>
      Promise.resolve().then(() =>
        gpu.submit(
          "step",
          (encoder) => plan.encode(encoder, { ...tensors, ...change }),
        )
      );
    for (
      const [change, message] of [
        [{ query: undefined }, "query must be given"],
        [{ outputGradient: small }, "outputGradient must have 768 elements"],
        [{ lse: tensors.query }, "lse must have 48 elements"],
        [{ lseGradient: tensors.lse }, "lseGradient must be given to a plan"],
        [
          { queryGradient: tensors.query },
          "queryGradient must not share a buffer with query",
        ],
        [
          { valueGradient: tensors.keyGradient },
          "valueGradient must not share a buffer with keyGradient",
        ],
      ] as const
    ) {
      await assertRejects(encode(change), TypeError, message);
    }
    plan.destroy();
    plan.destroy();
    await assertRejects(encode({}), TypeError, "plan must not be destroyed");
    await assertRejects(
      () =>
        AttentionBackwardPlan.create(gpu, attentionProblem(OPTIONS), {
          causal: true,
        } as object),
      TypeError,
      "causal must not be given",
    );
    await assertRejects(
      () =>
        AttentionBackwardPlan.create(gpu, attentionProblem(OPTIONS), {
          splits: 0,
        }),
      RangeError,
      "splits must be an integer in 1..65535",
    );
    await assertRejects(
      () => planAttentionBackward(gpu, OPTIONS, { tiles: { lanes: 3 } }),
      RangeError,
      "tiles.lanes must be a power of two",
    );
  },
);
