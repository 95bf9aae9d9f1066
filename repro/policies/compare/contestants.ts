/**
 * Who is compared: each policy as it is told to keep a share of the keys. A new
 * policy is one more entry of {@linkcode CONTESTANTS}.
 *
 * @module
 */

import type { Gpu, GpuTensor } from "../../../src/gpu/mod.ts";
import {
  type MaskMod,
  sinkWindow,
  slidingWindow,
} from "../../../src/mods/mod.ts";
import type { AttentionPolicy } from "../../../src/ops/mod.ts";
import {
  calibrateSqueezed,
  experimentalPrFlash,
  longlora,
  type PrFlashOptions,
  s2,
  SeerGate,
  SqueezedContext,
  SqueezedPolicy,
} from "../../../src/policies/mod.ts";
import type { Task } from "./task.ts";

/** Tokens of a block, of all policies that have blocks. */
export const BLOCK = 64;

/** What a contestant is told. */
export interface Told {
  readonly gpu: Gpu;
  readonly task: Task;
  /** The share of a call's keys to keep, in `(0, 1)`. */
  readonly budget: number;
  /** Which question. */
  readonly question: number;
  /** Its queries `[1, queries, heads, headDim]`. */
  readonly query: GpuTensor;
  /** The keys `[1, keys, heads, headDim]`. */
  readonly key: GpuTensor;
  /** Keeps what is made for the call, to be destroyed after it. */
  own<T extends { destroy(): void }>(made: T): T;
  /** What is made for all questions: by the first that asks for the name. */
  once<T>(name: string, make: () => Promise<T>): Promise<T>;
}

/** One of those who are compared. */
export interface Contestant {
  /** What tables call it. */
  readonly name: string;
  /**
   * Whether it changes scores: then the mass that it keeps is not to be had from
   * the log-sum-exp.
   */
  readonly weighted?: boolean;
  /** The policy for a question; all keys, where there is none. */
  readonly policy?: (told: Told) => AttentionPolicy | Promise<AttentionPolicy>;
}

/** A mask as a policy. */
function masked(name: string, mask: (told: Told) => MaskMod) {
  return (told: Told): AttentionPolicy => ({
    name,
    select: () => ({ maskMods: [mask(told)] }),
  });
}

/** Keys to keep. */
function keptKeys({ task, budget }: Told): number {
  return Math.round(budget * task.keys);
}

/** Those that are compared, in the order of the table. */
export const CONTESTANTS: readonly Contestant[] = [
  { name: "dense" },
  {
    name: "sliding window",
    policy: masked("window", (told) => slidingWindow({ left: keptKeys(told) })),
  },
  {
    name: "sinks, window",
    policy: masked(
      "sinks",
      (told) => sinkWindow({ sinks: 4, window: keptKeys(told) - 4 }),
    ),
  },
  {
    name: "s2",
    policy: ({ task, budget }) =>
      s2({
        block: BLOCK,
        localBlocks: nearBlocks(task, budget),
        stride: Math.round(2 / budget),
      }),
  },
  {
    name: "longlora",
    policy: (told) => longlora({ groupSize: nearestGroup(told) }),
  },
  { name: "prflash", policy: (told) => drawn(told, "paper") },
  {
    name: "prflash, ht",
    weighted: true,
    policy: (told) => drawn(told, "ht"),
  },
  {
    name: "seer, mean keys",
    policy: (told) => meanKeys(told),
  },
  {
    name: "squeezed",
    policy: (told) => squeezed(told),
  },
];

/** Blocks near by, where one in `2 / budget` of the others takes half of it. */
function nearBlocks({ keys }: Task, budget: number): number {
  const far = budget / 2;
  const blocks = (budget - far) * keys / BLOCK / (1 - far);
  return Math.max(1, Math.round(blocks));
}

/** The groups of which the last queries see nearest to as many keys as asked. */
function nearestGroup(told: Told): number {
  const last = told.task.keys - 1;
  let [best, off] = [2, Infinity];
  for (let size = 2; size <= told.task.keys; size += 2) {
    // Half of the heads are shifted by half a group.
    const seen = [0, size / 2].map((shift) => (last + shift) % size + 1);
    const wrong = Math.abs((seen[0] + seen[1]) / 2 - keptKeys(told));
    if (wrong < off) [best, off] = [size, wrong];
  }
  return best;
}

/**
 * SeerAttention's gate before anything is learned: a block of queries has its
 * mean, a block of keys too, and the highest products are kept.
 */
async function meanKeys(
  { gpu, task, budget, query, key, own }: Told,
): Promise<AttentionPolicy> {
  const { heads, headDim } = task;
  const weights = new Float32Array(heads * 3 * headDim * headDim);
  for (let head = 0; head < heads; head++) {
    for (let c = 0; c < headDim; c++) {
      // After what pools the maximum and the minimum.
      const row = (head * 3 + 2) * headDim + c;
      weights[row * headDim + c] = 1;
    }
  }
  const gate = own(
    await SeerGate.create(gpu, {
      weights: { key: { data: weights, shape: [heads, 3 * headDim, headDim] } },
      queryHeads: heads,
      kvHeads: heads,
      block: BLOCK,
      topK: Math.round(budget * task.keys / BLOCK),
      denseRows: 0,
      // Nothing here is rotated.
      rotary: false,
    }),
  );
  return own(await gate.select({ query, key }));
}

/** Squeezed Attention, its threshold calibrated by the question itself. */
async function squeezed(
  { gpu, task, budget, query, key, own, once }: Told,
): Promise<AttentionPolicy> {
  const { queries, keys, heads } = task;
  const clusters = await once("clusters", async () =>
    own(
      await SqueezedContext.create(gpu, { key, observationWindow: queries }),
    ));
  const { threshold } = await calibrateSqueezed(gpu, {
    contexts: [{ clusters, query }],
    // Of the context's keys, as the question's own are always kept.
    sparsity: Math.min(1, (1 - budget) * keys / (keys - queries)),
  });
  return own(
    await SqueezedPolicy.create(gpu, {
      clusters,
      threshold,
      dtype: "f32",
      queryHeads: heads,
      queries,
      keys,
    }),
  );
}

/** PrFlash with the floor that keeps the share of a call's last row of blocks. */
function drawn(
  { task, budget, question }: Told,
  mode: PrFlashOptions["mode"],
): AttentionPolicy {
  const blocks = Math.ceil(task.keys / BLOCK);
  const policyOf = (floor: number) =>
    experimentalPrFlash({
      family: "power",
      a: 1,
      floor,
      block: BLOCK,
      mode,
      round: question,
    });
  let [low, high] = [2 ** -10, 1];
  for (let i = 0; i < 20; i++) {
    const floor = (low + high) / 2;
    const { expectedBlocks } = policyOf(floor);
    const last = expectedBlocks(blocks).mean - expectedBlocks(blocks - 1).mean;
    if (last < budget * blocks) low = floor;
    else high = floor;
  }
  return policyOf(low);
}
