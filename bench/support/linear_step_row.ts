/**
 * One row of the table of decode: a step of linear attention for each sequence
 * of a batch, by a pool of states, timed beside attention over that many keys.
 *
 * @module
 */

import type { Column } from "../../src/cli/table.ts";
import type { Gpu, GpuTensor } from "../../src/gpu/mod.ts";
import { planAttention, planLinearAttention } from "../../src/ops/mod.ts";
import { timeInTurns } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { significant, summarize } from "./statistics.ts";

/** What is measured: eight heads of 64, f32. */
export interface StepSizes {
  /** Sequences, each of which takes one token. */
  readonly batch: number;
  /** Keys that attention has of each. */
  readonly context: number;
  /** How a token changes the state. */
  readonly rule: "gated" | "gated_delta";
}

/** A step of one workload. */
export interface StepRow {
  /** Its readable name. */
  readonly workload: string;
  /** Milliseconds of linear attention, the median. */
  readonly ms: number;
  /** Milliseconds of attention, the median. */
  readonly attentionMs: number;
  /** Tokens a second of linear attention. */
  readonly tokens: number;
  /** Times as many as attention computes. */
  readonly ratio: number;
  /** GB/s of states, read and written. */
  readonly bandwidth: number;
  /** `bandwidth` over the adapter's measured read bandwidth. */
  readonly fractionOfBandwidth: number;
}

const HEADS = 8;
const DIM = 64;

/** Measures one workload. */
export async function measureStep(
  gpu: Gpu,
  { batch, context, rule }: StepSizes,
  repeats: number,
): Promise<Omit<StepRow, "fractionOfBandwidth">> {
  const made: { destroy(): void }[] = [];
  const keep = <T extends { destroy(): void }>(it: T): T => (made.push(it), it);
  const random = (
    seed: number,
    shape: readonly number[],
    f = (x: number) => x,
  ): GpuTensor =>
    keep(gpu.tensor(
      normals("f32", shape.reduce((a, b) => a * b), seed).map(f),
      shape,
      "bench",
    ));
  try {
    const token = [batch, 1, HEADS, DIM];
    const keys = [batch, context, HEADS, DIM];
    const rows = {
      query: random(1, token),
      key: random(2, token, (x) => x / Math.sqrt(DIM)),
      value: random(3, token),
      decay: random(4, token.slice(0, -1), (x) => -Math.abs(x) / 16),
      ...rule === "gated_delta" && {
        beta: random(5, token.slice(0, -1), (x) => 1 / (1 + Math.exp(-x))),
      },
      states: random(6, [batch, HEADS, DIM, DIM]),
    };
    const output = keep(gpu.empty("f32", token, "bench"));
    const stateIndices = Array.from({ length: batch }, (_, i) => i);
    const linear = keep(
      await planLinearAttention(gpu, { ...rows, stateIndices }),
    );
    const cached = {
      query: rows.query,
      key: random(7, keys),
      value: random(8, keys),
    };
    const softmax = keep(await planAttention(gpu, cached));
    const times = await timeInTurns<object>(
      gpu,
      [
        { plan: linear, tensors: { ...rows, output } },
        { plan: softmax, tensors: { ...cached, output } },
      ] as Parameters<typeof timeInTurns<object>>[1],
      repeats,
    );
    const [ms, attentionMs] = times.map((each) => summarize(each).median);
    const bytes = 2 * 4 * batch * HEADS * DIM * DIM;
    return {
      workload: `decode ${batch} x 1, ${
        rule === "gated" ? "gated" : "gated delta"
      }; attention over ${context}`,
      ms: significant(ms),
      attentionMs: significant(attentionMs),
      tokens: significant(1000 * batch / ms),
      ratio: significant(attentionMs / ms, 3),
      bandwidth: significant(bytes / ms / 1e6),
    };
  } finally {
    for (const one of made) one.destroy();
  }
}

/** The headings over {@linkcode stepCells}. */
export const STEP_COLUMNS: readonly Column[] = [
  { title: "workload" },
  { title: "ms", align: "right" },
  { title: "tokens/s", align: "right" },
  { title: "attention ms", align: "right" },
  { title: "ratio", align: "right" },
  { title: "states", align: "right" },
  { title: "of bandwidth", align: "right" },
];

/** A row for a reader. */
export function stepCells(row: StepRow): string[] {
  return [
    row.workload,
    row.ms.toFixed(3),
    row.tokens.toFixed(0),
    row.attentionMs.toFixed(3),
    `${row.ratio.toFixed(2)}x`,
    `${row.bandwidth.toFixed(2)} GB/s`,
    `${(100 * row.fractionOfBandwidth).toFixed(0)} %`,
  ];
}
