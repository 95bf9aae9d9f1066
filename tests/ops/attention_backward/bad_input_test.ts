/**
 * Wrong usages of `attentionBackward()`, each refused before anything runs.
 *
 * @module
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  attention,
  attentionBackward,
  type Gpu,
  type HostTensor,
  maskMod,
  scoreMod,
} from "../../../mod.ts";
import { gpuTest, ownGpu } from "../../support/gpu.ts";
import { normals } from "../../support/gradients.ts";

const SHAPE = [1, 5, 2, 4];
const x = normals(SHAPE, 1);
const lse = normals([1, 5, 2], 2);
const back = normals(SHAPE, 3);

const forward = (gpu: Gpu, options: object = {}) =>
  attention(gpu, {
    query: x,
    key: x,
    value: x,
    forBackward: true,
    ...options,
  });

// deno-lint-ignore no-explicit-any
type Any = any;

gpuTest(
  "attentionBackward() refuses gradients of another shape or dtype",
  async (_, gpu) => {
    const { saved } = await forward(gpu);
    using state = saved!;
    const rows: [gradients: unknown, message: string][] = [
      [undefined, "options of gradients must be an object"],
      [{}, "outputGradient must be a GpuTensor or { data, shape }"],
      [
        { outputGradient: normals([1, 5, 2, 3], 1) },
        "outputGradient.shape must be [1, 5, 2, 4]",
      ],
      [
        { outputGradient: { data: new Float16Array(40), shape: SHAPE } },
        'outputGradient.dtype must be f32: current value is "f16"',
      ],
      [
        { outputGradient: back, lseGradient: back },
        "lseGradient.shape must be [1, 5, 2]",
      ],
      [
        { outputGradient: back, dlse: lse },
        "dlse must not be given, as gradients has no such option; write lseGradient",
      ],
      [
        { gradOutput: back },
        "gradOutput must not be given, as gradients has no such option; write outputGradient",
      ],
    ];
    for (const [gradients, message] of rows) {
      await assertRejects(
        () => attentionBackward(gpu, state, gradients as Any),
        TypeError,
        message,
      );
    }
    await assertRejects(
      () =>
        attentionBackward(gpu, state, { outputGradient: back }, {
          deterministic: true,
        } as object),
      TypeError,
      "deterministic must not be given",
    );
  },
);

gpuTest(
  "attentionBackward() refuses a state that is gone, or of another Gpu",
  async (_, gpu) => {
    const { saved } = await forward(gpu);
    const state = saved!;
    const other = await ownGpu();
    const gradients = { outputGradient: back };
    await assertRejects(
      () => attentionBackward(other, state, gradients),
      TypeError,
      "saved must be of this Gpu",
    );
    other.destroy();
    state.destroy();
    state[Symbol.dispose]();
    await assertRejects(
      () => attentionBackward(gpu, state, gradients),
      TypeError,
      "saved must not be destroyed",
    );
  },
);

gpuTest(
  "attentionBackward() refuses inputs whose tensors are gone",
  async (_, gpu) => {
    const query = gpu.tensor(x.data, SHAPE);
    const { output, saved } = await forward(gpu, { query });
    using state = saved!;
    query.destroy();
    await assertRejects(
      () => attentionBackward(gpu, state, { outputGradient: back }),
      TypeError,
      "has been destroyed",
    );
    (output as unknown as { destroy(): void }).destroy();
  },
);

gpuTest(
  "attentionBackward() refuses an output or a log-sum-exp of another problem",
  async (_, gpu) => {
    const given = { query: x, key: x, value: x };
    const rows: [change: object, message: string][] = [
      [{ output: undefined, lse }, "output must be a GpuTensor"],
      [{ output: normals([1, 5, 1, 4], 1), lse }, "output.shape must be"],
      [{ output: x, lse: x }, "lse.shape must be [1, 5, 2]"],
      [{ output: x, lse, dropoutP: 0.1 }, "dropoutP must not be given"],
    ];
    for (const [change, message] of rows) {
      await assertRejects(
        () =>
          attentionBackward(gpu, { ...given, ...change } as Any, {
            outputGradient: back,
          }),
        TypeError,
        message,
      );
    }
  },
);

gpuTest("attentionBackward() takes steps for constants", async (_, gpu) => {
  const floors = scoreMod("floors", ({ score }) => score.floor());
  const { saved } = await forward(gpu, { scoreMod: floors });
  using state = saved!;
  const { query, key, value } = await attentionBackward(gpu, state, {
    outputGradient: back,
  }) as Record<"query" | "key" | "value", HostTensor>;
  assert(query.data.every((x) => x === 0));
  assert(key.data.every((x) => x === 0));
  assert(value.data.some((x) => x !== 0));
});

gpuTest(
  "attention() refuses forBackward that is no boolean",
  async (_, gpu) => {
    await assertRejects(
      () => forward(gpu, { forBackward: 1 }),
      TypeError,
      "forBackward must be a boolean",
    );
    const { saved } = await forward(gpu, {
      forBackward: false,
      maskMod: maskMod("even", ({ key }) => key.rem(2).eq(0)),
    });
    assertEquals(saved, undefined);
  },
);
