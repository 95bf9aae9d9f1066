/**
 * Gradients under block masks by the density of the mask, beside those without
 * one.
 *
 * @module
 */

import type { Gpu } from "../../src/gpu/mod.ts";
import { blockMaskFromPattern } from "../../src/mods/mod.ts";
import {
  AttentionBackwardPlan,
  type AttentionOptions,
  AttentionPlan,
  attentionProblem,
  type BackwardTensors,
} from "../../src/ops/mod.ts";
import { timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { DENSITIES, sparseBlocks, sparseShape } from "./sparse_times.ts";
import { median } from "./statistics.ts";

/** Median milliseconds of gradients, measured in turns. */
export interface SparseBackwardTimes {
  /** Without a mask. */
  readonly dense: number;
  /** By density, densest first. */
  readonly rows: readonly { readonly density: number; readonly ms: number }[];
}

/** Times the gradients of `length` queries over as many keys, in f32. */
export async function timeSparseBackward(
  gpu: Gpu,
  { length, repeats }: { readonly length: number; readonly repeats: number },
): Promise<SparseBackwardTimes> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shape = sparseShape(length);
  const of = { dtype: "f32", shape } as const;
  const size = shape.reduce((a, b) => a * b);
  const upload = (seed: number) =>
    own(gpu.tensor(normals("f32", size, seed), shape));
  const empty = () => own(gpu.empty("f32", shape));
  try {
    const inputs = { query: upload(1), key: upload(2), value: upload(3) };
    const outputGradient = upload(4);
    const gradients = {
      queryGradient: empty(),
      keyGradient: empty(),
      valueGradient: empty(),
    };
    const masks: Pick<AttentionOptions, "blockMask">[] = [
      {},
      ...DENSITIES.map((density) => {
        const { blocks, geometry } = sparseBlocks(length, density);
        return { blockMask: blockMaskFromPattern(blocks, geometry) };
      }),
    ];
    const contestants: {
      readonly plan: AttentionBackwardPlan;
      readonly tensors: BackwardTensors;
    }[] = [];
    for (const mask of masks) {
      const problem = attentionProblem({
        query: of,
        key: of,
        value: of,
        returnLse: true,
        ...mask,
      });
      const saved = {
        ...inputs,
        output: empty(),
        lse: own(gpu.empty("f32", shape.slice(0, -1))),
      };
      const forward = own(await AttentionPlan.create(gpu, problem));
      gpu.submit("bench", (encoder) => forward.encode(encoder, saved));
      const plan = own(await AttentionBackwardPlan.create(gpu, problem));
      const tensors = { ...saved, outputGradient, ...gradients };
      contestants.push({ plan, tensors });
    }
    const [dense, ...times] = (await timeInTurns(gpu, contestants, repeats))
      .map(median);
    const rows = DENSITIES.map((density, i) => ({ density, ms: times[i] }));
    return { dense, rows };
  } finally {
    for (const made of owned) made.destroy();
  }
}
