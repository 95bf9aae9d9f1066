/**
 * Counts the iterations that kernels' loops really take: every loop of an
 * emitted kernel counts itself, and so its last look at its condition.
 *
 * @module
 */

import type { KernelSource } from "../../src/core/kernel.ts";
import {
  type Gpu,
  type GpuTensor,
  Program,
  type ProgramParts,
} from "../../src/gpu/mod.ts";
import type { PlanChoices } from "../../src/ops/attention/options/choices.ts";
import type { AttentionProblem } from "../../src/ops/attention/problem.ts";
import { partsFor } from "./attention/parts.ts";

const COUNTER = "counted";

/** What one dispatch took. */
export interface LoopCount {
  /** The kernel's label. */
  readonly kernel: string;
  /** Workgroups. */
  readonly workgroups: number;
  /** Iterations of the invocation that took most. */
  readonly iterations: number;
}

/** How {@linkcode loopCounts} plans. */
export interface LoopCountOptions extends PlanChoices {
  /** What the plan takes for the device's limit. */
  readonly maxLoopIterations: number;
}

/** Runs a problem with kernels that count, dispatch by dispatch. */
export async function loopCounts(
  gpu: Gpu,
  problem: AttentionProblem,
  tensors: Readonly<Record<string, GpuTensor | undefined>>,
  { maxLoopIterations, ...choices }: LoopCountOptions,
): Promise<LoopCount[]> {
  const { software, features, limits } = gpu;
  const device = { software, features, limits, maxLoopIterations };
  const { parts } = partsFor(problem, device, choices);
  return await countsOfParts(gpu, parts, tensors);
}

/** Runs a program with kernels that count, dispatch by dispatch. */
export async function countsOfParts(
  gpu: Gpu,
  parts: ProgramParts,
  tensors: Readonly<Record<string, GpuTensor | undefined>>,
): Promise<LoopCount[]> {
  const counters = parts.dispatches.map(() =>
    gpu.tensor(new Uint32Array(1), [1], COUNTER)
  );
  const nameOf = (i: number) => `${COUNTER}_${i}`;
  try {
    using program = await Program.create(gpu, "test.loops", {
      ...parts,
      dispatches: parts.dispatches.map((dispatch, i) => ({
        ...dispatch,
        source: counting(dispatch.source),
        aliases: { ...dispatch.aliases, [COUNTER]: nameOf(i) },
      })),
    });
    const named = counters.map((counter, i) => [nameOf(i), counter]);
    gpu.submit(
      "test.loops",
      (encoder) =>
        program.encode(encoder, { ...tensors, ...Object.fromEntries(named) }),
    );
    const counts = await gpu.read(counters);
    return parts.dispatches.map(({ source, grid }, i) => ({
      kernel: source.label,
      workgroups: grid[0] * grid[1] * grid[2],
      iterations: counts[i][0],
    }));
  } finally {
    for (const counter of counters) counter.destroy();
  }
}

/** A kernel whose loops count themselves. */
function counting(source: KernelSource): KernelSource {
  const index = source.bindings.length;
  const code = source.code
    .replace(/^( *)for \(.*\) \{$/gm, "$1iterations++;\n$&\niterations++;")
    .replace(/\}\s*$/, `atomicMax(&${COUNTER}[0], iterations);\n}\n`);
  const declarations = [
    `@group(0) @binding(${index}) var<storage, read_write> ${COUNTER}: array<atomic<u32>>;`,
    "var<private> iterations = 0u;",
  ];
  const enable = code.startsWith("enable f16;") ? "enable f16;" : "";
  return {
    ...source,
    label: `counting.${source.label}`,
    code: [enable, ...declarations, code.slice(enable.length)].join("\n"),
    bindings: [
      ...source.bindings,
      { name: COUNTER, type: "array<atomic<u32>>", access: "read_write" },
    ],
  };
}
