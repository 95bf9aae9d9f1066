/**
 * Runs a contestant on a task's questions.
 *
 * @module
 */

import { byWall } from "../../../bench/support/gpu_time.ts";
import { median } from "../../../bench/support/statistics.ts";
import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  type AttentionPlan,
  attentionProblem,
  type AttentionTensors,
  planAttention,
  type TileOptions,
} from "../../../src/ops/mod.ts";
import { policyReport } from "../../../src/policies/mod.ts";
import { mean } from "../../experiment.ts";
import { type Contestant, CONTESTANTS, type Told } from "./contestants.ts";
import { recallOf, type Task } from "./task.ts";

/** What one contestant did with a budget. */
export interface ComparedRow {
  readonly name: string;
  /** The share of keys that it was told to keep; 1 for all. */
  readonly budget: number;
  /** Pairs that it kept, of those of causal attention. */
  readonly kept: number;
  /** Bytes of keys and values that some query of a call kept, of all. */
  readonly bytes: number;
  /** Needles found, of all queries and heads. */
  readonly recall: number;
  /** Queries whose needle some head found. */
  readonly anyHead: number;
  /** Softmax mass of dense attention that it kept; `undefined` if weighted. */
  readonly mass: number | undefined;
  /** Milliseconds of a call, selection included. */
  readonly milliseconds: number;
}

/** One call of a contestant. */
interface Call {
  readonly plan: AttentionPlan;
  readonly tensors: AttentionTensors;
  readonly policy:
    | Awaited<ReturnType<NonNullable<Contestant["policy"]>>>
    | undefined;
}

/** Compares all contestants, at each budget. */
export async function compare(
  gpu: Gpu,
  task: Task,
  { budgets, repeats, contestants = CONTESTANTS, tiles }: {
    readonly budgets: readonly number[];
    /** Turns that are timed. */
    readonly repeats: number;
    readonly contestants?: readonly Contestant[];
    /** Tiles of all kernels, where not the device's own. */
    readonly tiles?: TileOptions;
  },
): Promise<ComparedRow[]> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const shared = new Map<string, Promise<unknown>>();
  const once = <T>(name: string, make: () => Promise<T>): Promise<T> => {
    if (!shared.has(name)) shared.set(name, make());
    return shared.get(name) as Promise<T>;
  };
  const upload = (data: Float32Array, rows: number) =>
    own(gpu.tensor(data, [1, rows, task.heads, task.headDim]));
  try {
    const [key, value] = [task.key, task.value].map((data) =>
      upload(data, task.keys)
    );
    const queries = task.questionRows.map((data) => upload(data, task.queries));
    const entries = contestants.flatMap((contestant) =>
      (contestant.policy ? budgets : [1]).map((budget) => ({
        contestant,
        budget,
      }))
    );
    const all: Call[][] = [];
    for (const { contestant, budget } of entries) {
      const calls: Call[] = [];
      for (const [question, query] of queries.entries()) {
        calls.push(
          await callOf(
            contestant,
            { gpu, task, budget, question, query, key, own, once },
            {
              value,
              tiles,
            },
          ),
        );
      }
      gpu.submit("compare", (encoder) => {
        for (const { plan, tensors } of calls) plan.encode(encoder, tensors);
      });
      all.push(calls);
    }
    const times = await timeInTurns(gpu, all.map(([first]) => first), repeats);
    const found = await gpu.read(
      all.flat().flatMap(({ tensors }) => [tensors.output, tensors.lse!]),
    ) as Float32Array[];
    const results = all.map((calls) =>
      calls.map(() => {
        const [output, lse] = found.splice(0, 2);
        return { output, lse };
      })
    );
    const dense = results[contestants.findIndex(({ policy }) => !policy)];
    const rows: ComparedRow[] = [];
    for (const [n, { contestant, budget }] of entries.entries()) {
      const { name, weighted = false } = contestant;
      const recalls = results[n].map(({ output }, question) =>
        recallOf(task, question, output)
      );
      const kept = await Promise.all(all[n].map((call) => keptBy(call)));
      const masses = results[n].map(({ lse }, question) =>
        mean([...lse].map((x, i) => Math.exp(x - dense[question].lse[i])))
      );
      rows.push({
        name,
        budget,
        kept: mean(kept.map(({ density }) => density)),
        bytes: mean(kept.map(({ bytes }) => bytes)),
        recall: mean(recalls.map(({ perHead }) => perHead)),
        anyHead: mean(recalls.map(({ anyHead }) => anyHead)),
        mass: weighted ? undefined : mean(masses),
        milliseconds: median(times[n]),
      });
    }
    return rows;
  } finally {
    for (const made of owned.reverse()) made.destroy();
  }
}

async function callOf(
  { policy }: Contestant,
  told: Told,
  { value, tiles }: {
    readonly value: GpuTensor;
    readonly tiles: TileOptions | undefined;
  },
): Promise<Call> {
  const { gpu, query, key, own } = told;
  const made = await policy?.(told);
  const plan = own(
    await planAttention(gpu, {
      query,
      key,
      value,
      causal: true,
      returnLse: true,
      ...(tiles && { tiles }),
      ...(made && { select: made }),
    }),
  );
  const output = own(gpu.empty("f32", query.shape));
  const lse = own(gpu.empty("f32", [...query.shape.slice(0, 3)]));
  const tensors = { query, key, value, output, lse };
  return { plan, tensors, policy: made };
}

/** What a call kept, after it ran. */
async function keptBy(
  { policy, tensors }: Call,
): Promise<{ density: number; bytes: number }> {
  if (policy === undefined) return { density: 1, bytes: 1 };
  const { query, key, value } = tensors as Required<AttentionTensors>;
  const options = { query, key, value, causal: true };
  const { policy: asked } = attentionProblem({ ...options, select: policy });
  const selected = await asked?.blocks?.mask.read();
  const report = policyReport(policy, options, { selected });
  return {
    density: report.density,
    bytes: report.keyBytes / report.denseKeyBytes,
  };
}

/** Milliseconds of each call, in turns; one turn more comes before. */
async function timeInTurns(
  gpu: Gpu,
  calls: readonly Call[],
  repeats: number,
): Promise<number[][]> {
  const times: number[][] = calls.map(() => []);
  for (let turn = 0; turn <= repeats; turn++) {
    const found = await byWall(gpu, calls);
    if (turn > 0) found.forEach((ms, n) => times[n].push(ms));
  }
  return times;
}
