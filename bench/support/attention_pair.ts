/**
 * A workload as a group of two benches: ours and the standard baseline.
 *
 * @module
 */

import { gpuBench } from "./bursts.ts";
import { LoadedWorkload, type Workload, workloadName } from "./workload.ts";

/** Registers both; they read the same tensors. */
export function attentionBench(workload: Workload, calls: number): void {
  const group = workloadName(workload);
  let loaded: Promise<LoadedWorkload> | undefined;
  for (const algorithm of ["standard", "fused"] as const) {
    gpuBench({
      name: `${algorithm} ${group}`,
      group,
      baseline: algorithm === "standard",
      calls,
      features: workload.dtype === "f16" ? ["shader-f16"] : [],
      setup: async (gpu) => {
        const inputs = await (loaded ??= LoadedWorkload.create(gpu, workload));
        const plan = await inputs.plan({ algorithm });
        return (encoder) => plan.encode(encoder, inputs.tensors);
      },
    });
  }
}
