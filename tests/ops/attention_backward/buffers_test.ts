import { assert, assertEquals } from "@std/assert";
import { capture, scoreMod } from "../../../src/mods/mod.ts";
import { backwardParts } from "../../../src/ops/attention_backward/parts.ts";
import { attentionProblem } from "../../../src/ops/mod.ts";
import { gpuTest } from "../../support/gpu.ts";
import { planDevice } from "../../support/plan_device.ts";

gpuTest(
  "backward with a captured tensor binds no more than WebGPU promises",
  (_, gpu) => {
    using slopes = gpu.tensor(Float32Array.of(1, 2), [2]);
    const own = capture(slopes);
    const rows = { dtype: "f32", shape: [1, 300, 2, 16] } as const;
    const problem = attentionProblem({
      query: rows,
      key: rows,
      value: rows,
      scoreMod: scoreMod("own", ({ score, head }) => score.mul(own.at(head))),
    });
    const { parts, explanation } = backwardParts(
      { problem, lseGradient: false },
      planDevice(),
    );
    for (const { source } of parts.dispatches) {
      const bound = source.bindings.filter(({ access }) =>
        access !== "uniform"
      );
      assert(bound.length <= 8, `${source.label} binds ${bound.length}`);
    }
    // Gradients of scores are not stored, as that binds one more.
    assertEquals(
      explanation.passedOver?.why,
      "it binds more buffers than the device has",
    );
    const many = {
      ...planDevice().limits,
      maxStorageBuffersPerShaderStage: 10,
    };
    const { explanation: roomy } = backwardParts(
      { problem, lseGradient: false },
      { ...planDevice(), limits: many },
    );
    assertEquals(roomy.scoreGradients, "stored");
  },
);
