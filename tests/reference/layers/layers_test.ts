/**
 * The gradients of the layers' references, by finite differences.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import {
  convolution,
  convolutionBackward,
  crossEntropy,
  crossEntropyBackward,
  gate,
  gateBackward,
  loraProject,
  loraProjectBackward,
  project,
  projectBackward,
  rowNorm,
  rowNormBackward,
} from "../../../reference/mod.ts";
import { Prng } from "../../../src/core/prng.ts";
import { runsOf, SEED } from "../../support/property.ts";

type Arrays = Readonly<Record<string, Float64Array>>;

const random = new Prng(SEED);

function normals(size: number): Float64Array {
  return Float64Array.from({ length: size }, () => random.normal());
}

function inner(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);
}

/**
 * Fails unless gradients are the slopes of a loss. Steps of 2^-10 leave h^4 / 30
 * of a fifth derivative, and rounding of 2^-52 / 2^-10.
 */
function assertSlopes(
  name: string,
  inputs: Arrays,
  { loss, gradients }: {
    readonly loss: (inputs: Arrays) => number;
    readonly gradients: Readonly<Record<string, ArrayLike<number>>>;
  },
): void {
  const h = 2 ** -10;
  for (const [of, gradient] of Object.entries(gradients)) {
    assertEquals(gradient.length, inputs[of].length, `${name} ${of}`);
    inputs[of].forEach((x, i) => {
      const at = (step: number) => {
        const moved = inputs[of].slice();
        moved[i] = x + step * h;
        return loss({ ...inputs, [of]: moved });
      };
      const slope = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h);
      const off = Math.abs(slope - gradient[i]);
      assert(
        off <= 2e-9 * Math.max(1, Math.abs(slope)),
        `${name} ${of}[${i}] is ${gradient[i]}, not ${slope}`,
      );
    });
  }
}

Deno.test("rowNormBackward() is the slope of rowNorm()", () => {
  for (let run = 0; run < runsOf(20); run++) {
    const [rows, width] = [random.below(4), 1 + random.below(6)];
    const [mean, eps] = [run % 2 === 0, 0.5];
    const inputs = { input: normals(rows * width), weight: normals(width) };
    const outputGradient = normals(rows * width);
    const own = { width, mean, eps };
    const { inputGradient, weightGradient } = rowNormBackward({
      ...own,
      ...inputs,
      outputGradient,
    });
    assertSlopes("rowNorm", inputs, {
      loss: ({ input, weight }) =>
        inner(rowNorm({ ...own, input, weight }), outputGradient),
      gradients: { input: inputGradient, weight: weightGradient },
    });
  }
});

Deno.test("gateBackward() is the slope of gate()", () => {
  for (const name of ["sigmoid", "log_gate", "swish_gate"] as const) {
    const input = normals(12).map((x) => 4 * x);
    const gated = name === "swish_gate";
    const inputs: Arrays = { input, ...(gated && { gate: normals(12) }) };
    const outputGradient = normals(12);
    const of = (own: Arrays) => ({
      name,
      normalizer: 2,
      input: own.input,
      ...(gated && { gate: own.gate }),
    });
    const gradients = gateBackward({ ...of(inputs), outputGradient });
    assertSlopes(name, inputs, {
      loss: (own) => inner(gate(of(own)), outputGradient),
      gradients: {
        input: gradients.inputGradient,
        ...(gated && { gate: gradients.gateGradient }),
      },
    });
  }
});

Deno.test("convolutionBackward() is the slope of convolution()", () => {
  for (let run = 0; run < runsOf(20); run++) {
    const lengths = Array.from(
      { length: random.below(4) },
      () => random.below(6),
    );
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    const [channels, taps] = [1 + random.below(3), 2 + random.below(4)];
    const states = lengths.length * (taps - 1) * channels;
    const inputs = {
      input: normals(tokens * channels),
      weight: normals(channels * taps),
      bias: normals(channels),
      initialState: normals(states),
    };
    const own = { lengths, channels, taps, silu: run % 2 === 0 };
    const outputGradient = normals(tokens * channels);
    const finalStateGradient = normals(states);
    const gradients = convolutionBackward({
      ...own,
      ...inputs,
      outputGradient,
      finalStateGradient,
    });
    assertSlopes("convolution", inputs, {
      loss: (of) => {
        const { output, finalState } = convolution({
          ...own,
          ...of as typeof inputs,
        });
        return inner(output, outputGradient) +
          inner(finalState, finalStateGradient);
      },
      gradients: {
        input: gradients.inputGradient,
        weight: gradients.weightGradient,
        bias: gradients.biasGradient,
        initialState: gradients.initialStateGradient,
      },
    });
  }
});

Deno.test("crossEntropyBackward() is the slope of crossEntropy()", () => {
  for (let run = 0; run < runsOf(20); run++) {
    const [rows, width] = [random.below(4), 1 + random.below(6)];
    const inputs = { logits: normals(rows * width) };
    const own = {
      width,
      // One more than there are columns, which does not count.
      targets: Array.from({ length: rows }, () => random.below(width + 1)),
      rowWeights: normals(rows).map((x) => 0.5 + x * x),
      reduction: run % 2 === 0 ? "mean" as const : "sum" as const,
    };
    assertSlopes("crossEntropy", inputs, {
      loss: ({ logits }) => crossEntropy({ ...own, logits }).loss,
      gradients: { logits: crossEntropyBackward({ ...own, ...inputs }) },
    });
  }
});

Deno.test("projectBackward() is the slope of project()", () => {
  for (let run = 0; run < runsOf(20); run++) {
    const [rows, inFeatures] = [random.below(4), 1 + random.below(4)];
    const outFeatures = 1 + random.below(4);
    const inputs = {
      input: normals(rows * inFeatures),
      weight: normals(outFeatures * inFeatures),
      bias: normals(outFeatures),
    };
    const own = { inFeatures, outFeatures };
    const outputGradient = normals(rows * outFeatures);
    const gradients = projectBackward({ ...own, ...inputs, outputGradient });
    assertSlopes("project", inputs, {
      loss: ({ input, weight, bias }) =>
        inner(project({ ...own, input, weight, bias }), outputGradient),
      gradients: {
        input: gradients.inputGradient,
        weight: gradients.weightGradient,
        bias: gradients.biasGradient,
      },
    });
  }
});

Deno.test("loraProjectBackward() has the slopes of loraProject()", () => {
  const sizes = { inFeatures: 3, outFeatures: 4, rank: 2, alpha: 3 };
  const inputs = {
    input: normals(5 * 3),
    a: normals(2 * 3),
    b: normals(4 * 2),
  };
  const rest = { ...sizes, weight: normals(4 * 3), bias: normals(4) };
  const outputGradient = normals(5 * 4);
  const { inputGradient, aGradient, bGradient } = loraProjectBackward({
    ...rest,
    ...inputs,
    outputGradient,
  });
  assertSlopes("lora", inputs, {
    loss: ({ input, a, b }) =>
      inner(loraProject({ ...rest, input, a, b }), outputGradient),
    gradients: { input: inputGradient, a: aGradient, b: bGradient },
  });
});
