/**
 * One length under one policy: attention with it, without it, and what selecting
 * costs by itself.
 *
 * @module
 */

import type { Column } from "../../src/cli/table.ts";
import type { Gpu } from "../../src/gpu/mod.ts";
import {
  type AttentionPolicy,
  attentionProblem,
  planAttention,
  type PolicyShape,
} from "../../src/ops/mod.ts";
import {
  experimentalPrFlash,
  longlora,
  s2,
  SeerGate,
  SqueezedContext,
  SqueezedPolicy,
} from "../../src/policies/mod.ts";
import { byWall, type Timed } from "./gpu_time.ts";
import { normals } from "./inputs.ts";
import { median } from "./statistics.ts";

/** Heads, each with keys of its own. */
export const POLICY_HEADS = 2;

/** Elements of a row. */
export const POLICY_HEAD_DIM = 64;

/** Tokens of a block. */
const BLOCK = 64;

/** What a policy is made of. */
interface Given {
  readonly gpu: Gpu;
  readonly tokens: number;
  readonly tensors: Tensors;
  /** Frees what is made with the row. */
  readonly own: <T extends { destroy(): void }>(made: T) => T;
}

type Tensors = Record<"query" | "key" | "value", ReturnType<Gpu["empty"]>>;

/** Clusters of sixteen keys, and 64 queries behind them. */
const SQUEEZED = "squeezed, 64 queries";

/** Queries of policies whose keys are a fixed context before them. */
const QUESTION = 64;

/** How each policy is made, at about a tenth to a third of all pairs. */
export const POLICY_MAKERS: Readonly<
  Record<string, (given: Given) => AttentionPolicy | Promise<AttentionPolicy>>
> = {
  "s2, 1 of 8": () => s2({ block: BLOCK, localBlocks: 2, stride: 8 }),
  "longlora, 1/4": () => longlora({ groupRatio: 1 / 4 }),
  "prflash, 0.5^d": () =>
    experimentalPrFlash({ family: "geometric", gamma: 0.5, block: BLOCK }),
  "seer, density 1/10": async ({ gpu, tensors: { query, key }, own }) => {
    const shape = [POLICY_HEADS, 3 * POLICY_HEAD_DIM, POLICY_HEAD_DIM];
    const size = shape.reduce((product, length) => product * length);
    const data = normals("f32", size, 5).map((x) => x / 16) as Float32Array;
    const gate = own(
      await SeerGate.create(gpu, {
        weights: { key: { data, shape } },
        queryHeads: POLICY_HEADS,
        kvHeads: POLICY_HEADS,
        block: BLOCK,
        density: 1 / 10,
        rotary: false,
      }),
    );
    return own(await gate.select({ query, key }));
  },
  [SQUEEZED]: async ({ gpu, tokens, tensors: { key }, own }) => {
    const context = tokens - QUESTION;
    const shape = [context, POLICY_HEADS, POLICY_HEAD_DIM];
    const clusters = own(
      await SqueezedContext.create(gpu, {
        key: gpu.wrap(key.buffer, "f32", shape),
        clusters: Math.floor(context / 16),
        observationWindow: 0,
        iterations: 4,
      }),
    );
    return own(
      await SqueezedPolicy.create(gpu, {
        clusters,
        threshold: 1 / context,
        dtype: "f32",
        queryHeads: POLICY_HEADS,
        queries: QUESTION,
        keys: tokens,
      }),
    );
  },
};

/** Milliseconds, medians by the wall, in turns. */
export interface PolicyRow {
  /** The policy. */
  readonly policy: string;
  /** Keys, and queries where it is not for a few behind a context. */
  readonly tokens: number;
  /** Causal attention without a policy. */
  readonly denseMs: number;
  /** With it, what selects included. */
  readonly ms: number;
  /** What selects by itself; 0 where masks do. */
  readonly selectMs: number;
}

/** Measures one policy at one length, causal, one sequence, f32. */
export async function measurePolicy(
  gpu: Gpu,
  { policy, tokens, repeats }: {
    readonly policy: string;
    readonly tokens: number;
    readonly repeats: number;
  },
): Promise<PolicyRow> {
  const owned: { destroy(): void }[] = [];
  const own = <T extends { destroy(): void }>(made: T): T => {
    owned.push(made);
    return made;
  };
  const rows = (count: number, seed: number) => {
    const shape = [1, count, POLICY_HEADS, POLICY_HEAD_DIM];
    const size = count * POLICY_HEADS * POLICY_HEAD_DIM;
    return own(gpu.tensor(normals("f32", size, seed), shape));
  };
  try {
    const query = rows(policy === SQUEEZED ? QUESTION : tokens, 1);
    const [key, value] = [rows(tokens, 2), rows(tokens, 3)];
    const tensors = { query, key, value };
    const output = own(gpu.empty("f32", query.shape));
    const call = { ...tensors, causal: true };
    const select = await POLICY_MAKERS[policy]({ gpu, tokens, tensors, own });
    const blocks = blocksOf(select, call);
    const all = { ...tensors, output };
    const contestants: Timed<typeof all>[] = [
      { plan: own(await planAttention(gpu, call)), tensors: all },
      {
        plan: own(await planAttention(gpu, { ...call, select })),
        tensors: all,
      },
      ...(blocks
        ? [{
          plan: {
            explain: () => ({ dispatches: [] }),
            encode: (encoder: GPUCommandEncoder) =>
              blocks.encode(encoder, tensors),
          },
          tensors: all,
        }]
        : []),
    ];
    await byWall(gpu, contestants);
    const turns: number[][] = [];
    for (let i = 0; i < repeats; i++) {
      turns.push(await byWall(gpu, contestants));
    }
    const [denseMs, ms, selectMs = 0] = contestants.map((_, c) =>
      median(turns.map((turn) => turn[c]))
    );
    return { policy, tokens, denseMs, ms, selectMs };
  } finally {
    for (const made of owned.reverse()) made.destroy();
  }
}

/** What a policy has the device select, if it does. */
function blocksOf(
  policy: AttentionPolicy,
  call: Tensors & { readonly causal: boolean },
) {
  let shape: PolicyShape | undefined;
  attentionProblem({
    ...call,
    select: { name: "shape", select: (told) => (shape = told, {}) },
  });
  return policy.select(shape!).blocks;
}

/** The shortest length from which on a policy takes less time than none. */
export function paysFrom(rows: readonly PolicyRow[]): number | undefined {
  const sorted = rows.toSorted((a, b) => b.tokens - a.tokens);
  const slow = sorted.findIndex(({ ms, denseMs }) => ms >= denseMs);
  return (slow < 0 ? sorted : sorted.slice(0, slow)).at(-1)?.tokens;
}

/** The headings over {@linkcode policyCells}. */
export const POLICY_COLUMNS: readonly Column[] = [
  { title: "policy" },
  { title: "tokens", align: "right" },
  { title: "dense ms", align: "right" },
  { title: "ms", align: "right" },
  { title: "selecting", align: "right" },
  { title: "saved", align: "right" },
];

/** A row for a reader. */
export function policyCells(row: PolicyRow): string[] {
  const { policy, tokens, denseMs, ms, selectMs } = row;
  return [
    policy,
    `${tokens}`,
    denseMs.toFixed(2),
    ms.toFixed(2),
    selectMs.toFixed(2),
    `${(100 * (1 - ms / denseMs)).toFixed(0)} %`,
  ];
}
