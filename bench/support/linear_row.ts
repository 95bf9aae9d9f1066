/**
 * One row of the table of linear attention: prefill by chunks, timed beside
 * causal attention on the same shapes.
 *
 * @module
 */

import type { Column } from "../../src/cli/table.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import {
  planAttention,
  planLinearAttention,
  planLinearAttentionBackward,
} from "../../src/ops/mod.ts";
import { linearCost } from "../../src/planning/mod.ts";
import { timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { significant, summarize } from "./statistics.ts";

/** What is measured: eight heads, f32, one sequence, chunks of 64. */
export interface LinearSizes {
  /** Tokens of the prompt. */
  readonly tokens: number;
  /** Elements of a query, key or value row. */
  readonly headDim: number;
  /** What gates are for. */
  readonly gates: "none" | "head" | "channel";
}

/** Prefill of one workload. */
export interface LinearRow {
  /** Its readable name. */
  readonly workload: string;
  /** Milliseconds of linear attention, the median. */
  readonly ms: number;
  /** Milliseconds of causal attention, the median. */
  readonly attentionMs: number;
  /** Its gradients' median time over its own. */
  readonly backwardRatio: number;
  /** Tokens a second of linear attention. */
  readonly tokens: number;
  /** Times as many as causal attention computes. */
  readonly ratio: number;
  /** GFLOP/s of its products, of pairs that a token sees alone. */
  readonly rate: number;
  /** `rate` over the adapter's measured peak. */
  readonly fractionOfPeak: number;
}

const HEADS = 8;
const CHUNK = 64;

/** Measures one workload. */
export async function measureLinear(
  gpu: Gpu,
  { tokens, headDim, gates }: LinearSizes,
  repeats: number,
): Promise<Omit<LinearRow, "fractionOfPeak">> {
  const shape = [1, tokens, HEADS, headDim];
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(it: T): T => (made.push(it), it);
  const random = (seed: number, of = shape): GpuTensor =>
    keep(gpu.tensor(normals("f32", size(of), seed), of, "bench"));
  try {
    const rows = {
      query: random(1),
      key: random(2),
      value: random(3),
      output: keep(gpu.empty("f32", shape, "bench")),
    };
    const gateShape = gates === "head" ? shape.slice(0, -1) : shape;
    const decay = keep(gpu.tensor(
      normals("f32", size(gateShape), 4).map((x) => -Math.abs(x) / 16),
      gateShape,
      "bench",
    ));
    const tensors = gates === "none" ? rows : { ...rows, decay };
    const linear = keep(
      await planLinearAttention(gpu, {
        query: rows.query,
        key: rows.key,
        value: rows.value,
        ...gates !== "none" && { decay },
        chunk: CHUNK,
      }),
    );
    const softmax = keep(
      await planAttention(gpu, {
        query: rows.query,
        key: rows.key,
        value: rows.value,
        causal: true,
      }),
    );
    const backward = keep(
      await planLinearAttentionBackward(gpu, {
        query: rows.query,
        key: rows.key,
        value: rows.value,
        ...gates !== "none" && { decay },
        chunk: CHUNK,
      }),
    );
    const times = await timeInTurns<typeof tensors>(gpu, [
      { plan: linear, tensors },
      { plan: softmax, tensors },
    ], repeats);
    const [ms, attentionMs] = times.map((each) => summarize(each).median);
    const gradients = {
      query: rows.query,
      key: rows.key,
      value: rows.value,
      ...gates !== "none" && {
        decay,
        decayGradient: keep(gpu.empty("f32", gateShape, "bench")),
      },
      outputGradient: random(5),
      queryGradient: keep(gpu.empty("f32", shape, "bench")),
      keyGradient: keep(gpu.empty("f32", shape, "bench")),
      valueGradient: keep(gpu.empty("f32", shape, "bench")),
    };
    const [back] = await timeInTurns<typeof gradients>(
      gpu,
      [{ plan: backward, tensors: gradients }],
      repeats,
    );
    const cost = linearCost({ tokens, headDim, queryHeads: HEADS }, {
      chunk: CHUNK,
    });
    return {
      workload: `prefill ${tokens} ${HEADS} heads d${headDim} f32, ${
        { none: "no gates", head: "gates of heads", channel: "of channels" }[
          gates
        ]
      }`,
      ms: significant(ms),
      attentionMs: significant(attentionMs),
      backwardRatio: significant(summarize(back).median / ms, 3),
      tokens: significant(1000 * tokens / ms),
      ratio: significant(attentionMs / ms, 3),
      rate: significant(cost.flops.matmul / ms / 1e6),
    };
  } finally {
    for (const one of made) one.destroy();
  }
}

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b);
}

/** The headings over {@linkcode linearCells}. */
export const LINEAR_COLUMNS: readonly Column[] = [
  { title: "workload" },
  { title: "ms", align: "right" },
  { title: "tokens/s", align: "right" },
  { title: "attention ms", align: "right" },
  { title: "ratio", align: "right" },
  { title: "gradients", align: "right" },
  { title: "rate", align: "right" },
  { title: "of peak", align: "right" },
];

/** A row for a reader. */
export function linearCells(row: LinearRow): string[] {
  return [
    row.workload,
    row.ms.toFixed(2),
    row.tokens.toFixed(0),
    row.attentionMs.toFixed(2),
    `${row.ratio.toFixed(2)}x`,
    `${row.backwardRatio.toFixed(2)}x`,
    `${row.rate.toFixed(1)} GFLOP/s`,
    `${(100 * row.fractionOfPeak).toFixed(0)} %`,
  ];
}
