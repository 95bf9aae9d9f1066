/**
 * Plans of linear attention: used again, updated, explained.
 *
 * @module
 */

import {
  assertEquals,
  assertGreater,
  assertRejects,
  assertThrows,
} from "@std/assert";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  linearAttention,
  type LinearAttentionPlan,
  linearProblem,
  planLinearAttention,
} from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { objectsMadeBy } from "../../support/gpu_objects.ts";

const DIM = 8;
const SLOTS = 4;

/** A step of a service: prompts and a decoded token, ragged, in a pool. */
const step = (lengths: readonly number[]) => {
  const cuSeqlens = [0];
  for (const length of lengths) cuSeqlens.push(cuSeqlens.at(-1)! + length);
  const tokens = cuSeqlens.at(-1)!;
  const rows = { dtype: "f32", shape: [tokens, 2, DIM] } as const;
  return {
    query: rows,
    key: rows,
    value: rows,
    decay: { dtype: "f32", shape: [tokens, 2] } as const,
    states: { dtype: "f32", shape: [SLOTS, 2, DIM, DIM] } as const,
    stateIndices: lengths.map((_, n) => n),
    cuSeqlens,
  };
};

const MOST = 90;

function tensorsOf(gpu: Gpu, tokens: number) {
  const rows = () => {
    const data = Float32Array.from(
      { length: tokens * 2 * DIM },
      (_, n) => Math.sin(n),
    );
    return gpu.tensor(data, [tokens, 2, DIM]);
  };
  return {
    query: rows(),
    key: rows(),
    value: rows(),
    decay: gpu.tensor(new Float32Array(2 * tokens).fill(-0.1), [tokens, 2]),
    states: gpu.tensor(new Float32Array(SLOTS * 2 * DIM * DIM), [
      SLOTS,
      2,
      DIM,
      DIM,
    ]),
    output: gpu.empty("f32", [tokens, 2, DIM]),
  };
}

function destroyAll(tensors: Readonly<Record<string, GpuTensor>>): void {
  for (const one of Object.values(tensors)) one.destroy();
}

gpuTest("a step that fits makes no GPU object", async (_, gpu) => {
  // Of two forms and of one, so that there is what either needs.
  const lengths = [[40, 1, 49], [17, 17, 56]];
  using plan = await planLinearAttention(gpu, step(lengths[0]));
  const tensors = tensorsOf(gpu, MOST);
  const run = async (own: readonly number[]) => {
    await plan.update(linearProblem(step(own)));
    gpu.submit("step", (encoder) => plan.encode(encoder, tensors));
  };
  for (const own of [...lengths, ...lengths]) {
    await run(own);
    await gpu.device.queue.onSubmittedWorkDone();
  }
  for (const own of [[60, 3, 27], [0, 1, 89], [30, 30, 30], ...lengths]) {
    assertEquals(await objectsMadeBy(gpu, () => run(own)), {
      buffers: 0,
      destroyed: 0,
      bindGroups: 0,
    });
    await gpu.device.queue.onSubmittedWorkDone();
  }
  destroyAll(tensors);
});

gpuTest("a plan gives what linearAttention() does, as often as wanted", async (
  _,
  gpu,
) => {
  const tensors = tensorsOf(gpu, 40);
  const { query, key, value, decay } = tensors;
  const options = { query, key, value, decay, cuSeqlens: [0, 40] };
  const { output } = await linearAttention(gpu, options);
  using plan = await planLinearAttention(gpu, options);
  const { states: _states, ...rest } = tensors;
  using second = gpu.empty("f32", [40, 2, DIM]);
  gpu.submit("twice", (encoder) => {
    plan.encode(encoder, rest);
    plan.encode(encoder, { ...rest, output: second });
  });
  const [one, two, three] = await gpu.read([output, tensors.output, second]);
  assertEquals(two, one);
  assertEquals(three, one);
  output.destroy();
  destroyAll(tensors);
});

gpuTest("an update that fails leaves a plan as it was", async (_, gpu) => {
  using plan = await planLinearAttention(gpu, step([40, 1]));
  const { problem } = plan;
  const explanation = plan.explain();
  const rows = { dtype: "f32", shape: [2 ** 20, 16, 64] } as const;
  await assertRejects(
    () =>
      plan.update(linearProblem({
        query: rows,
        key: rows,
        value: rows,
        cuSeqlens: [0, 2 ** 20],
      })),
    RangeError,
    "maxStorageBufferBindingSize",
  );
  assertEquals(plan.problem, problem);
  assertEquals(plan.explain(), explanation);
});

gpuTest("a plan refuses tensors that are not its problem's", async (_, gpu) => {
  using plan = await planLinearAttention(gpu, step([40]));
  const tensors = tensorsOf(gpu, 40);
  const encode = (change: object) => () =>
    void gpu.submit(
      "refused",
      (encoder) => plan.encode(encoder, { ...tensors, ...change } as never),
    );
  for (
    const [change, says] of [
      [{ decay: undefined }, "decay must be given"],
      [{ states: undefined }, "states must be given"],
      [{ state: tensors.states }, "state must not be given"],
      [{ beta: tensors.decay }, "beta must not be given"],
      [{ output: tensors.key }, "output must not share a buffer with key"],
      [{ key: tensors.decay }, "key must have"],
    ] as const
  ) {
    assertThrows(encode(change), TypeError, says);
  }
  destroyAll(tensors);
});

function kernelsOf(plan: LinearAttentionPlan): string[] {
  return plan.explain().dispatches.map(({ kernel }) => kernel.split("/")[0]);
}

gpuTest("explain() says what runs, and why", async (_, gpu) => {
  const rows = (tokens: number) =>
    ({ dtype: "f32", shape: [1, tokens, 2, 16] }) as const;
  const of = (tokens: number, chunk: number) => ({
    query: rows(tokens),
    key: rows(tokens),
    value: rows(tokens),
    decay: rows(tokens),
    chunk,
    subChunk: 4,
  });
  using plan = await planLinearAttention(gpu, of(512, 4));
  assertEquals(kernelsOf(plan), [
    "linear.gates",
    "linear.chunk_state",
    "linear.scan",
    "linear.scores",
    "linear.output",
  ]);
  const { chunks, segments, scan, scratchBytes } = plan.explain();
  assertEquals({ chunks, segments, scan }, {
    chunks: { count: 128, tokens: 4 },
    segments: 1,
    scan: "sequential",
  });
  // States, scores and sums of gates.
  assertEquals(
    scratchBytes,
    4 * (128 * 2 * 16 * 16 + 512 * 2 * 4 + 512 * 2 * 16),
  );
  await plan.update(linearProblem(of(516, 4)));
  assertEquals(plan.explain().scan, "blocks");
  assertEquals(
    kernelsOf(plan).filter((kernel) => kernel === "linear.scan").length,
    3,
  );
  for (const { does } of plan.explain().dispatches) assertGreater(does, "");
});

gpuTest("a destroyed plan says so", async (_, gpu) => {
  const plan = await planLinearAttention(gpu, step([40]));
  plan.destroy();
  await assertRejects(
    () => plan.update(linearProblem(step([40]))),
    TypeError,
    "plan must not be destroyed",
  );
});
