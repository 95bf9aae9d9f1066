/**
 * One row of the backward table: gradients of a workload, timed beside forward.
 *
 * @module
 */

import type { Column } from "../../src/cli/table.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  AttentionBackwardPlan,
  AttentionPlan,
  attentionProblem,
} from "../../src/ops/mod.ts";
import { timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { significant, summarize } from "./statistics.ts";

/** What is measured: eight heads, f32, dense. */
export interface BackwardSizes {
  /** Queries, and keys. */
  readonly tokens: number;
  /** Elements of a row. */
  readonly headDim: number;
  /** Whether a query sees only keys at its own position and before. */
  readonly causal: boolean;
}

/** Gradients of one workload. */
export interface BackwardRow {
  /** Its readable name. */
  readonly workload: string;
  /** Milliseconds of the gradients, the median. */
  readonly ms: number;
  /** Milliseconds of forward, the median. */
  readonly forwardMs: number;
  /** `ms` over `forwardMs`. */
  readonly ratio: number;
  /** GFLOP/s of five products, as flash-attn counts them. */
  readonly rate: number;
  /** Whether gradients of scores were stored: five products run, else seven. */
  readonly scoreGradients: "stored" | "recomputed";
  /** `rate` over the adapter's measured peak. */
  readonly fractionOfPeak: number;
}

const HEADS = 8;

/** Measures one workload. */
export async function measureBackward(
  gpu: Gpu,
  { tokens, headDim, causal }: BackwardSizes,
  repeats: number,
): Promise<Omit<BackwardRow, "fractionOfPeak">> {
  const shape = [1, tokens, HEADS, headDim];
  const of = { dtype: "f32", shape } as const;
  const problem = attentionProblem({
    query: of,
    key: of,
    value: of,
    causal,
    returnLse: true,
  });
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(it: T): T => (made.push(it), it);
  const size = shape.reduce((a, b) => a * b);
  const random = (seed: number): GpuTensor =>
    keep(gpu.tensor(normals("f32", size, seed), shape, "bench"));
  try {
    const inputs = {
      query: random(1),
      key: random(2),
      value: random(3),
      output: keep(gpu.empty("f32", shape, "bench")),
      lse: keep(gpu.empty("f32", shape.slice(0, -1), "bench")),
    };
    const tensors = {
      ...inputs,
      outputGradient: random(4),
      queryGradient: keep(gpu.empty("f32", shape, "bench")),
      keyGradient: keep(gpu.empty("f32", shape, "bench")),
      valueGradient: keep(gpu.empty("f32", shape, "bench")),
    };
    const forward = keep(await AttentionPlan.create(gpu, problem));
    const backward = keep(await AttentionBackwardPlan.create(gpu, problem));
    gpu.submit("bench", (encoder) => forward.encode(encoder, inputs));
    const times = await timeInTurns<typeof tensors>(gpu, [
      { plan: forward, tensors },
      { plan: backward, tensors },
    ], repeats);
    const [forwardMs, ms] = times.map((each) => summarize(each).median);
    const flops = 10 * HEADS * tokens * tokens * headDim / (causal ? 2 : 1);
    return {
      workload: `backward ${tokens}x${tokens} ${HEADS} heads d${headDim} f32${
        causal ? " causal" : ""
      }`,
      ms: significant(ms),
      forwardMs: significant(forwardMs),
      ratio: significant(ms / forwardMs, 3),
      rate: significant(flops / ms / 1e6),
      scoreGradients: backward.explain().scoreGradients,
    };
  } finally {
    for (const one of made) one.destroy();
  }
}

/** The headings over {@linkcode backwardCells}. */
export const BACKWARD_COLUMNS: readonly Column[] = [
  { title: "workload" },
  { title: "ms", align: "right" },
  { title: "forward ms", align: "right" },
  { title: "ratio", align: "right" },
  { title: "rate", align: "right" },
  { title: "of peak", align: "right" },
  { title: "dS" },
];

/** A row for a reader. */
export function backwardCells(row: BackwardRow): string[] {
  return [
    row.workload,
    row.ms.toFixed(2),
    row.forwardMs.toFixed(2),
    `${row.ratio.toFixed(2)}x`,
    `${row.rate.toFixed(1)} GFLOP/s`,
    `${(100 * row.fractionOfPeak).toFixed(0)} %`,
    row.scoreGradients,
  ];
}
