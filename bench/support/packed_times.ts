/**
 * Attention over a padded batch of texts, and over the packed one.
 *
 * @module
 */

import type { Gpu } from "../../src/gpu/mod.ts";
import { AttentionPlan, type Packing } from "../../src/ops/mod.ts";
import { batchProblem, HEADS } from "../../repro/packing/mosaicbert_counts.ts";
import { type Contestant, timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { median } from "./statistics.ts";

/** Median milliseconds, measured in turns. */
export interface PackedTimes {
  /** Over the padded batch, as if all of it were tokens. */
  readonly padded: number;
  /** Over the tokens alone. */
  readonly packed: number;
}

/** Times both on the heads of BERT-Base, in f32 with ALiBi. */
export async function timePacked(
  gpu: Gpu,
  packing: Packing,
  repeats: number,
): Promise<PackedTimes> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const { heads, headDim } = HEADS;
  try {
    const contestants: Contestant[] = [];
    for (const isPadded of [true, false]) {
      const shape = isPadded
        ? packing.paddedShape([heads, headDim])
        : [packing.tokens, heads, headDim];
      const size = shape.reduce((product, length) => product * length, 1);
      const upload = (seed: number) =>
        own(gpu.tensor(normals("f32", size, seed), shape));
      const [query, key, value] = [upload(1), upload(2), upload(3)];
      const output = own(gpu.empty("f32", shape));
      const problem = batchProblem(packing, isPadded);
      const plan = own(await AttentionPlan.create(gpu, problem, { splits: 1 }));
      contestants.push({ plan, tensors: { query, key, value, output } });
    }
    const times = await timeInTurns(gpu, contestants, repeats);
    const [padded, packed] = times.map(median);
    return { padded, packed };
  } finally {
    for (const made of owned) made.destroy();
  }
}
