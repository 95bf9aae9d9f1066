/**
 * Probes for shaders that are compiled wrongly. Each is a few lines of WGSL
 * whose result the specification fixes.
 *
 * @module
 */

import type { KernelSource } from "../../core/kernel.ts";
import { ARITHMETIC_PROBES } from "./arithmetic_probes.ts";
import { FLOW_PROBES } from "./flow_probes.ts";
import type { Gpu } from "../gpu.ts";
import type { Probe, ProbeResult } from "./probe.ts";
import { Program } from "../program/program.ts";
import type { GpuTensor } from "../tensor.ts";

/** Every probe, in the order in which they are reported. */
export const PROBES: readonly Probe[] = [...FLOW_PROBES, ...ARITHMETIC_PROBES];

/**
 * Runs probes on a device: one submit, one map.
 *
 * @param probes Which ones. Defaults to all.
 */
export async function runProbes(
  gpu: Gpu,
  probes: readonly Probe[] = PROBES,
): Promise<ProbeResult[]> {
  const sources = probes.map(sourceOf);
  const faults = await Promise.all(
    sources.map((source) => compileFault(gpu, source)),
  );
  const able = probes.map((_, i) => i).filter((i) => faults[i] === undefined);
  const outputs = await run(
    gpu,
    able.map((i) => ({ probe: probes[i], source: sources[i] })),
  );
  return probes.map(({ name, check }, i) => {
    const fault = faults[i];
    if (fault !== undefined) return { name, ok: undefined, detail: fault };
    const wrong = check(outputs[able.indexOf(i)]);
    return { name, ok: wrong === undefined, detail: wrong ?? "as specified" };
  });
}

/** What each of some compiled probes writes. */
async function run(
  gpu: Gpu,
  jobs: readonly { probe: Probe; source: KernelSource }[],
): Promise<Uint32Array[]> {
  const outputs: GpuTensor[] = [];
  const program = new Program(gpu, "probes");
  try {
    for (const { probe } of jobs) {
      const poison = new Uint32Array(probe.outputs).fill(0xdeadbeef);
      outputs.push(gpu.tensor(poison, [poison.length], "probe.output"));
    }
    program.update({
      dispatches: jobs.map(({ source }, i) => ({
        source,
        uniforms: {},
        grid: [2, 1, 1],
        aliases: { input: `input_${i}`, output: `output_${i}` },
      })),
      words: numbered("input", jobs.map(({ probe }) => probe.input)),
    });
    gpu.submit(
      "probes",
      (encoder) => program.encode(encoder, numbered("output", outputs)),
    );
    return await gpu.read(outputs) as Uint32Array[];
  } finally {
    program.destroy();
    for (const output of outputs) output.destroy();
  }
}

function numbered<T>(name: string, values: readonly T[]): Record<string, T> {
  return Object.fromEntries(values.map((value, i) => [`${name}_${i}`, value]));
}

function sourceOf({ name, code, features = [] }: Probe): KernelSource {
  const enable = features.includes("shader-f16") ? "enable f16;\n" : "";
  return {
    label: `probe.${name}`,
    code: `${enable}
@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;
${code}`,
    bindings: [
      { name: "input", type: "array<u32>", access: "read" },
      { name: "output", type: "array<u32>", access: "read_write" },
    ],
    uniforms: {},
    features,
  };
}

/** Why a probe cannot run, or `undefined` once it is compiled. */
async function compileFault(
  gpu: Gpu,
  source: KernelSource,
): Promise<string | undefined> {
  const lacking = source.features.filter((name) => !gpu.features.has(name));
  if (lacking.length > 0) return `the device lacks ${lacking.join(", ")}`;
  try {
    await gpu.pipeline(source);
  } catch (error) {
    return `it does not compile: ${(error as Error).message}`;
  }
}
