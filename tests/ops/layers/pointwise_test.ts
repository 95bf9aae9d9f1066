/**
 * Gates against float64, by the error rule, and where they are extreme.
 *
 * @module
 */

import { assert } from "@std/assert";
import { gate, gateBackward } from "../../../reference/mod.ts";
import type { DType } from "../../../src/core/dtype.ts";
import { Prng } from "../../../src/core/prng.ts";
import { gpuTest } from "../../support/gpu.ts";
import {
  checkLayers,
  type HostValue,
  type LayerCase,
  runLayers,
  stored,
} from "../../support/layer_runner.ts";
import { runsOf, SEED } from "../../support/property.ts";

const GATES = [
  ["sigmoid", "sigmoid"],
  ["logGate", "log_gate"],
  ["swishGate", "swish_gate"],
] as const;

/** Forward and backward of each gate at random shapes. */
function cases(dtype: DType): LayerCase[] {
  const random = new Prng(SEED);
  return Array.from({ length: runsOf(4) }, (_, run) => {
    const shape = run === 0
      ? [0, 2]
      : [1 + random.below(9), 1 + random.below(40)];
    return GATES.flatMap(([op, name]): LayerCase[] => {
      const input = stored(shape, { dtype, random, scale: 4 });
      const gates = stored(shape, { dtype, random, scale: 4 });
      const gradientType = name === "log_gate" ? "f32" : dtype;
      const outputGradient = stored(shape, { dtype: gradientType, random });
      const options = {
        input,
        ...(name === "swish_gate" && { gate: gates }),
        ...(name === "log_gate" && run % 2 === 0 && { normalizer: 3 }),
      };
      const problem = {
        name,
        input: input.data,
        ...(name === "swish_gate" && { gate: gates.data }),
        normalizer: run % 2 === 0 ? 3 : 16,
        outputGradient: outputGradient.data,
      };
      return [{
        op,
        options,
        expect: (round) => ({ output: gate({ ...problem, round }) }),
      }, {
        op: `${op}Backward`,
        options,
        tensors: { outputGradient },
        expect: (round) => ({ ...gateBackward({ ...problem, round }) }),
      }];
    });
  }).flat();
}

gpuTest("gates and their gradients are float64's", async (_, gpu) => {
  await checkLayers(gpu, cases("f32"));
});

gpuTest("gates of halves and their gradients", async (_, gpu) => {
  await checkLayers(gpu, cases("f16"));
}, { features: ["shader-f16"] });

gpuTest("gates stay finite and right far from 0", async (_, gpu) => {
  const far = Float32Array.of(-3e38, -1000, -88, -20, 0, 9, 16, 20, 80, 1e30);
  const input: HostValue = { data: far, shape: [far.length] };
  const ones: HostValue = { data: far.map(() => 1), shape: input.shape };
  const options = { input, normalizer: 1 };
  const [log, slope, open] = await runLayers(gpu, [
    { op: "logGate", options },
    { op: "logGateBackward", options, tensors: { outputGradient: ones } },
    { op: "swishGate", options: { input: ones, gate: input } },
  ]);
  const problem = { name: "log_gate", input: far, normalizer: 1 } as const;
  const relative = (actual: ArrayLike<number>, expected: Float64Array) =>
    expected.forEach((x, i) => {
      // An exponential that is subnormal may be flushed, and then multiplied.
      const off = Math.abs(actual[i] - x);
      const bound = 2 ** -19 * Math.abs(x) +
        2 ** -126 * Math.max(1, Math.abs(far[i]));
      assert(off <= bound, `of ${far[i]}: ${actual[i]}, not ${x}`);
    });
  relative(log.output, gate(problem));
  relative(
    slope.inputGradient,
    gateBackward({ ...problem, outputGradient: ones.data as Float32Array })
      .inputGradient,
  );
  const one = ones.data as Float32Array;
  relative(open.output, gate({ name: "swish_gate", input: one, gate: far }));
});
