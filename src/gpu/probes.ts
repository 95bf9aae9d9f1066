/**
 * Probes for shaders that are compiled wrongly. Each is a few lines of WGSL
 * whose result the specification fixes.
 *
 * @module
 */

import type { KernelSource } from "../core/kernel.ts";
import { ARITHMETIC_PROBES } from "./arithmetic_probes.ts";
import { FLOW_PROBES } from "./flow_probes.ts";
import type { Gpu } from "./gpu.ts";
import type { GpuTensor } from "./tensor.ts";

/** What a probe found. */
export interface ProbeResult {
  /** The probe's name. */
  readonly name: string;
  /** Whether the device computed what WGSL says; `undefined`: it cannot run. */
  readonly ok: boolean | undefined;
  /** What was computed, or why it could not run. */
  readonly detail: string;
}

/** A few lines of WGSL, and what must come out. */
export interface Probe {
  /** A short name, `snake_case`. */
  readonly name: string;
  /** What is probed, in one sentence. */
  readonly description: string;
  /** Where the fault is reported, if it is. */
  readonly issue?: string;
  /** Features without which it cannot run. */
  readonly features?: KernelSource["features"];
  /** Words that the shader reads as `input`; unknown at compile time. */
  readonly input: Uint32Array;
  /** The WGSL that follows the declarations of `input` and `output`. */
  readonly code: string;
  /** The number of words that the shader writes to `output`. */
  readonly outputs: number;
  /** What is wrong with the output, or `undefined` where it is right. */
  readonly check: (output: Uint32Array) => string | undefined;
}

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
  const made: GpuTensor[] = [];
  try {
    const jobs = await Promise.all(probes.map((probe) => prepare(gpu, probe)));
    const outputs: (GpuTensor | undefined)[] = [];
    gpu.submit("probes", (encoder) => {
      jobs.forEach((job, i) => {
        if (typeof job === "string") return outputs.push(undefined);
        const { input, outputs: count } = probes[i];
        const source = gpu.tensor(input, [input.length], "probe.input");
        made.push(source);
        const poison = new Uint32Array(count).fill(0xdeadbeef);
        const output = gpu.tensor(poison, [count], "probe.output");
        made.push(output);
        outputs.push(output);
        const pass = encoder.beginComputePass({ label: probes[i].name });
        pass.setPipeline(job.pipeline);
        pass.setBindGroup(0, gpu.bind(job, { input: source, output }));
        pass.dispatchWorkgroups(2);
        pass.end();
      });
    });
    const ran = outputs.filter((output) => output !== undefined);
    const arrays = await gpu.read(ran) as Uint32Array[];
    return probes.map((probe, i) => {
      const { name } = probe;
      const job = jobs[i];
      if (typeof job === "string") return { name, ok: undefined, detail: job };
      const array = arrays[ran.indexOf(outputs[i] as GpuTensor)];
      const wrong = probe.check(array);
      return { name, ok: wrong === undefined, detail: wrong ?? "as specified" };
    });
  } finally {
    for (const tensor of made) tensor.destroy();
  }
}

/** The compiled probe, or why there is none. */
async function prepare(gpu: Gpu, probe: Probe) {
  const features = probe.features ?? [];
  const lacking = features.filter((feature) => !gpu.features.has(feature));
  if (lacking.length > 0) return `the device lacks ${lacking.join(", ")}`;
  const enable = features.includes("shader-f16") ? "enable f16;\n" : "";
  try {
    return await gpu.pipeline({
      label: `probe.${probe.name}`,
      code: `${enable}
@group(0) @binding(0) var<storage, read> input: array<u32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;
${probe.code}`,
      bindings: [
        { name: "input", type: "array<u32>", access: "read" },
        { name: "output", type: "array<u32>", access: "read_write" },
      ],
      uniforms: {},
      features,
    });
  } catch (error) {
    return `it does not compile: ${(error as Error).message}`;
  }
}
